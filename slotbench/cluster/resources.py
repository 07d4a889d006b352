"""What a cell needs of the machine that trains it, told to schedulers before it starts: memory and minutes.

From what the reference records measured, and generously: a job that asks for too much waits a little, one that asks for
too little is killed. tests/committed/test_resources.py holds this to every committed record.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell

IMAGES, STEPS = 54_000, 430
"""of an epoch of the larger datasets, at most"""

SMALL = 1e7
"""FLOPs of an image, below which a network is trained on a core."""

HEADROOM = 3
"""Over measured minutes: for slower processors, and for cells beside it."""


def mem_mb(cell: Cell) -> int:
    """Memory in MB. Measured: 0.45 GB for LeNet and 1.7 for CONV-2, of which torch takes 0.25."""
    return 1500 + round(400 * ARCHITECTURES[cell.architecture].connections / 1e6)


def machine_mb() -> int:
    """Memory of this machine in MB, or as much of it as a container or a scheduler's job may have."""
    limits = [psutil.virtual_memory().total]
    groups = {"memory/memory.limit_in_bytes"}
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            group = Path(line.split(":", 2)[2].lstrip("/"))
            groups |= {str(place / "memory.max") for place in (group, *group.parents)}
    for name in groups:
        with suppress(OSError, ValueError):  # "max": no limit
            limits.append(int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")))
    return min(limits) // 10**6


def minutes(cell: Cell) -> int:
    """Minutes of one core for a small network such as LeNet, of a GPU for the others.

    Measured on a core, LeNet on MNIST: 0.5 s an epoch alone and 1.8 s beside other programs, all included; 1.7 s of
    probabilistic sampling at K = 8, which passes over all options in every step. An old GPU is assumed: an H100 takes a
    second for an epoch of CONV-6 in bfloat16 beside three other cells.
    """
    size = ARCHITECTURES[cell.architecture]
    flops, options = (4e10, 3e8) if size.flops < SMALL else (2e12, 1e10)  # a second
    epoch = 0.5 + IMAGES * size.flops / flops
    offered = size.connections * cell.k
    if cell.selection == "probabilistic" and cell.parent is None:
        epoch += STEPS * offered / options
    epochs = recipes.of(replace(cell, seed=0)).epochs - cell.start_epoch
    return math.ceil(HEADROOM * (60 + offered / 5e6 + epochs * epoch) / 60)
