"""The machine that a cell is trained on: its device, its threads, its memory, and what makes it repeat itself."""

from __future__ import annotations

import os
import platform
import resource
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from slotbench.recipes import Precision

MEMORY_ERRORS = (MemoryError, RuntimeError)
"""What Python, and torch on a CPU or GPU, raise when memory runs out (torch's OutOfMemoryError is a RuntimeError)."""


def is_out_of_memory(error: BaseException) -> bool:
    """Torch has no type of its own for a CPU that is out of memory: its words must tell."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def prepare(threads: int, precision: Precision = "float32", deterministic: bool = False) -> torch.device:
    """The device to train on: the first GPU if there is one, else the CPU with so many threads.

    Also sets, for the whole process, how it computes. `precision` "tf32" lets a GPU's tensor cores round the factors of
    matrix products and convolutions to 10 bits; a CPU has nothing of the kind, and computes them in float32. A cell
    that is run twice on one machine gives equal bits: a CPU's sums have one order, and a GPU's libraries are held to
    algorithms that repeat themselves, in as far as torch lets one choose them. `deterministic` makes torch refuse, by
    a RuntimeError, what it knows not to repeat itself.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS reads when CUDA starts
    torch.backends.cudnn.benchmark = False  # it would choose algorithms by their times, another one every day
    torch.backends.cudnn.deterministic = True
    # By torch's older and newer names alike: what reads one when only the other was set (torch's compiler) fails
    rounding = "tf32" if precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.fp32_precision = rounding
    torch.backends.cudnn.conv.fp32_precision = rounding  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = rounding  # type: ignore[attr-defined]
    forget_peak()
    # torch.use_deterministic_algorithms by its other name, which does not spend a second on importing a compiler
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if "AuthenticAMD" in processor("vendor_id"):
        multiply_by_onednn()
    return torch.device("cpu")


def multiply_by_onednn() -> None:
    """Lets oneDNN multiply float32 matrices, if it does so in float32. torch leaves them to MKL, which does not use all
    of an AMD processor: a step of LeNet took 1.7 times as long.

    torch does this only where factors may be rounded to bfloat16, which oneDNN makes use of where the processor has a
    unit for it. Rounding would show in a product by 1.
    """
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # type: ignore[attr-defined]
    thirds = torch.arange(2**16).view(256, 256) / 3
    if not torch.equal(thirds @ torch.eye(256), thirds):
        torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context of every forward pass: with "bf16", products and convolutions are in bfloat16; weights stay float32.

    Without autocast's cache of cast weights: every weight is used once in a pass, and CUDA graphs do not allow it.
    """
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if precision == "bf16" else nullcontext()


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` on `device`, before its optimizer is built: its convolutions channels-last, which oneDNN on a CPU and
    a GPU's tensor cores compute in less time (benchmarks/step_cost.py)."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def device_name(device: torch.device) -> str:
    """The processor's or GPU's own name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return processor("model name") or platform.processor() or platform.machine()


def processor(field: str) -> str:
    """What Linux says of its first processor, such as its "model name"; "" where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use since `prepare`: of the process on a CPU, of torch's allocator on a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Counts the most memory in use from here on: one process may train several cells."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):  # not Linux, or a container that does not allow it: then it is that of the process
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of all tensors that an optimizer holds, its parameters included and their gradients not."""
    sizes: dict[int, int] = {}
    waiting: list[Any] = [vars(optimizer)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, torch.Tensor):
            sizes[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        elif isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one
    return sum(sizes.values())


def without_compiler(*functions: Any) -> None:
    """Marks functions of torch as what its compiler leaves alone.

    torch would do so itself when one is first called, and import its whole compiler for that: more than a second, as
    long as all the rest of the start of a cell. Nothing is compiled here.
    """
    for function in functions:
        plain = getattr(function, "__wrapped__", function)
        setattr(plain, "__dynamo_disable", plain)


without_compiler(
    *(getattr(Optimizer, name) for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"))
)
