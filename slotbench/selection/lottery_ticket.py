"""The lottery ticket (Frankle & Carbin 2018): learned weights, of which the smallest are pruned; the others go back to
their initial values and are learned again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured

from slotbench.selection.learned import Learned


class LotteryTicket(Learned):
    """Learned weights that are pruned, as an optimizer; arguments as of `learned.Learned`, and

        prune_after: epochs after which to prune.
        pruned: share of each layer's remaining weights that is then pruned.

    A pruned weight is 0 and stays 0.
    """

    kept = ("mask",)

    def __init__(
        self, params: Iterable[Any], *, prune_after: Sequence[int] = (), pruned: float = 0.8, **settings: Any
    ) -> None:
        super().__init__(params, **settings)
        self._prune_after, self._pruned = prune_after, pruned

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            self.state[weight]["mask"] = torch.ones_like(weight).detach()

    def begin_epoch(self, epoch: int) -> bool:
        """Prunes if that is due after `epoch`, the last one trained; whether it did, and a new schedule begins."""
        if epoch not in self._prune_after:
            return False
        self.prune(self._pruned)
        return True

    def last_rewind(self, epoch: int) -> int:
        """The last epoch before `epoch` after which weights went back to the start; 0 if they never did."""
        return max((pruned for pruned in self._prune_after if pruned < epoch), default=0)

    @torch.no_grad()
    def prune(self, share: float) -> None:
        """Prunes `share` of what is left of each layer, by magnitude, and takes everything else back to the start.

        Weights have their initial values again, momentum and learning rate too: a new schedule may follow.
        """
        method = L1Unstructured(share)
        for weight in self.options:
            left = self.state[weight]["mask"].bool()
            mask = torch.zeros_like(weight)
            mask[left] = method.compute_mask(weight[left], mask[left] + 1)  # type: ignore[no-untyped-call]
            self.state[weight] = {"mask": mask}
        self._select(self.options)
        for weight in self.options:
            weight.mul_(self.state[weight]["mask"])
        for group in self.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of torch's SGD, after which pruned weights are 0 again."""
        loss: float | None = super().step(closure)
        for weight in self.options:
            weight.mul_(self.state[weight]["mask"])
        return loss
