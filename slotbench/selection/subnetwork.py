"""A subnetwork of a random network: every connection has one fixed weight, of which only the sign is random, and a
trained score that decides whether the weight is kept or is 0. What edge-popup and supermask share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from slotbench.selection.options import fill
from slotbench.selection.slots import Layer, Settings, Slots, train_b


class Subnetwork(Slots):
    """SGD on one score a connection, `b`; the parameters hold the weights that are kept, and 0 for the others.

    Arguments as of `rule.Rule`, of which `k` is 1 and the bounds have no meaning. A fixed weight has the sign of the
    only option of `greedy.Greedy` at K = 1 and the same seed.
    """

    def __init__(self, params: Iterable[Any], *, k: int = 1, **settings: Any) -> None:
        if k != 1:
            raise ValueError(f"k = {k}: a subnetwork has one weight a connection, and no options")
        self.fixed: dict[Tensor, Tensor] = {}
        super().__init__(params, k=k, **settings)

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            drawn, _ = self.options[weight].whole()
            self.fixed[weight] = torch.empty_like(weight).detach()
            fill(self.fixed[weight], (1 - 2 * (drawn < 0)) * self._magnitude(weight))

    def _place(self, weight: Tensor) -> None:
        self.fixed[weight] = torch.empty_like(weight).detach().copy_(self.fixed[weight])

    def train(self) -> None:
        super().train()
        self._select_all()

    def eval(self) -> None:
        super().eval()
        self._select_all()

    def _step(self, layers: list[Layer], settings: Settings) -> None:
        train_b([layer._replace(gradient=self._score_gradient(layer)) for layer in layers], settings)
        self._select([layer.weight for layer in layers])

    def _magnitude(self, weight: Tensor) -> float:
        """The size of every fixed weight of a layer."""
        raise NotImplementedError  # abstract: each rule has its own

    def _score_gradient(self, layer: Layer) -> Tensor:
        """The gradient of a layer's scores, from that of its weights as they are now."""
        raise NotImplementedError  # abstract: each rule has its own
