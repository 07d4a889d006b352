"""What a network has selected of what it was offered, layer by layer: for its record, once, at the end of training.

Everything is drawn anew from the seed, block by block; only the staircases of one layer are held at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from slotbench.results.records import Layer
from slotbench.selection.options import Options
from slotbench.selection.slots import Slots
from slotbench.selection.staircase import build, threads

BINS = 40
"""Of the histograms, over ± the bound of a layer's options."""


def layers(optimizer: Slots) -> list[Layer]:
    """Of each layer of a network whose weights are those that `optimizer.eval()` selects."""
    return [layer(weight, optimizer.options[weight], -1 if a < 0 else 1) for weight, a in optimizer.a.items()]


def layer(weight: Tensor, options: Options, sign: int = 1) -> Layer:
    """Of one layer, while a (`slots`) has this sign."""
    selected = weight.detach().cpu().contiguous().view(-1).numpy()
    offered, magnitude, ranks = np.zeros(BINS, np.int64), 0.0, np.zeros(options.k, np.int64)
    for start, values, _ in options.blocks():
        chosen = selected[start : start + len(values), None]
        ranks += np.bincount((values < chosen).sum(axis=1), minlength=options.k)
        magnitude += float(np.abs(values).sum(dtype=np.float64))
        offered += histogram(values, options.option_bound)

    staircase = build(options, selected.dtype, sign, threads(weight.device))
    levels = np.diff(staircase.first)
    owner = np.repeat(np.arange(len(levels)), levels)
    # NaN, each connection's first breakpoint, compares false
    start_level = np.bincount(owner, staircase.breakpoints[:-1] < 0, len(levels))
    level = np.bincount(owner, staircase.levels < selected[owner], len(levels))
    moved = (level - start_level).astype(np.int64)
    return Layer(
        connections=len(selected),
        selected_magnitude=float(np.abs(selected).mean(dtype=np.float64)) / options.option_bound,
        offered_magnitude=magnitude / (len(selected) * options.k * options.option_bound),
        selected=shares(histogram(selected, options.option_bound)),
        offered=shares(offered),
        levels=shares(np.bincount(levels)[1:]),
        bits_of_rank=entropy(ranks),
        bits_of_move=entropy(np.bincount(moved - moved.min())),
    )


def histogram(values: npt.NDArray[np.floating], bound: float) -> npt.NDArray[np.int64]:
    """How many of `values` lie in each of `BINS` equal parts of ± `bound`."""
    places = values.reshape(-1) * (BINS / 2 / bound)
    places += BINS / 2
    return np.bincount(np.clip(places.astype(np.int64), 0, BINS - 1), minlength=BINS)


def shares(counts: npt.NDArray[np.int64]) -> list[float]:
    return [float(share) for share in counts / counts.sum()]


def entropy(counts: npt.NDArray[np.int64]) -> float:
    """In bits, of one draw from what was counted."""
    share = counts[counts > 0] / counts.sum()
    return abs(float((share * np.log2(share)).sum()))
