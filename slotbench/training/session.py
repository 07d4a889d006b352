"""One cell, from its recipe to its record: the loop, the readings of accuracy, checkpoints, and going on after a kill.

Everything random in an epoch is a function of (seed, epoch), so that the state at the end of an epoch is all that
the next one depends on.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.utils.flop_counter import FlopCounterMode

from slotbench import architectures, recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.errors import InputError
from slotbench.files import atomic, sha256
from slotbench.recipes import Recipe, Schedule
from slotbench.results import provenance
from slotbench.results.records import (
    Costs,
    Curves,
    Layer,
    Provenance,
    Record,
    Results,
    TestAccuracy,
    cell_name,
    read,
    weights_path,
    write,
)
from slotbench.selection import SELECTIONS
from slotbench.training import checkpoint, cuda_graphs
from slotbench.training.device import autocast, device_name, peak_bytes, place, prepare, state_bytes

EVALUATION_BATCH = 500

Weights = dict[str, Tensor]
Progress = Callable[[int, int, str], None]
"""(epoch, last epoch, what to say of it)"""


def train(cell: Cell, out: Path, data_dir: Path, parent: Path | None, progress: Progress) -> Record:
    """Trains `cell` to the end of its recipe and writes its record to `out`, its weights beside it.

    `parent` is the record of the cell that a finetuned cell starts from. A session that was killed is taken up where
    it last wrote its state. Raises `InputError` for what a person must mend, before any training, and
    `checkpoint.Preempted` at SIGTERM, after writing the state of the last epoch's end.
    """
    recipe = recipes.of(cell)
    start = None if cell.parent is None else starting_weights(cell, parent)
    device = prepare(recipe.threads, recipe.precision, recipe.deterministic)
    data = batches.load(cell.dataset, data_dir, device)
    folder = out.with_suffix("")
    with checkpoint.lock(folder) as waited:
        if waited and out.exists() and provenance.stale(cell, out) is None:
            return read(out)  # whoever held the lock has done the work
        session = Session(cell, recipe, data, device)
        if start is not None:
            session.start_from(*start)
        any(session.take_up(state) for state in checkpoint.read(folder))
        # What it refused, another recipe's or code's, must not outlive its own states by counting as newer.
        checkpoint.clear(folder, after=session.epoch)
        return run(session, out, progress)


def run(session: Session, out: Path, progress: Progress) -> Record:
    """Trains what is left of a session, and writes its state now and then, its weights and its record at the end."""
    recipe, folder = session.recipe, out.with_suffix("")
    seconds_between_states = float(os.environ.get("SLOTBENCH_RESUME_SECONDS", "60"))
    began = written = time.monotonic()
    state = None
    with checkpoint.preemptible() as preemption:
        try:
            while session.epoch < recipe.epochs and not session.diverged:
                session.train_epoch(preemption.check)
                session.evaluate()
                if session.epoch in recipe.checkpoints:
                    save_weights(session.weights(), weights_path(out, f"e{session.epoch}"))
                state = session.state(time.monotonic() - began)
                validation = session.curves["validation_accuracy"][-1]
                progress(session.epoch, recipe.epochs, f"validation {100 * validation:.2f} %")
                if time.monotonic() - written >= seconds_between_states:
                    checkpoint.write(state, folder)
                    written = time.monotonic()
            preemption.end()  # what is left takes a moment, and SIGTERM waits for it
        except checkpoint.Preempted:
            if state is not None:
                checkpoint.write(state, folder)
            raise
        save_weights(session.best, weights_path(out, "best"))
        save_weights(session.weights(), weights_path(out, "last"))
        record = session.record(out, time.monotonic() - began)
        write(record, out)
        checkpoint.clear(folder)
    return record


def starting_weights(cell: Cell, parent: Path | None) -> tuple[Weights, str]:
    """The weights that a finetuned cell starts from, if they are what its parent's record says, and their SHA-256."""
    if parent is None:
        raise InputError(f"finetune '{cell.finetune}': name the record of the cell to start from, with --parent")
    record = read(parent)
    wanted = cell.parent
    if wanted is None or record.cell != cell_name(wanted):
        raise InputError(f"{parent}: is the record of another cell than {wanted}")
    path = weights_path(parent, cell.finetune)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; train {wanted} again") from error
    digest = hashlib.sha256(content).hexdigest()
    if record.weights.get(cell.finetune) != digest:
        raise InputError(f"{path}: not the file that {parent} names (SHA-256 differs); train its cell again")
    return load(content), digest


