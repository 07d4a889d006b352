"""The paper's networks: plain torch modules, without biases, that know nothing of selection.

Adding one: a file in this folder and its entry below. torch is imported only when one is built.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """An entry of the table: which class builds it, with which arguments, for which images."""

    builder: str
    """module:class in this folder"""
    input_shape: tuple[int, int, int]
    """channels, height, width"""
    connections: float
    """weights, and"""
    flops: float
    """floating-point operations of an image's forward and backward pass, by torch's counter: both with the widest
    padding of a recipe, and only for what a cell asks a cluster for"""
    arguments: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    """what reports call it; its name, if empty"""


ARCHITECTURES = {
    "lenet": Architecture("lenet:LeNet", (1, 28, 28), 266_200, 1.2e6, label="LeNet-300-100"),
    "conv2": Architecture("conv:Conv", (3, 32, 32), 4_300_992, 2.6e8, {"layers": 2}, "CONV-2"),
    "conv4": Architecture("conv:Conv", (3, 32, 32), 2_425_024, 5.9e8, {"layers": 4}, "CONV-4"),
    "conv6": Architecture("conv:Conv", (3, 32, 32), 2_261_184, 9.2e8, {"layers": 6}, "CONV-6"),
    "vgg19": Architecture("vgg19:VGG19", (3, 32, 32), 20_024_000, 2.4e9, label="VGG-19"),
}


def build(name: str, **arguments: Any) -> nn.Module:
    """The network `name`, taking [batch, *input_shape] float images and giving [batch, 10] logits.

    `arguments` are the recipe's settings for architectures: dropout (probability), padding (pixels, or
    the name of a scheme); a network ignores those it has no use for.
    """
    entry = ARCHITECTURES[name]
    module, _, builder = entry.builder.partition(":")
    network = getattr(import_module(f"{__name__}.{module}"), builder)(**entry.arguments, **arguments)
    assert not any(name.endswith("bias") for name, _ in network.named_parameters()), "the paper has no biases"
    return network  # type: ignore[no-any-return]
