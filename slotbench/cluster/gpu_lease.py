"""Which GPU a process trains on: one that no other cell of this machine holds.

Snakemake counts GPUs, but does not say which one is whose. Here each GPU has slots, and a slot is a lock on a file: the
kernel gives it back when its holder ends, however it ends. torch is not imported: it must find its GPU chosen. Which
GPUs there are is asked of CUDA's driver, the library that torch computes by: what /proc or a variable names may be
another machine's, as in a container, or not all there is, as under WSL2 and on a Jetson.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from itertools import product, takewhile
from pathlib import Path

from slotbench import locking
from slotbench.errors import InputError

LOCKS = "slotbench-gpus"
"""A folder of all users, kept until the machine restarts: who removes a file that is locked lets a second one in."""
DRIVER = "libcuda.so.1"
SECONDS_BETWEEN_TRIES = 0.1
TRIES = 20
"""Until a lock's file that cannot be opened counts as not this user's: whoever makes it opens it to all at once."""

ASK = f"""
import ctypes
driver, count = ctypes.CDLL({DRIVER!r}), ctypes.c_int(0)
print(0 if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value)
"""
"""Run by a process of its own: the driver reads CUDA_VISIBLE_DEVICES once, and training has yet to choose."""


def devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; if that is not set, all there are.

    What is named and not there is told on stderr.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(_there())]
    # As CUDA reads it: whatever stands behind a name that names nothing does not count.
    names = (name.strip() for name in visible.split(","))
    named = [*takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names)]
    there = named[: _there()] if named else []
    if there != named:
        rest = f"using {', '.join(there)}" if there else "training on the CPU"
        print(
            f"slotbench: CUDA_VISIBLE_DEVICES={visible}: CUDA's driver finds no GPU {named[len(there)]}; {rest}",
            file=sys.stderr,
            flush=True,
        )
    return there


def _there() -> int:
    """How many GPUs CUDA's driver lets this process use: of those named in CUDA_VISIBLE_DEVICES, if it is set."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return 0
    done = subprocess.run([sys.executable, "-I", "-S", "-c", ASK], capture_output=True, check=False)
    return int(done.stdout) if done.returncode == 0 else 0


def take(share: int = 1) -> str | None:
    """Makes one GPU the only visible one until this process ends; waits where other cells hold them all.

    `share` cells may hold a GPU at once; 0 hides all GPUs. Returns the GPU's name; None without one. To be called
    before CUDA is first asked for a device, which is when it reads CUDA_VISIBLE_DEVICES.
    """
    mine = devices() if share else []
    told = False
    # Every GPU's first slot comes before any second one.
    slots = {_lock_of(device, slot): device for slot, device in product(range(share), mine)}
    denied = dict.fromkeys(slots, 0)
    while mine:
        for path, device in slots.items():
            try:
                if _locked(device, path):
                    os.environ["CUDA_VISIBLE_DEVICES"] = device
                    return device
                denied[path] = 0
            except PermissionError:
                denied[path] += 1
        if min(denied.values()) > TRIES:
            raise InputError(
                f"{', '.join(map(str, slots))}: not to be read; let their owner remove them, and try again"
            )
        if not told:
            print(f"slotbench: waiting for a GPU: other cells hold {', '.join(mine)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)
    if not share:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return None


def keep_if_used(device: str | None) -> None:
    """Lets others have the GPU that `take` gave if the installed torch cannot compute on it, and says so."""
    import torch

    if device is not None and not torch.cuda.is_available():
        os.close(_held.pop(device))
        print(
            f"slotbench: GPU {device}: torch {torch.__version__} cannot use it; training on the CPU",
            file=sys.stderr,
            flush=True,
        )


_held: dict[str, int] = {}
"""The open file of each GPU that this process holds."""


def _lock_of(device: str, slot: int) -> Path:
    # SLURM may number the GPUs of each job from 0, and has chosen already: its jobs share their GPUs with no other.
    job = os.environ.get("SLURM_JOB_ID", "machine")
    return locking.shared_folder(LOCKS) / f"{job}-{device.replace('/', '-')}-{slot}"


def _locked(device: str, path: Path) -> bool:
    """Whether this process holds the slot now; the file stays open, and so locked, until the process ends."""
    file = locking.opened(path)
    if locking.taken(file):
        _held[device] = file
        return True
    os.close(file)
    return False
