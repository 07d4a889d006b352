"""A cell in training: its network, its epochs, its readings of accuracy. What computes is here, and no file is touched.

Everything random in an epoch is a function of (seed, epoch), so that the state at the end of an epoch is all that
the next one depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from slotbench import architectures
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.recipes import Recipe, Schedule
from slotbench.selection import SELECTIONS
from slotbench.training import cuda_graphs
from slotbench.training.device import autocast, place

EVALUATION_BATCH = 500
EVALUATION_BATCH_ON_A_GPU = 5000
"""Of rules that do not draw: the launch of kernels then hardly counts."""

Weights = dict[str, Tensor]


def seed_of(*parts: int) -> int:
    """One well-mixed seed out of several small ones."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class Session:
    """A cell in training: the network, its optimizer, and what has been seen so far."""

    def __init__(self, cell: Cell, recipe: Recipe, data: batches.Data, device: torch.device) -> None:
        self.cell, self.recipe, self.data, self.device = cell, recipe, data, device
        network = architectures.build(cell.architecture, padding=recipe.padding, dropout=recipe.dropout)
        self.network = place(network, device)
        self.rule = SELECTIONS["learned" if cell.parent is not None else cell.selection]
        module, _, optimizer = self.rule.optimizer.partition(":")
        self.optimizer = getattr(import_module(f"slotbench.selection.{module}"), optimizer)(
            self.network.parameters(),
            k=cell.k if self.rule.has_options else 1,
            seed=cell.seed,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            option_bound=recipe.option_bound,
            score_bounds=recipe.score_bounds,
            **{name: getattr(recipe, name) for name in self.rule.settings},
        )
        self.schedule = schedule(self.optimizer, recipe.schedule)
        self.normalisation = batches.statistics(data.train.images) if recipe.normalise else (None, None)
        self.passes = cuda_graphs.passes(
            cuda_graphs.Loss(self.network, self.normalisation, recipe.precision),
            data.train.images[: recipe.batch],
            data.train.labels[: recipe.batch],
        )
        self.epoch = cell.start_epoch
        self.best_epoch = self.epoch
        self.best: Weights = {}
        self.tests: list[dict[str, Any]] = []
        self.curves: dict[str, list[Any]] = {"train_loss": [], "validation_accuracy": [], "changed": []}
        self.earlier_seconds = 0.0
        self.started_from: str | None = None

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's loss was not finite."""
        return bool(self.curves["train_loss"]) and self.curves["train_loss"][-1] is None

    def start_from(self, weights: Weights, digest: str) -> None:
        """Takes the weights of another cell's checkpoint, the SHA-256 of whose file is `digest`."""
        self.network.load_state_dict({name: tensor.to(self.device) for name, tensor in weights.items()})
        self.started_from = digest

    def weights(self) -> Weights:
        """A copy of the network's weights and buffers."""
        return {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}

    def train_epoch(self, before_batch: Callable[[], None] = lambda: None) -> None:
        """One epoch; `before_batch` is called before each batch."""
        self.optimizer.eval()
        if self.rule.prunes and self.optimizer.begin_epoch(self.epoch):
            self.schedule = schedule(self.optimizer, self.recipe.schedule)
        before = self.choices()
        torch.manual_seed(seed_of(self.cell.seed, self.epoch))
        self.optimizer.train()
        self.network.train()
        total = torch.zeros((), device=self.device)
        for images, labels in batches.epoch(
            self.data.train, self.recipe.batch, self.cell.seed, self.epoch, self.recipe.flip
        ):
            before_batch()
            loss = self.passes(images, labels)
            self.optimizer.step()
            self.optimizer.zero_grad()
            total.add_(loss, alpha=len(labels))
        self.schedule.step()
        self.epoch += 1
        mean_loss = total.item() / len(self.data.train.labels)
        self.curves["train_loss"].append(mean_loss if math.isfinite(mean_loss) else None)
        self.optimizer.eval()
        changed = sum(int((old != new).sum()) for old, new in zip(before, self.choices(), strict=True))
        self.curves["changed"].append(changed / sum(old.numel() for old in before))

    def choices(self) -> list[Tensor]:
        """What each connection has selected: its weight, or of a subnetwork whether it is kept."""
        weights = (weight.detach() for weight in self.network.parameters())
        return [weight != 0 if self.rule.subnetwork else weight.clone() for weight in weights]

    def evaluate(self) -> None:
        """Validation every epoch; the test set only where validation is at a new best, and at the last epoch."""
        validation = self.accuracies(self.data.validation)["accuracy"]
        earlier = self.curves["validation_accuracy"]
        counted = earlier[self.optimizer.last_rewind(self.epoch) if self.rule.prunes else 0 :]
        at_best = not counted or validation > max(counted)
        earlier.append(validation)
        if at_best:
            self.best_epoch, self.best = self.epoch, self.weights()
        if at_best or self.diverged or self.epoch == self.recipe.epochs:
            self.tests.append({"epoch": self.epoch, **self.accuracies(self.data.test)})

    @torch.no_grad()
    def accuracies(self, split: batches.Split) -> dict[str, float]:
        """Of the weights that the recipe counts; of a rule that draws, also by drawing and by the highest scores."""
        self.network.eval()
        self.optimizer.eval()
        highest = self.accuracy(split)
        if not self.rule.draws:
            return {"accuracy": highest}
        sampled = self.accuracy(split, before_batch=self.optimizer.draw)
        self.optimizer.eval()
        counted = sampled if self.recipe.evaluate_by == "sampling" else highest
        return {"accuracy": counted, "sampled": sampled, "highest": highest}

    def accuracy(self, split: batches.Split, before_batch: Callable[[], None] = lambda: None) -> float:
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        few = self.device.type == "cpu" or self.rule.draws
        for images, labels in batches.whole(split, EVALUATION_BATCH if few else EVALUATION_BATCH_ON_A_GPU):
            before_batch()
            with autocast(self.recipe.precision, self.device):
                logits = self.network(batches.scale(images, *self.normalisation))
            right += (logits.argmax(1) == labels).sum()
        return int(right) / len(split.labels)


def schedule(optimizer: torch.optim.Optimizer, wanted: Schedule) -> lr_scheduler.LRScheduler:
    """torch's scheduler for a recipe's, to be stepped after every epoch."""
    match wanted.kind:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "steps":
            return lr_scheduler.MultiStepLR(optimizer, wanted.epochs, wanted.factor)
        case "warm-restarts":
            return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, wanted.epochs[0], int(wanted.factor))
