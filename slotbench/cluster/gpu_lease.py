"""Which GPU a process trains on: one that no other cell of this machine holds.

Snakemake counts GPUs, but does not say which one is whose. Here each GPU has slots, and a slot is a lock on a file: the
kernel gives it back when its holder ends, however it ends. torch is not imported: it must find its GPU chosen.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from itertools import product, takewhile
from pathlib import Path

LOCKS = Path("/dev/shm/slotbench-gpus")
"""Of all users, and kept until the machine restarts: who removes a file that is locked lets a second one in."""
MACHINE = Path("/proc/driver/nvidia/gpus")
SECONDS_BETWEEN_TRIES = 0.1


def devices() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; if that is not set, all there are."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(len([*MACHINE.glob("*")]))]
    # As CUDA reads it: whatever stands behind a name that names nothing does not count.
    named = (name.strip() for name in visible.split(","))
    return [*takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), named)]


def take(share: int = 1) -> str | None:
    """Makes one GPU the only visible one until this process ends; waits where other cells hold them all.

    `share` cells may hold a GPU at once; 0 hides all GPUs. Returns the GPU's name; None without one. To be called
    before CUDA is first asked for a device, which is when it reads CUDA_VISIBLE_DEVICES.
    """
    mine = devices() if share else []
    told = False
    while mine:
        # Every GPU's first slot comes before any second one.
        for slot, device in product(range(share), mine):
            if _locked(device, slot):
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                return device
        if not told:
            print(f"slotbench: waiting for a GPU: other cells hold {', '.join(mine)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)
    if not share:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return None


def _locked(device: str, slot: int) -> bool:
    """Whether this process holds the slot now; the file stays open, and so locked, until the process ends."""
    # SLURM may number the GPUs of each job from 0, and has chosen already: its jobs share their GPUs with no other.
    job = os.environ.get("SLURM_JOB_ID", "machine")
    with suppress(FileExistsError):
        LOCKS.mkdir()
        LOCKS.chmod(0o1777)
    path = LOCKS / f"{job}-{device.replace('/', '-')}-{slot}"
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Not more than to read is needed to lock a file, so that it may belong to another user.
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    return True
