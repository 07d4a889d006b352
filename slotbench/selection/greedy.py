"""Greedy selection: every connection uses the option with the highest score (paper, section 3).

The K scores never exist. A connection climbs its staircase (`staircase`), and only when b leaves the interval
between the two breakpoints around its present level: a fraction of a percent of the connections in a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slotbench.selection import kernel
from slotbench.selection.options import fill
from slotbench.selection.slots import Layer, Settings, Slots, train_b
from slotbench.selection.staircase import build, threads

LARGEST_POWER = {torch.float32: 126, torch.float64: 1022}
"""of 2, whose inverse is still a normal number"""
Numbers = npt.NDArray[np.floating]
BLOCK = 2**15
"""Connections that are compared at once where that takes products: few enough for a processor's cache"""


class Climber(NamedTuple):
    """Where the connections of one layer stand. `entry`, `low` and `high` have the layer's shape and layout."""

    levels: Tensor
    breakpoints: Tensor
    """`staircase.Staircase`'s, for the present sign of a"""
    entry: Tensor
    """int32: the present level's place in `levels`"""
    low: Tensor
    high: Tensor
    """the breakpoints around the present level, in units of a"""
    tallest: int
    """the most levels that a connection of the layer has"""


class Greedy(Slots):
    """Greedy selection as an optimizer; arguments as of `rule.Rule`.

    In float64 it selects what SGD on K stored scores and their argmax select, step for step, for any K, momentum,
    Nesterov, weight decay and schedule (tests/selection/test_greedy.py).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._climbers: dict[tuple[Tensor, int], Climber] = {}
        self._standing: dict[Tensor, int] = {}
        """the sign of a at which each layer was selected"""
        super().__init__(*args, **settings)

    @torch.no_grad()
    def _select(self, weights: Iterable[Tensor]) -> None:
        """Selects by (a, b) alone, whatever the weights were."""
        a = self.a
        for weight in weights:
            self._climb(weight, a[weight], everywhere=True)

    def _place(self, weight: Tensor) -> None:
        self._climbers = {key: climber for key, climber in self._climbers.items() if key[0] is not weight}

    def _climber(self, weight: Tensor, a: float) -> Climber:
        """A layer's staircase for a sign of a: built when first asked for, from the same options."""
        key = weight, -1 if a < 0 else 1
        if key not in self._climbers:
            staircase = build(self.options[weight], numpy_type(weight), key[1], threads(weight.device))
            self._climbers[key] = stand(weight, *staircase)
        return self._climbers[key]

    def _climb(self, weight: Tensor, a: float, everywhere: bool) -> None:
        b = self.state[weight]["b"]
        climb(weight, b, a, self._climber(weight, a), everywhere)
        if a == 0:  # then all scores of a connection whose b is 0 tie, and its first option wins
            first = torch.empty_like(weight)
            fill(first, self.options[weight].first())
            weight.copy_(torch.where(b == 0, first, weight))
        self._standing[weight] = sign(a)

    def _step(self, layers: list[Layer], settings: Settings) -> None:
        others = []
        for layer in layers:
            turned = sign(layer.a) != self._standing[layer.weight]
            step = None if turned or layer.a == 0 else kernel.greedy_step_of(layer.weight)
            if step is None:
                others.append((layer, turned))
            else:
                step(layer, self._climber(layer.weight, layer.a), settings, units(layer.a, layer.weight.dtype))
        if others:
            train_b([layer for layer, _ in others], settings)
        for layer, turned in others:
            self._climb(layer.weight, layer.a, everywhere=turned or layer.a == 0)


def sign(a: float) -> int:
    return (a > 0) - (a < 0)


def units(a: float, dtype: torch.dtype) -> tuple[float, float]:
    """What b and breakpoints are multiplied by, to be compared: 1 and |a|.

    For |a| < 1 both are multiplied by the power of 2 that takes |a| to [1, 2), in as far as `dtype` has it: it changes
    no comparison, but a product of the smallest breakpoint, which stands for a tie at the start, would be lost in 0.
    """
    a = abs(a)
    if a == 0 or not a < 1:
        return 1.0, a
    power = 2.0 ** min(1 - math.frexp(a)[1], LARGEST_POWER[dtype])
    return power, max(power * a, 1.0)


