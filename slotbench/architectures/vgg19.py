"""VGG-19 for CIFAR-10 (Simonyan & Zisserman 2014), batch-normalised, without biases, learned scale or shift."""

from typing import Any

from torch import nn

GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""(channels, convolutions) between two poolings"""


class VGG19(nn.Sequential):
    """[batch, 3, 32, 32] → [batch, 10]: sixteen 3×3 convolutions, then one fully-connected layer of 512-10."""

    def __init__(self, **_: Any) -> None:
        modules: list[nn.Module] = []
        channels = 3
        for width, convolutions in GROUPS:
            for _layer in range(convolutions):
                modules += [
                    nn.Conv2d(channels, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width, affine=False),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            modules.insert(-1, nn.MaxPool2d(2))  # before the rectifier: see conv.py
        modules[-2:] = [modules[-1], nn.AvgPool2d(2)]
        super().__init__(*modules, nn.Flatten(), nn.Linear(512, 10, bias=False))
