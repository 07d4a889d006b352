"""A subnetwork of a random network: every connection has one fixed weight, of which only the sign is random, and a
trained score that decides whether the weight is kept or is 0. What edge-popup and supermask share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from slotbench.selection.options import fill
from slotbench.selection.slots import Slots


class Subnetwork(Slots):
    """SGD on one score a connection, `b`; the parameters hold the weights that are kept, and 0 for the others.

    Arguments as of `slots.Slots`, of which `k` is 1 and the bounds have no meaning. A fixed weight has the sign of the
    only option of `greedy.Greedy` at K = 1 and the same seed. A step leaves the gradient of the score in a parameter's
    `grad`, in place of its weight's.
    """

    def __init__(self, params: Iterable[Tensor], *, k: int = 1, **settings: Any) -> None:
        if k != 1:
            raise ValueError(f"k = {k}: a subnetwork has one weight a connection, and no options")
        super().__init__(params, k=k, **settings)
        self.fixed: dict[Tensor, Tensor] = {}
        for weight, options in self.options.items():
            drawn, _ = options.whole()
            fixed = torch.empty_like(weight)
            fill(fixed, (1 - 2 * (drawn < 0)) * self._magnitude(weight))
            self.fixed[weight] = fixed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._select(self._weights())

    def train(self) -> None:
        super().train()
        self._select(self._weights())

    def eval(self) -> None:
        super().eval()
        self._select(self._weights())

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            assert weight.grad is not None
            weight.grad = self._score_gradient(weight, weight.grad)
        self._train_b(weights, group)
        self._select(weights)

    def _magnitude(self, weight: Tensor) -> float:
        """The size of every fixed weight of a layer."""
        raise NotImplementedError  # abstract: each rule has its own

    def _score_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of a layer's scores, from that of its weights as they are now."""
        raise NotImplementedError  # abstract: each rule has its own

    def _select(self, weights: Iterable[Tensor]) -> None:
        """Fills `weights` with what their scores select."""
        raise NotImplementedError  # abstract: each rule has its own
