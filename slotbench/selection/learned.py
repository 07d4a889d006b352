"""Learned weights: ordinary training by torch's SGD, from the random network that selection has at K = 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from slotbench.selection.options import fill
from slotbench.selection.rule import Rule


class Learned(Rule):
    """torch.optim.SGD on weights that start as the only options of `greedy.Greedy` at K = 1 and the same seed.

    Arguments as of `rule.Rule`, of which `k` is 1; the bound of scores has no meaning here. The weights that training
    needs are those that evaluation needs.
    """

    def __init__(self, params: Iterable[Any], *, k: int = 1, **settings: Any) -> None:
        if k != 1:
            raise ValueError(f"k = {k}: learned weights have no options to choose among")
        super().__init__(params, k=k, **settings)

    def _select(self, weights: Iterable[Tensor]) -> None:
        """Gives weights their initial values."""
        for weight in weights:
            initial, _ = self.options[weight].whole()
            fill(weight, initial)
