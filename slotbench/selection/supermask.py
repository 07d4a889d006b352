"""Supermask (Zhou et al. 2019): each fixed weight is kept with a probability of its own, drawn anew at every forward
pass, and each layer is rescaled by the share of its weights that are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from slotbench.selection.options import glorot_deviation
from slotbench.selection.probabilistic import uniform
from slotbench.selection.slots import Layer
from slotbench.selection.subnetwork import Subnetwork


class Supermask(Subnetwork):
    """Supermask as an optimizer; arguments as of `subnetwork.Subnetwork`.

    A weight is kept with probability sigmoid(score), scores start at 0, and fixed weights are ± the Glorot deviation,
    as in the authors' public code (uber-research/deconstructing-lottery-tickets). As there, the backward pass takes a
    draw for its probability and goes through the rescaling: with n kept weights W, the gradient of a score is
    (gradient · rescaled fixed weight - Σ gradient · W / n) · sigmoid'(score).

    `train()` and every `step()` after it draw for the next forward pass, and `draw()` draws once more, as the authors
    do for evaluation too; `eval()` keeps what is more likely kept than not. Draws follow from torch's global generator
    on the CPU, and are the same on every device but for rounding.
    """

    def __init__(self, params: Iterable[Any], **settings: Any) -> None:
        self._rescaling: dict[Tensor, Tensor] = {}
        super().__init__(params, **settings)

    def draw(self) -> None:
        """Draws anew which weights are kept."""
        self._draw(self._weights())
        self._note(self._weights())

    def _draw(self, weights: Iterable[Tensor]) -> None:
        for weight in weights:
            seed = int(torch.randint(-(2**63), 2**63 - 1, ()))
            probability = self.state[weight]["b"].sigmoid()
            drawn = uniform(seed, weight.numel(), weight.device).view(weight.shape)
            self._keep(weight, drawn < probability)

    def _magnitude(self, weight: Tensor) -> float:
        return glorot_deviation(weight.shape)

    def _score_gradient(self, layer: Layer) -> Tensor:
        weight, gradient, score, _, _ = layer
        probability = score.sigmoid()
        rescaling = self._rescaling[weight]
        of_rescaling = (gradient * weight.detach()).sum() * (rescaling / weight.numel())
        return (gradient * (self.fixed[weight] * rescaling) - of_rescaling) * (probability * (1 - probability))

    def _select(self, weights: Iterable[Tensor]) -> None:
        if self.training:
            self._draw(weights)
            return
        for weight in weights:
            self._keep(weight, self.state[weight]["b"] > 0)

    @torch.no_grad()
    def _keep(self, weight: Tensor, kept: Tensor) -> None:
        # If nothing is kept, the layer is 0, and stays finite.
        self._rescaling[weight] = kept.numel() / kept.sum().clamp(min=1).to(weight.dtype)
        weight.copy_(self.fixed[weight] * kept).mul_(self._rescaling[weight])