def save_weights(weights: Weights, path: Path) -> None:
    with atomic(path, "wb") as file:
        file.write(save({name: tensor.contiguous().cpu() for name, tensor in weights.items()}))


def seed_of(*parts: int) -> int:
    """One well-mixed seed out of several small ones."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class Session:
    """A cell in training: the network, its optimizer, and what has been seen so far."""

    def __init__(self, cell: Cell, recipe: Recipe, data: batches.Data, device: torch.device) -> None:
        self.cell, self.recipe, self.data, self.device = cell, recipe, data, device
        self.network = architectures.build(cell.architecture, padding=recipe.padding, dropout=recipe.dropout)
        self.network = place(self.network, device, recipe.precision)
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
        )
        self.schedule = schedule(self.optimizer, recipe.schedule)
        self.normalisation = batches.statistics(data.train.images) if recipe.normalise else (None, None)
        self.loss = cuda_graphs.captured(
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
        if self.epoch in self.recipe.prune_after:
            self.optimizer.prune(self.recipe.pruned)
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
            loss = self.loss(images, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad()
            total.add_(loss.detach(), alpha=len(labels))
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
        counted = earlier[max(self.recipe.last_rewind(self.epoch) - self.cell.start_epoch, 0) :]
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
        for images, labels in batches.whole(split, EVALUATION_BATCH):
            before_batch()
            with autocast(self.recipe.precision, self.device):
                logits = self.network(batches.scale(images, *self.normalisation))
            right += (logits.argmax(1) == labels).sum()
        return int(right) / len(split.labels)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a state must agree in with the cell that takes it up."""
        return {
            "cell": str(self.cell),
            "recipe": json.loads(self.recipe.model_dump_json()),
            "fingerprint": provenance.fingerprint(self.cell),
            "versions": provenance.versions(),
            "device": device_name(self.device),
            "started_from": self.started_from,
        }

    def state(self, seconds: float) -> checkpoint.State:
        """A copy of all that the epochs to come depend on, at an epoch's end."""
        optimizer = self.optimizer.state_dict()
        tensors = {f"network/{name}": tensor for name, tensor in self.weights().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for number, parts in optimizer["state"].items():
            tensors |= {f"optimizer/{number}/{name}": tensor.clone() for name, tensor in parts.items()}
        rest = {
            "made_by": self.identity,
            "best_epoch": self.best_epoch,
            "tests": self.tests,
            "curves": self.curves,
            # Not MultiStepLR's milestones, the recipe's own: JSON would turn their epochs into text, and none be met
            "schedule": {name: part for name, part in self.schedule.state_dict().items() if name != "milestones"},
            "groups": [
                {name: value for name, value in group.items() if name != "params"}
                for group in optimizer["param_groups"]
            ],
            "seconds": self.earlier_seconds + seconds,
        }
        return checkpoint.State(self.epoch, tensors, copy.deepcopy(rest))

    def take_up(self, state: checkpoint.State) -> bool:
        """Goes on from `state`, if this cell wrote it under this recipe, code and device; else changes nothing."""
        if state.rest.get("made_by") != self.identity:
            return False
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
        for name, tensor in state.tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor.to(self.device)
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, tensor in parts["optimizer"].items():
            number, _, rest = name.partition("/")
            optimizer["state"].setdefault(int(number), {})[rest] = tensor
        for group, saved in zip(optimizer["param_groups"], state.rest["groups"], strict=True):
            group |= saved
        self.network.load_state_dict(parts["network"])
        self.optimizer.load_state_dict(optimizer)
        self.schedule.load_state_dict(state.rest["schedule"])
        self.epoch, self.best_epoch, self.best = state.epoch, state.rest["best_epoch"], parts["best"]
        self.tests, self.curves = state.rest["tests"], state.rest["curves"]
        self.earlier_seconds = state.rest["seconds"]
        return True

    def layers(self) -> list[Layer] | None:
        """What is selected, layer by layer; None for a rule without options, which does not concern that code."""
        if not self.rule.has_options:
            return None
        return cast(list[Layer], import_module("slotbench.training.layer_statistics").layers(self.optimizer))

    def record(self, out: Path, seconds: float) -> Record:
        """The record of a cell whose weights have been written."""
        at_best = next(test for test in self.tests if test["epoch"] == self.best_epoch)
        names = [
            "best",
            "last",
            *(f"e{epoch}" for epoch in self.recipe.checkpoints if self.cell.start_epoch < epoch <= self.epoch),
        ]
        commit, dirty = provenance.commit()
        torch.manual_seed(seed_of(self.cell.seed, self.epoch))  # for a rule that draws its weights to be read
        return Record(
            cell=cell_name(self.cell),
            status="diverged" if self.diverged else "done",
            recipe=json.loads(self.recipe.model_dump_json()),
            results=Results(
                start_epoch=self.cell.start_epoch,
                epochs=self.epoch,
                best_epoch=self.best_epoch,
                validation_accuracy=self.curves["validation_accuracy"][self.best_epoch - self.cell.start_epoch - 1],
                test_accuracy=at_best["accuracy"],
                test_accuracy_last=self.tests[-1]["accuracy"],
                test=[TestAccuracy(**test) for test in self.tests],
                train_accuracy=self.accuracies(self.data.train)["accuracy"],
                curves=Curves(**self.curves),
                layers=self.layers(),
                connections=sum(weight.numel() for weight in self.network.parameters()),
                flops_per_epoch=flops_per_image(self.network, self.data.train.images[:2]) * len(self.data.train.labels),
            ),
            weights={name: sha256(weights_path(out, name)) for name in names},
            costs=Costs(
                wall_seconds=self.earlier_seconds + seconds,
                peak_bytes=peak_bytes(self.device),
                state_bytes=state_bytes(self.optimizer),
            ),
            provenance=Provenance(
                commit=commit,
                dirty=dirty,
                versions=provenance.versions(),
                device=device_name(self.device),
                threads=self.recipe.threads,
                data=dict(self.data.hashes),
                fingerprint=provenance.fingerprint(self.cell),
                started_from=self.started_from,
                finished=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        )


def schedule(optimizer: torch.optim.Optimizer, wanted: Schedule) -> lr_scheduler.LRScheduler:
    """torch's scheduler for a recipe's, to be stepped after every epoch."""
    match wanted.kind:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "steps":
            return lr_scheduler.MultiStepLR(optimizer, wanted.epochs, wanted.factor)
        case "warm-restarts":
            return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, wanted.epochs[0], int(wanted.factor))


def without_compiler(*functions: Any) -> None:
    """Marks functions of torch as what its compiler leaves alone.

    torch would do so itself when one is first called, and import its whole compiler for that: more than a second, as
    long as all the rest of the start of a cell. Nothing is compiled here.
    """
    for function in functions:
        plain = getattr(function, "__wrapped__", function)
        setattr(plain, "__dynamo_disable", plain)


without_compiler(
    *(getattr(Optimizer, name) for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"))
)


def flops_per_image(network: nn.Module, images: Tensor) -> int:
    """FLOPs of a forward and a backward pass, by torch's counter, on a copy of `network` on the CPU.

    `images` are two images, uint8: batch normalisation needs more than one.
    """
    twin = copy.deepcopy(network).cpu().train()
    with FlopCounterMode(display=False) as counter:
        without_compiler(type(counter.mode).__torch_dispatch__)
        twin(batches.scale(images.cpu())).sum().backward()
    return int(counter.get_total_flops()) // len(images)
