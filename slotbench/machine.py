"""The machine that a cell is trained on: its device, its threads, its memory, and what makes it repeat itself."""

from __future__ import annotations

import platform
import resource
import sys
from pathlib import Path

import torch

MEMORY_ERRORS = (MemoryError, RuntimeError)
"""What Python, and torch on a CPU or GPU, raise when memory runs out (torch's OutOfMemoryError is a RuntimeError)."""


def is_out_of_memory(error: BaseException) -> bool:
    """Torch has no type of its own for a CPU that is out of memory: its words must tell."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def prepare(threads: int) -> torch.device:
    """The device to train on: the first GPU if there is one, else the CPU with so many threads."""
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        # The same sums in the same order: what differs between two runs of one cell must be nothing.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        return torch.device("cuda")
    return torch.device("cpu")


def name(device: torch.device) -> str:
    """The processor's or GPU's own name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()


def peak_bytes(device: torch.device) -> int:
    """The most memory that was ever in use: of the process on a CPU, of torch's allocator on a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
