"""The loss of a batch; on a GPU as CUDA graphs, so that a small network does not wait for the launch of its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from slotbench.data import batches
from slotbench.recipes import Precision
from slotbench.training.device import autocast

Normalisation = tuple[Tensor, Tensor] | tuple[None, None]
"""`Data.mean` and `.std`, or nothing: pixels are then scaled to [0, 1]"""


class Loss(nn.Module):
    """uint8 images [batch, channels, height, width] and int64 labels [batch] → their mean cross entropy, float32 []."""

    def __init__(self, network: nn.Module, normalisation: Normalisation, precision: Precision) -> None:
        super().__init__()
        self.network, self.normalisation, self.precision = network, normalisation, precision

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(self.precision, images.device):
            return cross_entropy(self.network(batches.scale(images, *self.normalisation)), labels)


def captured(loss: Loss, images: Tensor, labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """`loss` for training; on a GPU its forward and backward passes are graphs, for batches of the size of this one.

    Batches of other sizes, the last of an epoch, run as they are. A graph reads and writes the same memory at every
    replay: weights have to change in place, and a gradient is gone at the next forward pass. What capturing runs to
    warm up leaves no trace: neither in buffers, as of batch normalisation, nor in a generator.
    """
    if images.device.type != "cuda":
        return loss
    graphed = graph(loss, images, labels)

    def of_batch(some: Tensor, their_labels: Tensor) -> Tensor:
        return (graphed if some.shape == images.shape else loss)(some, their_labels)

    return of_batch


def graph(loss: Loss, images: Tensor, labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """`loss` captured, whatever its buffers and the device's generator were before and are again after it."""
    # A module of its own, since torch gives the one that it captures another forward
    twin = Loss(loss.network, loss.normalisation, loss.precision).train()
    before = [buffer.clone() for buffer in twin.buffers()]
    with torch.random.fork_rng([images.device] if images.is_cuda else []):
        # Every batch is copied to where these lie.
        graphed: Any = torch.cuda.make_graphed_callables(twin, (images.clone(), labels.clone()))
    for buffer, value in zip(twin.buffers(), before, strict=True):
        buffer.copy_(value)
    return graphed  # type: ignore[no-any-return]
