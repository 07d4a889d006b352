"""The lottery ticket (Frankle & Carbin 2018): learned weights, of which the smallest are pruned; the others go back to
their initial values and are learned again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured

from slotbench.selection.learned import Learned


class LotteryTicket(Learned):
    """Learned weights that `prune` can prune, as an optimizer; arguments as of `learned.Learned`.

    A pruned weight is 0 and stays 0. When to prune, and how much, is the recipe's affair (`prune_after`, `pruned`).
    """

    kept = ("mask",)

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            self.state[weight]["mask"] = torch.ones_like(weight).detach()

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
