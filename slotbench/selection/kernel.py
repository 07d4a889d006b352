"""The fused step of `step.c`, compiled when first needed by the machine's C compiler, if it has one; on a GPU, that
of `kernel_gpu`, compiled by Triton.

Without a compiler everything runs through torch alone and selects the same, at the cost of a few more passes
over the weights (docs/performance.md). `SLOTBENCH_KERNEL=0` does without one.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

GreedyStep = Callable[[Tensor, dict[str, Tensor], Any, dict[str, Any]], None]
"""(weight, its state, its `greedy.Climber`, its group's settings)"""
Steps = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating], npt.NDArray[np.int64]]
"""Levels and breakpoints of some connections, one after the other, and how many each has"""
SOURCE = Path(__file__).with_name("step.c")
TYPES = {torch.float32: "float32", torch.float64: "float64"}
BLOCK, LANES = 512, 8
"""As in step.c"""
enabled = os.environ.get("SLOTBENCH_KERNEL") != "0"
"""Whether to use the kernel; off, it is as on a machine without a compiler."""
FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernel, from the user's cache where it is there; None without a compiler that works."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    # A folder of results may be shared by machines that are not alike: the name says source, compiler and processor.
    key = hashlib.sha256(b"\0".join([SOURCE.read_bytes(), " ".join(FLAGS).encode(), compiler.encode(), processor()]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slotbench"
    built = cache / f"step-{key.hexdigest()[:16]}.so"
    try:
        if not built.exists():
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                part = Path(folder, built.name)
                subprocess.run([compiler, *FLAGS, "-o", part, SOURCE, "-lm"], check=True, capture_output=True)
                part.replace(built)
        return ctypes.CDLL(str(built))
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> bytes:
    """What tells this machine's instruction set from another's."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        return b"".join(sorted({line for line in lines if line.startswith((b"model name", b"flags", b"Features"))}))
    except OSError:
        return " ".join(platform.uname()).encode()


def usable(weight: Tensor) -> bool:
    """Whether the kernel can take this layer's step."""
    return enabled and weight.device.type == "cpu" and weight.dtype in TYPES and library() is not None


def greedy_step_of(weights: list[Tensor]) -> GreedyStep | None:
    """The fused step for these layers, where there is one."""
    if all(map(usable, weights)):
        return greedy_step
    if enabled and all(weight.is_cuda and weight.dtype in TYPES for weight in weights):
        return greedy_step_on_gpu(weights[0].device)
    return None


@functools.cache
def greedy_step_on_gpu(device: torch.device) -> GreedyStep | None:
    """By Triton, which comes with torch's builds for GPUs, where a first step shows that it works."""
    try:
        from slotbench.selection import kernel_gpu

        kernel_gpu.try_out(device)
    except Exception:  # whatever it is that Triton lacks on this machine: a compiler, Python's headers, a driver
        return None
    return kernel_gpu.greedy_step


def greedy_step(weight: Tensor, state: dict[str, Tensor], climber: Any, group: dict[str, Any]) -> None:
    """SGD on `state["b"]` by `weight.grad`, then the climb: `slots.Slots._train_b` and `greedy.climb` in one pass."""
    getattr(library(), f"greedy_step_{TYPES[weight.dtype]}")(
        ctypes.c_int64(weight.numel()),
        *pointers(weight, gradient(weight), state["b"], state["momentum"], climber.entry, climber.low, climber.high),
        *pointers(climber.levels, climber.breakpoints),
        ctypes.c_double(group["lr"]),
        ctypes.c_double(group["momentum"]),
        ctypes.c_double(group["weight_decay"]),
        ctypes.c_int(group["nesterov"]),
        ctypes.c_double(abs(group["a"])),
    )


def gradient(weight: Tensor) -> Tensor:
    """The gradient of `weight`, in its layout."""
    assert weight.grad is not None
    if weight.grad.stride() == weight.stride():
        return weight.grad
    return torch.empty_like(weight).copy_(weight.grad)


def draw(weight: Tensor, b: Tensor, options: Tensor, scores: Tensor, a: float, seed: int) -> None:
    """`probabilistic.draw` in one pass: `weight` and `b` in row-major order, the others [K, connections]."""
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
    climb = getattr(compiled, f"envelopes_{dtype}")
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
