"""The plain version of edge-popup and supermask: stored scores, autograd through the mask, and torch's SGD."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.selection.greedy import Greedy
from slotbench.selection.subnetwork import Subnetwork
from tests.support.networks import network


def signs(model: nn.Module, seed: int) -> list[Tensor]:
    """The signs of the random network of K = 1."""
    twin = copy.deepcopy(model)
    Greedy(twin.parameters(), k=1, seed=seed, lr=0.1)
    return [weight.detach().sign() for weight in twin.parameters()]


def straight_through(forward: Tensor, backward: Tensor) -> Tensor:
    """The first one's values, with the gradient of the second."""
    return forward + (backward - backward.detach())


def side_by_side(
    rule: Callable[..., Subnetwork],
    kind: str,
    magnitude: Callable[[Tensor], float],
    mask: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    **sgd: Any,
) -> Iterator[list[tuple[Tensor, Tensor, Tensor, Tensor]]]:
    """Before every step and after the last: weight, the plain version's weight, score, its score, of each layer.

    `mask` is what a layer's fixed weights are multiplied by, in terms of its scores and of the weights of `rule`.
    """
    ours, theirs = network(kind, classes=9), network(kind, classes=9)
    fixed = [sign * magnitude(sign) for sign in signs(ours, seed=4)]
    optimizer = rule(ours.parameters(), seed=4, **sgd)
    layers = list(ours.parameters())
    scores = [nn.Parameter(optimizer.state[weight]["b"].clone()) for weight in layers]
    plain = torch.optim.SGD(scores, **sgd)
    schedules = [
        torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(each, T_0=steps // 3) for each in (optimizer, plain)
    ]
    generator = torch.Generator().manual_seed(7)
    for step in range(steps + 1):
        weights = [
            each * mask(score, weight.detach()) for each, score, weight in zip(fixed, scores, layers, strict=True)
        ]
        yield [(weight, weights[i], optimizer.state[weight]["b"], scores[i]) for i, weight in enumerate(layers)]
        if step == steps:
            return
        with torch.no_grad():
            for parameter, weight in zip(theirs.parameters(), weights, strict=True):
                parameter.copy_(weight)
        images = torch.rand(16, 1, 8, 8, generator=generator, dtype=torch.float64)
        images[:, :, 0] = 0  # as MNIST's border: connections whose gradient is always 0
        labels = torch.randint(9, (16,), generator=generator)
        for model in (ours, theirs):
            model.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
        plain.zero_grad()
        torch.autograd.backward(weights, [parameter.grad for parameter in theirs.parameters()])
        optimizer.step()
        plain.step()
        for schedule in schedules:
            schedule.step()
