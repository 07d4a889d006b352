"""Edge-popup (Ramanujan et al. 2020): each layer uses the half of its fixed weights whose scores are the largest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from slotbench.selection.options import fill
from slotbench.selection.subnetwork import Subnetwork

KEPT = 0.5
"""Share of each layer: the middle of the published optimum, 30 to 70 %."""


class EdgePopup(Subnetwork):
    """Edge-popup as an optimizer; arguments as of `subnetwork.Subnetwork`.

    Fixed weights are ± the deviation of Kaiming normal, √(2 / fan_in), and initial scores uniform in ±√(1 / fan_in),
    as in the authors' public code (allenai/hidden-networks). As there, scores count by their magnitude, so that the
    straight-through gradient of a score is gradient · fixed weight · sign(score).
    """

    def __init__(self, params: Iterable[Tensor], **settings: Any) -> None:
        super().__init__(params, **settings)
        for weight, options in self.options.items():
            _, scores = replace(options, score_bound=2.0).whole()
            score = self.state[weight]["b"]
            fill(score, scores - 1)
            score /= math.sqrt(fan_in(weight))
        self._select(self._weights())

    def _magnitude(self, weight: Tensor) -> float:
        return math.sqrt(2 / fan_in(weight))

    def _score_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        score: Tensor = self.state[weight]["b"]
        return gradient * self.fixed[weight] * score.sign()

    @torch.no_grad()
    def _select(self, weights: Iterable[Tensor]) -> None:
        for weight in weights:
            kept = largest(self.state[weight]["b"].abs().reshape(-1), math.ceil(KEPT * weight.numel()))
            weight.copy_(self.fixed[weight] * kept.view(weight.shape))


def fan_in(weight: Tensor) -> int:
    return weight[0].numel()


def largest(values: Tensor, count: int) -> Tensor:
    """Where the `count` largest of `values`, [n], are: a mask, [n]. Of equal values the first ones count."""
    threshold = values.topk(count, sorted=False).values.amin()
    above, tied = values > threshold, values == threshold
    return above | (tied & (tied.cumsum(0) <= count - above.sum()))
