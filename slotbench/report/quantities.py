"""What a claim can be about: each quantity is one entry of `QUANTITIES`, with its interval over seeds.

Of a comparison, `first` and `second` are numbers of two groups of cells, [seeds, K]; a seed stands in one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from slotbench.results.table import CONFIDENCE, DIGITS, half_interval

Floats = npt.NDArray[np.float64]

RESOLUTION = 0.01
"""Points of accuracy: one image of a test set of 10,000. Seeds that came out alike are not known to lie closer than
that, so that no standard deviation counts as smaller."""


class Estimate(NamedTuple):
    """A quantity over seeds, and the ends of its two-sided 95 % interval; infinite ends where there is one seed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Quantity:
    """What is computed from the cells of a claim, and held to its margin."""

    column: str
    """of the table, `flops_in_all` with what a cell started from"""
    unit: str
    sample: Callable[[Floats, Floats], Floats]
    """first, second → [seeds, comparisons]; every comparison has to hold"""
    estimate: Callable[[Floats], Estimate]
    """one comparison's seeds → its value and interval"""
    p_value: Callable[[Floats, float], float]
    """one comparison's seeds, margin → how likely seeds so far from the margin are if it holds just so, two-sided"""
    fewest: int = 3
    """matched seeds that it needs before it may decide"""
    groups: int = 2
    """of cells that it compares; a spread's second one is for its margin"""
    fewest_k: int = 1
    published: Literal["figure", "values", "nowhere"] = "nowhere"
    """where the paper's number is: in the figure or text that the claim names, in the values of each cell, nowhere"""
    counted_from_published: bool = False
    """whether the margin is counted from the published number"""
    spread_of_second: bool = False
    """whether the margin is no smaller than `times` the standard deviation of the second group"""
    implementations: bool = False
    """whether other implementations' numbers of training state stand beside it"""


# ---- [seeds, K] of two groups → [seeds, comparisons] -----------------------------------------------------


def _first(first: Floats, second: Floats) -> Floats:
    return _over_k(first)


def _difference(first: Floats, second: Floats) -> Floats:
    return _over_k(first - second)


def _ratio(first: Floats, second: Floats) -> Floats:
    return _over_k(first / second)


def _ratio_by_k(first: Floats, second: Floats) -> Floats:
    return first / second


def _first_gain_minus_later(first: Floats, second: Floats) -> Floats:
    gains = np.diff(first, axis=1)
    return gains[:, :1] - gains[:, 1:]


def _over_k(values: Floats) -> Floats:
    # Accuracies have two decimals and FLOPs are whole: what floating point adds further back is not there.
    return np.asarray(values.mean(axis=1, keepdims=True).round(DIGITS))


# ---- one comparison's seeds → its interval ---------------------------------------------------------------


def deviation(sample: Floats) -> float:
    """The standard deviation over seeds, no smaller than what a test set resolves."""
    return max(float(sample.std(ddof=1)), RESOLUTION)


def mean_interval(sample: Floats) -> Estimate:
    """The mean and its t-interval."""
    mean, n = float(sample.mean()), len(sample)
    if n < 2:
        return Estimate(mean, -np.inf, np.inf)
    half = half_interval(deviation(sample), n)
    return Estimate(mean, mean - half, mean + half)


def _mean_p(sample: Floats, margin: float) -> float:
    n = len(sample)
    if n < 2:
        return np.nan
    distance = abs(float(sample.mean()) - margin) / (deviation(sample) / np.sqrt(n))
    return float(2 * stats.t.sf(distance, n - 1))


def deviation_interval(sample: Floats) -> Estimate:
    """The standard deviation and its χ² interval."""
    n = len(sample)
    if n < 2:
        return Estimate(np.nan, 0.0, np.inf)
    value = deviation(sample)
    tails = stats.chi2.ppf([0.5 + CONFIDENCE / 2, 0.5 - CONFIDENCE / 2], n - 1)
    low, high = value * np.sqrt((n - 1) / tails)
    return Estimate(value, float(low), float(high))


def _deviation_p(sample: Floats, margin: float) -> float:
    n = len(sample)
    if n < 2:
        return np.nan
    law, ratio = stats.chi2(n - 1), (n - 1) * (deviation(sample) / margin) ** 2
    return float(2 * min(law.cdf(ratio), law.sf(ratio)))


def _range(sample: Floats) -> Estimate:
    """Of a quantity that no seed changes much: the mean, the smallest and the largest."""
    return Estimate(float(sample.mean()), float(sample.min()), float(sample.max()))


def _no_p(sample: Floats, margin: float) -> float:
    return np.nan


POINTS, TIMES = " points", " ×"
QUANTITIES = {
    # Test accuracy of the first cells
    "accuracy": Quantity(
        "test_accuracy", " %", _first, mean_interval, _mean_p, groups=1, published="figure", counted_from_published=True
    ),
    # Accuracy of the first cells minus that of the second, the mean over K
    "difference": Quantity("test_accuracy", POINTS, _difference, mean_interval, _mean_p, published="values"),
    # Standard deviation over seeds of the accuracy of the first cells
    "spread": Quantity(
        "test_accuracy", POINTS, _first, deviation_interval, _deviation_p, fewest=5, spread_of_second=True
    ),
    # The gain of accuracy from the first to the second K, minus each later gain
    "largest gain": Quantity(
        "test_accuracy", POINTS, _first_gain_minus_later, mean_interval, _mean_p, groups=1, fewest_k=3,
        published="values",
    ),
    # FLOPs of the first cells over those of the second, each with what it started from
    "cost": Quantity("flops_in_all", TIMES, _ratio, _range, _no_p, fewest=1),
    # Bytes of training state of the first cells over those of the second, K by K
    "memory": Quantity("state_bytes", TIMES, _ratio_by_k, _range, _no_p, fewest=1, implementations=True),
    # Mean magnitude of the selected weights over that of all options, in the layer where it is smallest
    "magnitude": Quantity("magnitude", TIMES, _first, _range, _no_p, fewest=1, groups=1),
}  # fmt: skip
