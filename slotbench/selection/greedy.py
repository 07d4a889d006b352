"""Greedy selection: every connection uses the option with the highest score (paper, section 3).

The K scores never exist. A connection climbs its staircase (`staircase`), and only when b leaves the interval
between the two breakpoints around its present level: a fraction of a percent of the connections in a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slotbench.selection import kernel
from slotbench.selection.slots import Slots
from slotbench.selection.staircase import build

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
    """Greedy selection as an optimizer; arguments as of `slots.Slots`.

    In float64 it selects what SGD on K stored scores and their argmax select, step for step, for any K, momentum,
    Nesterov, weight decay and schedule (tests/selection/test_greedy.py).
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._climbers: dict[tuple[Tensor, int], Climber] = {}
        self._select_afresh()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._select_afresh()

    @torch.no_grad()
    def _select_afresh(self) -> None:
        """Selects by (a, b) alone, whatever the weights were."""
        for group in self.param_groups:
            for weight in group["params"]:
                climb(weight, self.state[weight]["b"], group["a"], self._climber(weight, sign(group)), everywhere=True)

    def _climber(self, weight: Tensor, of_sign: int) -> Climber:
        """A layer's staircase for a sign of a: built when first asked for, from the same options."""
        key = weight, of_sign
        if key not in self._climbers:
            self._climbers[key] = stand(weight, *build(self.options[weight], numpy_type(weight), of_sign))
        return self._climbers[key]

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        turned = sign(group) != group.setdefault("sign", 1)
        group["sign"] = sign(group)
        climbers = [self._climber(weight, group["sign"]) for weight in weights]
        fused_step = None if turned else kernel.greedy_step_of(weights)
        if fused_step is not None:
            for weight, climber in zip(weights, climbers, strict=True):
                fused_step(weight, self.state[weight], climber, group)
            return
        self._train_b(weights, group)
        for weight, climber in zip(weights, climbers, strict=True):
            climb(weight, self.state[weight]["b"], group["a"], climber, everywhere=turned)


def sign(group: dict[str, Any]) -> int:
    return -1 if group["a"] < 0 else 1


def numpy_type(weight: Tensor) -> Any:
    return torch.empty(0, dtype=weight.dtype).numpy().dtype


def stand(weight: Tensor, levels: Any, breakpoints: Any, first: Any) -> Climber:
    """All connections on their lowest level."""
    tallest = int(np.diff(first).max())
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
        climb_sparsely(weight, b, abs(a), climber, everywhere)
    else:
        climb_densely(weight, b, abs(a), climber)


@np.errstate(over="ignore", invalid="ignore")  # of a training that diverges
def climb_sparsely(weight: Tensor, b: Tensor, a: float, climber: Climber, everywhere: bool) -> None:
    """By NumPy, which takes less time than torch to compare, to search and to move a few connections."""
    selected, there, entry, low, high = (
        flat(tensor).numpy() for tensor in (weight.detach(), b, climber.entry, climber.low, climber.high)
    )
    levels, breakpoints = climber.levels.numpy(), climber.breakpoints.numpy()
    moving = leaving(there, low, high, a)
    changed = slice(None) if everywhere else moving
    while len(moving):
        here, goal = entry[moving], there[moving]
        # NaN ends every staircase and compares false
        step = np.subtract(goal > breakpoints[here + 1] * a, goal <= breakpoints[here] * a, dtype=np.int32)
        entry[moving] = here + step
        moving = moving[step != 0]
    here = entry[changed]
    low[changed] = breakpoints[here]
    high[changed] = breakpoints[here + 1]
    selected[changed] = levels[here]


def leaving(b: Numbers, low: Numbers, high: Numbers, a: float) -> npt.NDArray[np.intp]:
    """The places where b has left its interval."""
    if a == 1:
        return np.flatnonzero((b <= low) | (b > high))
    left = []
    for start in range(0, len(b), BLOCK):
        part = slice(start, start + BLOCK)
        left.append(start + np.flatnonzero((b[part] <= low[part] * a) | (b[part] > high[part] * a)))
    return np.concatenate(left)


def climb_densely(weight: Tensor, b: Tensor, a: float, climber: Climber) -> None:
    """Everywhere, in the most passes that a staircase of the layer can take: an accelerator then waits for no host to
    learn how many connections are moving."""
    levels, breakpoints, entry, low, high, tallest = climber
    for _ in range(tallest - 1):
        entry += (b > high * a).int() - (b <= low * a).int()
        low.copy_(breakpoints[entry])
        high.copy_(breakpoints[entry + 1])
    weight.copy_(levels[entry])


def flat(tensor: Tensor) -> Tensor:
    """A view of `tensor`'s numbers in the order of its memory, whatever its layout."""
    return tensor.as_strided((tensor.numel(),), (1,))
