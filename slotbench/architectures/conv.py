"""CONV-2, CONV-4 and CONV-6 (Frankle & Carbin 2018) without biases."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn


class Conv(nn.Sequential):
    """[batch, 3, 32, 32] → [batch, 10]: pairs of 3×3 convolutions, each followed by a 2×2 max-pool, then 256-256-10.

    Rectifiers work in place, and after pooling where there is one: the largest of four rectified numbers is the largest
    of the four, rectified, and so is its gradient; a quarter of the numbers is then to be rectified.

    `padding`, in pixels, is one number for each pair: 1 in the paper (4.3, 2.4 and 2.3 million connections),
    0 in the authors' code but for CONV-6's last pair. `dropout` is the probability before each of the first
    two fully-connected layers.
    """

    def __init__(self, layers: int, padding: Sequence[int] = (1, 1, 1), dropout: float = 0.5, **_: Any) -> None:
        modules: list[nn.Module] = []
        channels, side = 3, 32
        for width, pad in zip((64, 128, 256)[: layers // 2], padding, strict=False):
            for pooling in ([], [nn.MaxPool2d(2)]):
                modules += [nn.Conv2d(channels, width, 3, padding=pad, bias=False), *pooling, nn.ReLU(inplace=True)]
                channels, side = width, side + 2 * pad - 2
            side //= 2
        modules.append(nn.Flatten())
        for inputs, outputs in pairwise((channels * side * side, 256, 256)):
            modules += [nn.Dropout(dropout), nn.Linear(inputs, outputs, bias=False), nn.ReLU(inplace=True)]
        super().__init__(*modules, nn.Linear(256, 10, bias=False))
