"""Probabilistic sampling: every forward pass draws each connection's option from the softmax of its scores
(paper, section 3). The scores are computed from (a, b) to draw, never stored or trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from slotbench.selection import kernel
from slotbench.selection.slots import Slots


class Probabilistic(Slots):
    """Probabilistic sampling as an optimizer; arguments as of `slots.Slots`.

    `train()` and every `step()` after it draw for the next forward pass, `draw()` draws once more, and `eval()`
    selects the options of the highest scores. Draws follow from torch's global generator on the CPU, and are the same
    on every device but for rounding.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._drawn: dict[Tensor, tuple[Tensor, Tensor]] = {}
        for weight, options in self.options.items():
            # [K, connections]: every pass below is then over rows that lie together in memory
            drawn, scores = (torch.from_numpy(whole.T.copy()).to(weight) for whole in options.whole())
            self._drawn[weight] = drawn, scores
        self.draw()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._select()

    def train(self) -> None:
        super().train()
        self._select()

    def eval(self) -> None:
        super().eval()
        self._select()

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        self._train_b(weights, group)
        for weight in weights:
            (self._draw if self.training else self._take_highest)(weight, group["a"])

    def draw(self) -> None:
        """Draws every connection's option anew."""
        for group in self.param_groups:
            for weight in group["params"]:
                self._draw(weight, group["a"])

    def _select(self) -> None:
        if self.training:
            self.draw()
            return
        for group in self.param_groups:
            for weight in group["params"]:
                self._take_highest(weight, group["a"])

    def scores(self, weight: Tensor, a: float) -> Tensor:
        """a·s⁰ + b·w of every option of a layer: [K, connections], connections in row-major order."""
        options, initial = self._drawn[weight]
        b: Tensor = self.state[weight]["b"]
        return (options * b.reshape(-1)).add_(initial, alpha=a)

    @torch.no_grad()
    def _draw(self, weight: Tensor, a: float) -> None:
        """By the inverse of the cumulative distribution: one uniform number a connection."""
        options, initial = self._drawn[weight]
        seed = int(torch.randint(-(2**63), 2**63 - 1, ()))
        if kernel.usable(weight) and weight.is_contiguous():
            kernel.draw(weight, self.state[weight]["b"], options, initial, a, seed)
            return
        cumulative = self.scores(weight, a)
        cumulative -= cumulative.amax(0)
        cumulative.exp_()
        for k in range(1, len(cumulative)):
            cumulative[k] += cumulative[k - 1]
        threshold = uniform(seed, options.shape[1], options.device).to(options.dtype) * cumulative[-1]
        chosen = torch.zeros_like(threshold, dtype=torch.int32)
        for row in cumulative[:-1]:
            chosen += row <= threshold
        weight.copy_(options.gather(0, chosen.long()[None]).view(weight.shape))

    @torch.no_grad()
    def _take_highest(self, weight: Tensor, a: float) -> None:
        options, _ = self._drawn[weight]
        highest = self.scores(weight, a).argmax(0, keepdim=True)
        weight.copy_(options.gather(0, highest).view(weight.shape))


def uniform(seed: int, count: int, device: torch.device) -> Tensor:
    """`count` multiples of 2⁻²⁴ in [0, 1), float32: splitmix64 (Steele, Lea & Flood 2014) of seed and place.

    A generator without a state: whole numbers wrap the same on every device, so the draws are the same too.
    """
    z = torch.arange(count, device=device).mul_(signed(0x9E3779B97F4A7C15)).add_(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z.bitwise_xor_(shifted(z, shift)).mul_(signed(factor))
    return shifted(z.bitwise_xor_(shifted(z, 31)), 40).to(torch.float32).mul_(2**-24)


def signed(number: int) -> int:
    """A 64-bit number as torch's int64 holds it."""
    return number - 2**64 if number >= 2**63 else number


def shifted(z: Tensor, bits: int) -> Tensor:
    """`z` shifted right as an unsigned number."""
    return (z >> bits).bitwise_and_(2 ** (64 - bits) - 1)
