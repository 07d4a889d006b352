"""Edge-popup (Ramanujan et al. 2020): each layer uses a share of its fixed weights, those whose scores
are the largest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from slotbench.selection.options import fill
from slotbench.selection.slots import Layer
from slotbench.selection.subnetwork import Subnetwork


class EdgePopup(Subnetwork):
    """Edge-popup as an optimizer; arguments as of `subnetwork.Subnetwork`, and

        kept: share of each layer's weights that is kept; the published optimum is broad, 0.3 to 0.7.

    Fixed weights are ± the deviation of Kaiming normal, √(2 / fan_in), and initial scores uniform in ±√(1 / fan_in),
    as in the authors' public code (allenai/hidden-networks). As there, scores count by their magnitude, so that the
    straight-through gradient of a score is gradient · fixed weight · sign(score).
    """

    def __init__(self, params: Iterable[Any], *, kept: float = 0.5, **settings: Any) -> None:
        self._share = kept
        super().__init__(params, **settings)

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            _, scores = replace(self.options[weight], score_bound=2.0).whole()
            score = self.state[weight]["b"]
            fill(score, scores - 1)
            score /= math.sqrt(fan_in(weight))

    def _magnitude(self, weight: Tensor) -> float:
        return math.sqrt(2 / fan_in(weight))

    def _score_gradient(self, layer: Layer) -> Tensor:
        return layer.gradient * self.fixed[layer.weight] * layer.b.sign()

    @torch.no_grad()
    def _select(self, weights: Iterable[Tensor]) -> None:
        for weight in weights:
            kept = largest(self.state[weight]["b"].abs().reshape(-1), math.ceil(self._share * weight.numel()))
            weight.copy_(self.fixed[weight] * kept.view(weight.shape))


def fan_in(weight: Tensor) -> int:
    """Of a bias 1: what it belongs to is one more input."""
    return max(1, math.prod(weight.shape[1:]))


def largest(values: Tensor, count: int) -> Tensor:
    """Where the `count` largest of `values`, [n], are: a mask, [n]. Of equal values the first ones count."""
    if count == 0:
        return torch.zeros_like(values, dtype=torch.bool)
    threshold = values.topk(count, sorted=False).values.amin()
    above, tied = values > threshold, values == threshold
    return above | (tied & (tied.cumsum(0) <= count - above.sum()))
