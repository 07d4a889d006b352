"""The loss of a batch and its gradients; on a GPU as one CUDA graph, so that a small network does not wait for the
launch of its kernels."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from slotbench.data import batches
from slotbench.recipes import Precision
from slotbench.training.device import autocast

Normalisation = tuple[Tensor, Tensor] | tuple[None, None]
"""`Data.mean` and `.std`, or nothing: pixels are then scaled to [0, 1]"""
Passes = Callable[[Tensor, Tensor], Tensor]
"""(images, labels) → their loss, detached; the gradients are left in the weights"""
WARM_UPS = 3
"""Passes before a capture, in which libraries choose algorithms and take the memory that they keep."""


class Loss(nn.Module):
    """uint8 images [batch, channels, height, width] and int64 labels [batch] → their mean cross entropy, float32 []."""

    def __init__(self, network: nn.Module, normalisation: Normalisation, precision: Precision) -> None:
        super().__init__()
        self.network, self.normalisation, self.precision = network, normalisation, precision

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(self.precision, images.device):
            return cross_entropy(self.network(batches.scale(images, *self.normalisation)), labels)

    def passes(self, images: Tensor, labels: Tensor) -> Tensor:
        """Forward and backward: the loss, detached, and the gradients in the weights, which had none."""
        loss: Tensor = self(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def passes(loss: Loss, images: Tensor, labels: Tensor) -> Passes:
    """`loss.passes` for training; on a GPU a graph of them, for batches of the size of this one."""
    return OneGraph(loss, images, labels) if images.device.type == "cuda" else loss.passes


class OneGraph:
    """`loss.passes` as one graph, forward and backward, for batches of the size of `images` and `labels`.

    Batches of other sizes, the last of an epoch, run as they are. A graph reads and writes the same memory at every
    replay: weights have to change in place, a batch is copied to where the first one lay, and the gradients of the
    batch before are overwritten. Capturing leaves no trace: neither in buffers, as of batch normalisation, nor in a
    generator, nor in gradients.
    """

    def __init__(self, loss: Loss, images: Tensor, labels: Tensor) -> None:
        self.loss, self.images, self.labels = loss, images.clone(), labels.clone()
        self.weights = list(loss.network.parameters())
        training = loss.network.training
        loss.network.train()
        before = [buffer.clone() for buffer in loss.network.buffers()]
        with torch.random.fork_rng([images.device] if images.is_cuda else []):
            self.outputs, self.replay = record(self._passes, images.device)
        for buffer, value in zip(loss.network.buffers(), before, strict=True):
            buffer.copy_(value)
        for weight in self.weights:
            weight.grad = None
        loss.network.train(training)

    def _passes(self) -> list[Tensor]:
        """The loss and all gradients, of the batch that lies in `images` and `labels`."""
        for weight in self.weights:
            weight.grad = None
        loss = self.loss.passes(self.images, self.labels)
        return [loss, *(weight.grad for weight in self.weights if weight.grad is not None)]

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if images.shape != self.images.shape:
            return self.loss.passes(images, labels)
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.replay()
        loss, *gradients = self.outputs
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        return loss


def record(body: Callable[[], list[Tensor]], device: torch.device) -> tuple[list[Tensor], Callable[[], None]]:
    """`body` as a graph of `device`: what it returns, whose memory every replay writes anew, and what replays it."""
    # A stream of its own: cuBLAS has one workspace a stream
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            body()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with uncollected(), torch.cuda.graph(graph, stream=stream):
        outputs = body()
    return outputs, graph.replay


@contextmanager
def uncollected() -> Iterator[None]:
    """Garbage is collected before and not within: an earlier cell's graph, kept alive in a cycle, must not be destroyed
    while another is captured."""
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
