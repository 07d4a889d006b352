"""LeNet-300-100 (LeCun et al. 1998) without biases: 784-300-100-10, 266,200 connections."""

from typing import Any

from torch import nn


class LeNet(nn.Sequential):
    """[batch, 1, 28, 28] → [batch, 10]."""

    def __init__(self, **_: Any) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(784, 300, bias=False),
            nn.ReLU(),
            nn.Linear(300, 100, bias=False),
            nn.ReLU(),
            nn.Linear(100, 10, bias=False),
        )
