"""Training the K scores of every connection as one pair (a, b): what greedy and probabilistic selection share.

Every operation of SGD is linear, so the score of option k is a·s⁰_k + b·w_k at every step (docs/method.md), where b,
one number per connection, is an ordinary weight trained by the same SGD from 0, and a, one number per group, follows
the same recurrence from 1 with gradient 0. How a weight is selected by its scores is a subclass's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from slotbench.selection.options import Options, Sharing, draw

SQRT3 = 3**0.5


class Slots(torch.optim.Optimizer):
    """SGD on the scores of K random options per connection; the parameters hold the selected options.

    Arguments, beside torch.optim.SGD's own `lr`, `momentum`, `weight_decay` and `nesterov`:
        params: a network's weights, of any shape, float32 or float64; their values are replaced.
        k: options per connection.
        seed: which random network; layers are told apart by their order.
        option_bound, score_bounds: options are uniform in ± the first, initial scores in [0, the second) for
            convolutions and for fully-connected layers, in units of the layer's Glorot deviation.

    The gradient that autograd leaves in a parameter is that of its selected weight; every score's gradient is that
    times its option (the straight-through estimator of the paper's section 3).
    """

    sharing: Sharing | None = None

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        k: int,
        seed: int,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        option_bound: float = SQRT3,
        score_bounds: Sequence[float] = (SQRT3, SQRT3),
    ) -> None:
        if k < 1:
            raise ValueError(f"k = {k}: a connection needs at least one option")
        if nesterov and momentum <= 0:
            raise ValueError("nesterov needs momentum")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "a": 1.0,
            "a_momentum": 0.0,
        }
        super().__init__(params, defaults)
        self.training = True
        self.options: dict[Tensor, Options] = {}
        weights = list(self._weights())
        drawn = draw(
            weights, k=k, seed=seed, option_bound=option_bound, score_bounds=score_bounds, sharing=self.sharing
        )
        for weight, options in zip(weights, drawn, strict=True):
            self.options[weight] = options
            self.state[weight] = {"b": torch.zeros_like(weight), "momentum": torch.zeros_like(weight)}

    def _weights(self) -> Iterable[Tensor]:
        return (weight for group in self.param_groups for weight in group["params"])

    def train(self) -> None:
        """Selects as the next forward pass of training needs it."""
        self.training = True

    def eval(self) -> None:
        """Selects for evaluation."""
        self.training = False

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of SGD on all scores, then the selection that follows from them."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                advance_a(group)
                self._step(weights, group)
        return loss

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Trains b and selects again, for the weights of one group that have a gradient."""
        raise NotImplementedError  # abstract: each rule has its own

    def _train_b(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """torch's own SGD on b."""
        sgd(
            [self.state[weight]["b"] for weight in weights],
            [weight.grad for weight in weights if weight.grad is not None],
            [self.state[weight]["momentum"] for weight in weights],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=group["nesterov"],
            maximize=False,
        )


def advance_a(group: dict[str, Any]) -> None:
    """One step of SGD on a, whose gradient is 0: only weight decay moves it, and with momentum it can cross 0."""
    change = group["weight_decay"] * group["a"]
    group["a_momentum"] = group["momentum"] * group["a_momentum"] + change
    change = change + group["momentum"] * group["a_momentum"] if group["nesterov"] else group["a_momentum"]
    group["a"] -= group["lr"] * change
