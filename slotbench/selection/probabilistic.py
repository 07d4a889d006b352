"""Probabilistic sampling: every forward pass draws each connection's option from the softmax of its scores
(paper, section 3). The scores are computed from (a, b) to draw, never stored or trained."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from slotbench.selection import kernel
from slotbench.selection.slots import Layer, Settings, Slots, train_b


class Probabilistic(Slots):
    """Probabilistic sampling as an optimizer; arguments as of `rule.Rule`.

    `train()` and every `step()` after it draw for the next forward pass, `draw()` draws once more, and `eval()`
    selects the options of the highest scores. Draws follow from torch's global generator on the CPU, and are the same
    with and without a kernel, to the bit.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._drawn: dict[Tensor, tuple[Tensor, Tensor]] = {}
        super().__init__(*args, **settings)

    def _offer(self, weights: list[Tensor]) -> None:
        super()._offer(weights)
        for weight in weights:
            # [K, connections]: every pass below is then over rows that lie together in memory
            drawn, scores = (torch.from_numpy(whole.T.copy()).to(weight) for whole in self.options[weight].whole())
            self._drawn[weight] = drawn, scores

    def train(self) -> None:
        super().train()
        self._select_all()

    def eval(self) -> None:
        super().eval()
        self._select_all()

    def draw(self) -> None:
        """Draws every connection's option anew."""
        self._draw(self._weights())
        self._note(self._weights())

    def _step(self, layers: list[Layer], settings: Settings) -> None:
        train_b(layers, settings)
        self._select(layer.weight for layer in layers)

    def _select(self, weights: Iterable[Tensor]) -> None:
        (self._draw if self.training else self._take_highest)(weights)

    def scores(self, weight: Tensor, a: float) -> Tensor:
        """a·s⁰ + b·w of every option of a layer: [K, connections], connections in row-major order."""
        options, initial = self._drawn[weight]
        b: Tensor = self.state[weight]["b"]
        return (options * b.reshape(-1)).add_(initial, alpha=a)

    @torch.no_grad()
    def _draw(self, weights: Iterable[Tensor]) -> None:
        """By the inverse of the cumulative distribution: one uniform number a connection."""
        a = self.a
        for weight in weights:
            seed = int(torch.randint(-(2**63), 2**63 - 1, ()))
            options, initial = self._drawn[weight]
            by_kernel = kernel.draw_of(weight)
            if by_kernel is None:
                selected = chosen(self.scores(weight, a[weight]), options, seed).view(weight.shape)
            else:
                selected = (
                    weight
                    if weight.is_contiguous()
                    else torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
                )
                by_kernel(selected, self.state[weight]["b"].contiguous(), options, initial, a[weight], seed)
            if selected is not weight:
                weight.copy_(selected)

    @torch.no_grad()
    def _take_highest(self, weights: Iterable[Tensor]) -> None:
        a = self.a
        for weight in weights:
            options, _ = self._drawn[weight]
            highest = self.scores(weight, a[weight]).argmax(0, keepdim=True)
            weight.copy_(options.gather(0, highest).view(weight.shape))


def chosen(scores: Tensor, options: Tensor, seed: int) -> Tensor:
    """The option of each connection, [connections], that `seed` draws from the softmax of its `scores`, which are
    overwritten; both [K, connections]. Rounds where `step.c` rounds."""
    cumulative = exp_(scores.sub_(scores.amax(0)))
    for k in range(1, len(cumulative)):
        cumulative[k] += cumulative[k - 1]
    threshold = uniform(seed, options.shape[1], options.device).to(options.dtype) * cumulative[-1]
    place = torch.zeros_like(threshold, dtype=torch.int32)
    for row in cumulative[:-1]:
        place += row <= threshold
    return options.gather(0, place.long()[None])


class Exponential(NamedTuple):
    """The numbers of `step.c`'s exponential in one type."""

    lowest: float
    inverse: float
    """1 / ln 2"""
    high: float
    low: float
    """ln 2 in two parts"""
    degree: int
    """of the series"""
    bits: int
    """of a number's fraction"""
    bias: int
    """of its exponent"""
    whole: torch.dtype


EXPONENTIALS = {
    torch.float32: Exponential(-87, 1.44269504, 0.693359375, -2.12194440e-4, 7, 23, 127, torch.int32),
    torch.float64: Exponential(
        -707, 1.4426950408889634, 0.6931471806019545, -4.2009150726810846e-11, 13, 52, 1023, torch.int64
    ),
}


def exp_(x: Tensor) -> Tensor:
    """e to the x for x ≤ 0, in place: `step.c`'s, to the bit."""
    lowest, inverse, high, low, degree, bits, bias, whole = EXPONENTIALS[x.dtype]
    n = x.clamp_(min=lowest).mul(inverse).round_()
    # Each product is rounded before it is subtracted, as torch's sums with a factor would not do.
    r = x.sub_(n * high).sub_(n * low)
    series = torch.full_like(r, 1 / math.factorial(degree))
    for power in reversed(range(degree)):
        series.mul_(r).add_(1 / math.factorial(power))
    return x.copy_(n.to(whole).add_(bias).mul_(2**bits).view(x.dtype)).mul_(series)


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
