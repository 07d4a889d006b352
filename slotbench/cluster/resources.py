"""What a cell needs of the machine that trains it, told to schedulers before it starts: memory and minutes.

From what the reference records measured, and generously: a job that asks for too much waits a little, one that asks for
too little is killed. tests/committed/test_resources.py holds this to every committed record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from slotbench import recipes
from slotbench.cells import Cell

IMAGES, STEPS = 54_000, 430
"""of an epoch of the larger datasets, at most"""
CONNECTIONS: dict[str, float] = {
    "lenet": 266_200,
    "conv2": 4_300_992,
    "conv4": 2_425_024,
    "conv6": 2_261_184,
    "vgg19": 20_024_000,
}
"""with the recipe's widest padding; an architecture that is not here asks for as much as the largest that is"""
FLOPS = {"lenet": 1.2e6, "conv2": 2.6e8, "conv4": 5.9e8, "conv6": 9.2e8, "vgg19": 2.4e9}
"""of an image's forward and backward pass, by torch's counter, likewise"""

HEADROOM = 3
"""Over measured minutes: for slower processors, and for cells beside it."""


def mem_mb(cell: Cell) -> int:
    """Memory in MB. Measured: 0.45 GB for LeNet and 1.7 for CONV-2, of which torch takes 0.25."""
    return 1500 + round(400 * of(CONNECTIONS, cell) / 1e6)


def minutes(cell: Cell) -> int:
    """Minutes of one core for LeNet, of a GPU for the other networks.

    Measured on a core, LeNet on MNIST: 0.5 s an epoch alone and 1.8 s beside other programs, all included; 1.7 s of
    probabilistic sampling at K = 8, which passes over all options in every step. No GPU has been measured yet: an old
    one is assumed.
    """
    flops, options = (4e10, 3e8) if cell.architecture == "lenet" else (2e12, 1e10)  # a second
    epoch = 0.5 + IMAGES * of(FLOPS, cell) / flops
    offered = of(CONNECTIONS, cell) * cell.k
    if cell.selection == "probabilistic" and cell.parent is None:
        epoch += STEPS * offered / options
    epochs = recipes.of(replace(cell, seed=0)).epochs - cell.start_epoch
    return math.ceil(HEADROOM * (60 + offered / 5e6 + epochs * epoch) / 60)


def of(sizes: Mapping[str, float], cell: Cell) -> float:
    return sizes.get(cell.architecture, max(sizes.values()))
