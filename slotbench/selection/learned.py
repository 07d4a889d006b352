"""Learned weights: ordinary training by torch's SGD, from the random network that selection has at K = 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from slotbench.selection.options import draw, fill
from slotbench.selection.slots import SQRT3


class Learned(torch.optim.SGD):
    """torch.optim.SGD on weights that start as the only options of `greedy.Greedy` at K = 1 and the same seed.

    Arguments as of `slots.Slots`; the bound of scores has no meaning here.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        k: int = 1,
        seed: int,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        option_bound: float = SQRT3,
        score_bounds: Sequence[float] = (SQRT3, SQRT3),
    ) -> None:
        if k != 1:
            raise ValueError(f"k = {k}: learned weights have no options to choose among")
        params = list(params)
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
        drawn = draw(params, k=1, seed=seed, option_bound=option_bound, score_bounds=score_bounds)
        self.initial = dict(zip(params, drawn, strict=True))
        self.rewind()

    def rewind(self) -> None:
        """Gives every weight its initial value."""
        for weight, options in self.initial.items():
            initial, _ = options.whole()
            fill(weight, initial)

    def train(self) -> None:
        """The weights that training needs are those that evaluation needs."""

    def eval(self) -> None:
        """The weights that evaluation needs are those that training needs."""
