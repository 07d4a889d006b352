"""K random options and K initial scores per connection, drawn from a seed and never stored whole.

The numbers come from NumPy's Philox bit generator, whose raw stream is fixed by its documentation: one seed
means the same network on every device and version. Rows are connections in row-major order of the layer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float32 = npt.NDArray[np.float32]
Block = tuple[int, Float32, Float32]
"""(first row, options [rows, K], initial scores [rows, K])"""

BLOCK = 2**16
"""Numbers that are drawn at once: few enough for a processor's cache, and a bound on the memory of a build."""

Sharing = Literal["layer", "network"]
"""Which connections have the same K options; each has initial scores of its own."""


@dataclass(frozen=True)
class Options:
    """The options and initial scores of one layer.

    Options are uniform in ±`option_bound`, initial scores in [0, `score_bound`); both are exact float32 values,
    whatever the precision of the network (as published: U(-√3σ, √3σ) and U(0, λσ)).
    """

    connections: int
    k: int
    seed: int
    layer: int
    option_bound: float
    score_bound: float
    sharing: Sharing | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:  # NumPy splits a larger one into words: (2³² + 5, 0) would be (5, 1)
            raise ValueError(
                f"seed {self.seed}: from 0 to {2**32 - 1}; a larger seed would repeat what small ones draw"
            )

    @property
    def rows(self) -> int:
        """Connections of a block."""
        # A state of Philox gives four 64-bit numbers, each two of ours: no block begins within one.
        return max(8, BLOCK // self.k // 8 * 8)

    @property
    def starts(self) -> range:
        """Where blocks begin, of which there is one at least."""
        return range(0, max(1, self.connections), self.rows)

    def blocks(self) -> Iterator[Block]:
        """All connections in order."""
        return map(self.block, self.starts)

    def block(self, start: int) -> Block:
        """The block that begins at row `start`, a multiple of `rows`."""
        count = min(self.rows, self.connections - start)
        options_of, scores_of = (0 if self.sharing == "network" else self.layer), self.layer
        if self.sharing is None:
            options = self._uniform(0, options_of, start, count)
        else:
            options = np.tile(self._uniform(0, options_of, 0, 1), (count, 1))
        options *= 2
        options -= 1  # still exact: 24 bits and a sign
        options *= np.float32(self.option_bound)
        scores = self._uniform(1, scores_of, start, count)
        scores *= np.float32(self.score_bound)
        return start, options, scores

    def _uniform(self, tag: int, layer: int, start: int, rows: int) -> Float32:
        """Multiples of 2⁻²⁴ in [0, 1), [rows, K], of the stream (tag, layer) from row `start` on."""
        count = rows * self.k
        stream = np.random.Philox(key=key_of(self.seed, layer, tag), counter=start * self.k // 8)
        bits = stream.random_raw(-(-count // 2)).view(np.uint32)[:count]
        bits >>= 8
        numbers = bits.astype(np.float32)
        numbers *= np.float32(2**-24)
        return numbers.reshape(rows, self.k)

    def first(self) -> Float32:
        """Option 0 of every connection, [connections]."""
        return np.concatenate([options[:, 0] for _, options, _ in self.blocks()])

    def whole(self) -> tuple[Float32, Float32]:
        """Options and initial scores of every connection, each [connections, K]: for rules that need them all."""
        options = np.empty((self.connections, self.k), np.float32)
        scores = np.empty_like(options)
        for start, some_options, some_scores in self.blocks():
            options[start : start + len(some_options)] = some_options
            scores[start : start + len(some_scores)] = some_scores
        return options, scores


@functools.cache
def key_of(seed: int, layer: int, tag: int) -> npt.NDArray[np.uint64]:
    """Philox's key of one stream, as NumPy makes it of a seed."""
    return np.asarray(np.random.SeedSequence([seed, layer, tag]).generate_state(2, np.uint64), np.uint64)


def glorot_deviation(shape: Sequence[int]) -> float:
    """σ = √(2 / (fan_in + fan_out)) of a linear [out, in] or convolutional [out, in, height, width] layer.

    A bias, [out], is taken as what it is: the weights of one more input.
    """
    fan_out, fan_in, *kernel = (*shape, 1, 1) if len(shape) < 2 else shape
    return math.sqrt(2 / max(1, (fan_in + fan_out) * math.prod(kernel)))


def draw(
    weights: Sequence[Tensor],
    *,
    k: int,
    seed: int,
    option_bound: float,
    score_bounds: Sequence[float],
    sharing: Sharing | None = None,
    first: int = 0,
) -> list[Options]:
    """The options of each layer of a network, whose parameters are `weights`; the first of them is layer `first`.

    `option_bound` and `score_bounds` (of convolutions, of fully-connected layers) are in units of the layer's
    Glorot deviation; options that the whole network shares, in units of the mean of its layers' deviations, our choice,
    on which the paper's published text is silent.
    """
    deviations = [glorot_deviation(weight.shape) for weight in weights]
    mean = sum(deviations) / max(1, len(deviations))
    convolution, linear = score_bounds
    return [
        Options(
            connections=weight.numel(),
            k=k,
            seed=seed,
            layer=layer,
            option_bound=option_bound * (mean if sharing == "network" else deviation),
            score_bound=(convolution if weight.dim() > 2 else linear) * deviation,
            sharing=sharing,
        )
        for layer, (weight, deviation) in enumerate(zip(weights, deviations, strict=True), first)
    ]


def fill(weight: Tensor, rows: npt.NDArray[np.floating]) -> None:
    """Writes one number a connection, given in row-major order, into `weight` in its own layout and type."""
    with torch.no_grad():
        weight.copy_(torch.from_numpy(rows).view(weight.shape))
