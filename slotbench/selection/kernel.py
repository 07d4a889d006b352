"""The fused steps of `step.c`, compiled when first needed by the machine's C compiler, if it has one; on a GPU, those
of `kernel_gpu`, compiled by Triton.

Without a compiler everything runs through torch alone and selects the same, at the cost of a few more passes
over the weights (docs/performance.md); a line on stderr says so. `SLOTBENCH_KERNEL=0` does without one.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slotbench.selection.slots import Layer, Settings

GreedyStep = Callable[[Layer, Any, Settings, tuple[float, float]], None]
"""(layer, its `greedy.Climber`, settings, `greedy.units`): SGD on b, then the climb"""
Draw = Callable[[Tensor, Tensor, Tensor, Tensor, float, int], None]
"""(weight, b, options, initial scores, a, seed), of which the options and scores are [K, connections], row-major"""
Steps = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating], npt.NDArray[np.int64]]
"""Levels and breakpoints of some connections, one after the other, and how many each has"""
SOURCE = Path(__file__).with_name("step.c")
TYPES = {torch.float32: "float32", torch.float64: "float64"}
BLOCK, LANES = 512, 8
"""As in step.c"""
enabled = os.environ.get("SLOTBENCH_KERNEL") != "0"
"""Whether to use the kernel; off, it is as on a machine without a compiler."""
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


def path(device: torch.device) -> Literal["compiled", "triton", "torch"]:
    """What selection runs by on `device`, for a record."""
    if enabled and device.type == "cpu" and library() is not None:
        return "compiled"
    if enabled and device.type == "cuda" and gpu(device) is not None:
        return "triton"
    return "torch"


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, from the user's cache where it is there and whole; None without a compiler that works."""
    compiler = shutil.which("cc")
    if compiler is None:
        warn("there is no C compiler, cc, in PATH")
        return None
    # A folder of results may be shared by machines that are not alike: the name says source, compiler and processor.
    key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), " ".join(FLAGS).encode(), compiler.encode(), processor()]))
    name = f"step-{key.hexdigest()[:16]}"
    try:
        try:
            folder = cache()
            return cached(folder, name) or built(compiler, folder, name)
        except (OSError, RuntimeError):  # a user without a home, or with one that cannot be written to
            with tempfile.TemporaryDirectory() as scratch:
                return built(compiler, Path(scratch), name)
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", None) or str(error).encode()
        warn(f"{compiler} does not compile it here: {words.decode(errors='replace').strip()[:500]}")
        return None


def warn(why: str) -> None:
    print(f"slotbench: selection runs without its kernel, slower and to the same bits ({why})", file=sys.stderr)


def cache() -> Path:
    """The user's folder for what can be made again."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slotbench"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def cached(folder: Path, name: str) -> ctypes.CDLL | None:
    """The kernel of this name in `folder`, if its content is what its name says: a damaged one would end Python."""
    for kept in sorted(folder.glob(f"{name}-*.so")):
        try:
            if kept.is_file() and kept.stem == f"{name}-{digest(kept)}":
                return ctypes.CDLL(str(kept))
        except OSError:  # built beside other libraries, as in a container
            continue
    return None


def built(compiler: str, folder: Path, name: str) -> ctypes.CDLL:
    """The kernel, compiled into `folder`."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part = Path(scratch, "step.so")
        subprocess.run([compiler, *FLAGS, "-o", part, SOURCE, "-lm"], check=True, capture_output=True)
        whole = folder / f"{name}-{digest(part)}.so"
        for old in folder.glob(f"{name}-*.so"):
            if old != whole and old.is_file():
                old.unlink(missing_ok=True)
        part.replace(whole)
    return ctypes.CDLL(str(whole))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def processor() -> bytes:
    """What tells this machine's instruction set from another's."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        return b"".join(sorted({line for line in lines if line.startswith((b"model name", b"flags", b"Features"))}))
    except OSError:
        return " ".join(platform.uname()).encode()


@functools.cache
def gpu(device: torch.device) -> Any:
    """`kernel_gpu`, by Triton, which comes with torch's builds for GPUs, where a first step shows that it works."""
    try:
        from slotbench.selection import kernel_gpu

        kernel_gpu.try_out(device)
    except Exception as error:  # whatever Triton lacks on this machine: a compiler, Python's headers, a driver
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(
            f"slotbench: selection runs without Triton on {device}, which makes a step several times as long "
            f"({type(error).__name__}: {first[:300]})",
            file=sys.stderr,
        )
        return None
    return kernel_gpu


def greedy_step_of(weight: Tensor) -> GreedyStep | None:
    """The fused step of greedy selection for this layer, where there is one."""
    way = path(weight.device)
    if way == "triton":
        on_gpu: GreedyStep = gpu(weight.device).greedy_step
        return on_gpu
    return greedy_step if way == "compiled" else None


def draw_of(weight: Tensor) -> Draw | None:
    """`probabilistic.draw` in one pass for this layer, where there is one."""
    way = path(weight.device)
    if way == "triton":
        on_gpu: Draw = gpu(weight.device).draw
        return on_gpu
    return draw if way == "compiled" else None


def greedy_step(layer: Layer, climber: Any, settings: Settings, units: tuple[float, float]) -> None:
    """`slots.train_b` and `greedy.climb` in one pass."""
    getattr(library(), f"greedy_step_{TYPES[layer.weight.dtype]}")(
        ctypes.c_int64(layer.weight.numel()),
        *pointers(layer.weight, layer.gradient, layer.b, layer.momentum, climber.entry, climber.low, climber.high),
        *pointers(climber.levels, climber.breakpoints),
        *map(ctypes.c_double, settings[:3]),
        ctypes.c_int(settings.nesterov),
        *map(ctypes.c_double, units),
    )


def draw(weight: Tensor, b: Tensor, options: Tensor, scores: Tensor, a: float, seed: int) -> None:
    """`probabilistic.draw` in one pass."""
    k, connections = options.shape
    scratch = torch.empty(k, BLOCK, dtype=weight.dtype)
    getattr(library(), f"draw_{TYPES[weight.dtype]}")(
        ctypes.c_int64(connections),
        ctypes.c_int64(k),
        *pointers(weight, b, options, scores, scratch),
        ctypes.c_double(a),
        ctypes.c_uint64(seed % 2**64),
    )


def envelopes(
    options: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], dtype: np.dtype[Any], sign: int
) -> Steps | None:
    """`staircase.climb` in one pass, where there is a compiler."""
    compiled = library() if enabled else None
    if compiled is None:
        return None
    connections, k = options.shape
    levels, breakpoints = np.empty(options.size, dtype), np.empty(options.size, dtype)
    counts, scratch = np.empty(connections, np.int64), np.empty(3 * (k + LANES))
    arrays = [np.ascontiguousarray(one) for one in (options, scores)]
    climb = compiled[f"envelopes_{dtype}"]  # a new object each time, since threads set its type
    climb.restype = ctypes.c_int64
    total = climb(
        ctypes.c_int64(connections),
        ctypes.c_int64(k),
        *(one.ctypes.data_as(ctypes.c_void_p) for one in arrays),
        ctypes.c_double(sign),
        *(one.ctypes.data_as(ctypes.c_void_p) for one in (levels, breakpoints, counts, scratch)),
    )
    return levels[:total].copy(), breakpoints[:total].copy(), counts


def pointers(*tensors: Tensor) -> tuple[ctypes.c_void_p, ...]:
    return tuple(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)
