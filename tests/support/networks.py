"""Small networks to train rules on."""

import torch
from torch import nn


def network(kind: str, classes: int = 10) -> nn.Sequential:
    """A small network in float64 for images of 8 × 8: "linear", "convolutional", "channels-last", or "flat"."""
    torch.manual_seed(0)
    layers: list[nn.Module]
    if kind == "linear":
        layers = [nn.Flatten(), nn.Linear(64, 20, bias=False), nn.ReLU(), nn.Linear(20, classes, bias=False)]
    else:
        layers = [
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes, bias=False),
        ]  # fmt: skip
    model = nn.Sequential(*layers).double()
    if kind == "flat":  # all layers in one buffer, as fused optimizers and data-parallel training keep them
        weights = list(model.parameters())
        buffer = nn.utils.parameters_to_vector(weights).detach()
        for weight, part in zip(weights, buffer.split([weight.numel() for weight in weights]), strict=True):
            weight.data = part.view(weight.shape)
    if kind == "channels-last":
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
