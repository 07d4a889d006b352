"""Selection beside the textbook: two copies of a network, trained step for step."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.selection.greedy import Greedy
from slotbench.selection.options import Block, Options
from tests.support.networks import network
from tests.support.oracle import Textbook

SCHEDULES = {
    "constant": lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=2),
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1),
}


class Given(Options):
    """Options and scores that a test chooses, where drawn ones would not tie: `given` holds both, in one block."""

    given: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

    def block(self, start: int) -> Block:
        options, scores = self.given
        return start, options.copy(), scores.copy()


def offered(weight: nn.Parameter, options: Tensor, scores: Tensor, **sgd: Any) -> Greedy:
    """Greedy selection for one layer of few connections, with these options and initial scores, [connections, K]."""
    slots = Greedy([weight], k=options.shape[1], seed=0, **sgd)
    connections, k = options.shape
    slots.options[weight] = Given(connections, k, 0, 0, 1.0, 1.0)
    object.__setattr__(slots.options[weight], "given", (options.float().numpy(), scores.float().numpy()))
    slots._climbers.clear()
    slots._select_all()
    return slots


def compare(
    kind: str,
    k: int,
    steps: int,
    schedule: str = "constant",
    rule: type[Greedy] = Greedy,
    seed: int | None = None,
    **sgd: Any,
) -> Greedy:
    """Trains two copies of a network side by side and asserts that nothing that is selected ever differs."""
    ours = network(kind)
    theirs = copy.deepcopy(ours)
    slots = rule(ours.parameters(), k=k, seed=k if seed is None else seed, **sgd)
    textbook = Textbook(list(theirs.parameters()), list(slots.options.values()), **sgd)
    schedulers = [SCHEDULES[schedule](optimizer) for optimizer in (slots, textbook.optimizer)]
    generator = torch.Generator().manual_seed(7)
    moved = 0
    for step in range(steps):
        images = torch.rand(16, 1, 8, 8, generator=generator, dtype=torch.float64)
        images[:, :, 0] = 0  # as MNIST's border: connections whose gradient is always 0
        labels = torch.randint(10, (16,), generator=generator)
        before = [weight.detach().clone() for weight in ours.parameters()]
        for model, optimizer in ((ours, slots), (theirs, textbook)):
            model.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        for weight, expected, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
            assert torch.equal(weight, expected), f"step {step}: {(weight != expected).sum()} selections differ"
            moved += int((weight != old).sum())
        for scheduler in schedulers:
            scheduler.step()
    assert moved or k == 1, "nothing was ever selected anew: the comparison shows nothing"
    return slots