def numpy_type(weight: Tensor) -> Any:
    return torch.empty(0, dtype=weight.dtype).numpy().dtype


def stand(weight: Tensor, levels: Any, breakpoints: Any, first: Any) -> Climber:
    """All connections on their lowest level."""
    tallest = int(np.diff(first).max(initial=1))
    levels, breakpoints, first = (torch.from_numpy(part) for part in (levels, breakpoints, first))
    lowest = first[:-1]

    def spread(values: Tensor) -> Tensor:
        return torch.empty_like(weight, dtype=values.dtype).copy_(values.view(weight.shape))

    return Climber(
        levels.to(weight.device),
        breakpoints.to(weight.device),
        spread(lowest.to(torch.int32)),
        spread(breakpoints[lowest]),
        spread(breakpoints[lowest + 1]),
        tallest,
    )


def climb(weight: Tensor, b: Tensor, a: float, climber: Climber, everywhere: bool = False) -> None:
    """Moves every connection whose b has left its interval to the level that b selects.

    `everywhere` also rewrites the weights that did not move.
    """
    if b.device.type == "cpu":
        climb_sparsely(weight, b, units(a, b.dtype), climber, everywhere)
    else:
        climb_densely(weight, b, units(a, b.dtype), climber)


@np.errstate(over="ignore", invalid="ignore")  # of a training that diverges
def climb_sparsely(weight: Tensor, b: Tensor, units: tuple[float, float], climber: Climber, everywhere: bool) -> None:
    """By NumPy, which takes less time than torch to compare, to search and to move a few connections."""
    selected, there, entry, low, high = (
        flat(tensor).numpy() for tensor in (weight.detach(), b, climber.entry, climber.low, climber.high)
    )
    levels, breakpoints = climber.levels.numpy(), climber.breakpoints.numpy()
    unit, a = units
    moving = leaving(there, low, high, units)
    changed = slice(None) if everywhere else moving
    while len(moving):
        here, goal = entry[moving], there[moving] * unit
        # NaN ends every staircase and compares false
        step = np.subtract(goal > breakpoints[here + 1] * a, goal <= breakpoints[here] * a, dtype=np.int32)
        entry[moving] = here + step
        moving = moving[step != 0]
    here = entry[changed]
    low[changed] = breakpoints[here]
    high[changed] = breakpoints[here + 1]
    selected[changed] = levels[here]


def leaving(b: Numbers, low: Numbers, high: Numbers, units: tuple[float, float]) -> npt.NDArray[np.intp]:
    """The places where b has left its interval."""
    unit, a = units
    if unit == a == 1:
        return np.flatnonzero((b <= low) | (b > high))
    left = [np.zeros(0, np.intp)]
    for start in range(0, len(b), BLOCK):
        part = slice(start, start + BLOCK)
        there = b[part] * unit
        left.append(start + np.flatnonzero((there <= low[part] * a) | (there > high[part] * a)))
    return np.concatenate(left)


def climb_densely(weight: Tensor, b: Tensor, units: tuple[float, float], climber: Climber) -> None:
    """Everywhere, in the most passes that a staircase of the layer can take: an accelerator then waits for no host to
    learn how many connections are moving."""
    levels, breakpoints, entry, low, high, tallest = climber
    unit, a = units
    there = b if unit == 1 else b * unit
    for _ in range(tallest - 1):
        entry += (there > high * a).int() - (there <= low * a).int()
        low.copy_(breakpoints[entry])
        high.copy_(breakpoints[entry + 1])
    weight.copy_(levels[entry])


def flat(tensor: Tensor) -> Tensor:
    """A view of `tensor`'s numbers in the order of its memory, whatever its layout."""
    return tensor.as_strided((tensor.numel(),), (1,))
