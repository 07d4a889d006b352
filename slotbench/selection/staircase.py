"""From the options of a connection to its staircase: the levels it can climb and the breakpoints between.

A connection's score of option k is a·s⁰_k + b·w_k at every step of SGD, for one pair (a, b) that does not depend
on k (docs/method.md). The option with the highest score is therefore the slope, at θ = b/a, of the upper envelope of
the K lines s⁰_k + w_k·θ: few levels, in increasing order, however large K is.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from slotbench.selection import kernel
from slotbench.selection.options import Options

Float64 = npt.NDArray[np.float64]


class Staircase(NamedTuple):
    """The staircases of a layer's connections, one after the other, from each one's lowest level to its highest.

    Connection i owns entries first[i] to first[i+1] of `levels` (weights) and `breakpoints`. It stands on
    entry j while a·breakpoints[j] < b ≤ a·breakpoints[j+1]. A connection's first breakpoint is NaN, which no comparison
    ever passes, so that nothing climbs below its own first level, nor above its last onto the next connection's;
    one more NaN ends the array.
    """

    levels: npt.NDArray[np.floating]
    breakpoints: npt.NDArray[np.floating]
    first: npt.NDArray[np.int64]


def build(options: Options, dtype: npt.DTypeLike, sign: int = 1, threads: int | None = 1) -> Staircase:
    """The staircases for a > 0 (`sign` 1) or a < 0 (`sign` -1), where |a| takes the place of a.

    Breakpoints are computed in float64, then rounded to `dtype`. A tie goes to the lowest option, as in argmax:
    where the upper of two levels has it, the breakpoint is moved down by one float. Each of `threads` (None: as many as
    there are processors) takes a block of connections at a time; what is built does not depend on how many there are.
    """
    dtype = np.dtype(dtype)

    def of_block(start: int) -> kernel.Steps:
        _, weights, scores = options.block(start)
        compiled = kernel.envelopes(weights, scores, dtype, sign)
        return compiled or climb(weights.astype(np.float64), sign * scores.astype(np.float64), dtype)

    if threads == 1:  # a thread cannot start where memory has run out, and Python would wait for it without end
        steps = list(map(of_block, options.starts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            steps = list(pool.map(of_block, options.starts))
    levels, breakpoints, counts = zip(*steps, strict=True)
    first = np.zeros(options.connections + 1, np.int64)
    np.cumsum(np.concatenate(counts), out=first[1:])
    ends = np.full(1, np.nan, dtype)
    return Staircase(np.concatenate(levels), np.concatenate([*breakpoints, ends]), first)


def threads(device: torch.device) -> int | None:
    """How many to build with: as many as torch computes with on a CPU, which others may share; beside a GPU, all."""
    return torch.get_num_threads() if device.type == "cpu" else None


def climb(weights: Float64, scores: Float64, dtype: np.dtype[Any]) -> kernel.Steps:
    """Walks each row's envelope from its lowest slope up; every pass takes one step in all rows not at their end."""
    n = len(weights)
    # From θ = -∞ the lowest weight wins; of equal weights the highest score, of equal scores the lowest option.
    lowest = weights == weights.min(axis=1, keepdims=True)
    current = np.where(lowest, scores, -np.inf).argmax(axis=1)
    rows = np.arange(n)
    reached = np.full(n, -np.inf, dtype)
    steps = [(rows, weights[rows, current], np.full(n, np.nan))]
    while True:
        rise = weights - np.take_along_axis(weights, current[:, None], 1)
        fall = np.take_along_axis(scores, current[:, None], 1) - scores
        with np.errstate(divide="ignore", invalid="ignore"):
            corners = np.where(rise > 0, fall / rise, np.inf)
        corner = corners.min(axis=1)
        going = np.isfinite(corner)
        if not going.any():
            break
        if not going.all():
            weights, scores, rows = weights[going], scores[going], rows[going]
            current, corner, corners, reached = current[going], corner[going], corners[going], reached[going]
        meeting = corners == corner[:, None]
        lowest_index = meeting.argmax(axis=1)
        steepest = np.where(meeting, weights, -np.inf).argmax(axis=1)
        # At the corner itself the lowest of the options that meet there wins, even one between the two levels.
        following = np.where(lowest_index < current, lowest_index, steepest)
        # Rounding never makes a staircase go down: b alone decides the level, not the way there.
        reached = np.maximum(_round(corner, dtype, below=following < current), reached)
        current = following
        steps.append((rows, weights[np.arange(len(rows)), current], reached))

    counts = np.zeros(n, np.int64)
    for step_rows, _, _ in steps:
        counts[step_rows] += 1
    first = np.cumsum(counts) - counts
    levels, breakpoints = np.empty(counts.sum(), dtype), np.empty(counts.sum(), dtype)
    for number, (step_rows, level, breakpoint) in enumerate(steps):
        levels[first[step_rows] + number] = level
        breakpoints[first[step_rows] + number] = breakpoint
    return levels, breakpoints, counts


def _round(breakpoint: Float64, dtype: np.dtype[Any], below: npt.NDArray[np.bool_]) -> npt.NDArray[np.floating]:
    """The breakpoint in `dtype`, one float lower where `below`."""
    rounded = breakpoint.astype(dtype)
    lower = np.nextafter(rounded, dtype.type(-np.inf))
    # Below zero comes the smallest normal number: a subnormal one might be flushed, or vanish when multiplied by a.
    lower[rounded == 0] = -np.finfo(dtype).tiny
    return np.where(below, lower, rounded)
