"""The record of a cell whose training has ended: what is read and counted then, its costs and its provenance."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from slotbench.data import batches
from slotbench.results import provenance
from slotbench.results.fingerprint import fingerprint
from slotbench.results.records import (
    Costs,
    Curves,
    Layer,
    Provenance,
    Record,
    Results,
    TestAccuracy,
    cell_name,
)
from slotbench.training import layer_statistics
from slotbench.training.device import device_name, peak_bytes, state_bytes, without_compiler
from slotbench.training.numerics import numerics
from slotbench.training.session import Session, seed_of


def record_of(session: Session, weights: dict[str, str], unchanging: bool, seconds: float) -> Record:
    """The record of a cell whose weights have been written, in files of these SHA-256."""
    cell, recipe, train = session.cell, session.recipe, session.data.train
    at_best = next(test for test in session.tests if test["epoch"] == session.best_epoch)
    commit, dirty = provenance.commit()
    torch.manual_seed(seed_of(cell.seed, session.epoch))  # for a rule that draws its weights to be read
    return Record(
        cell=cell_name(cell),
        status="diverged" if session.diverged else "done",
        recipe=json.loads(recipe.model_dump_json()),
        results=Results(
            start_epoch=cell.start_epoch,
            epochs=session.epoch,
            unchanging=unchanging,
            best_epoch=session.best_epoch,
            validation_accuracy=session.curves["validation_accuracy"][session.best_epoch - cell.start_epoch - 1],
            test_accuracy=at_best["accuracy"],
            test_accuracy_last=session.tests[-1]["accuracy"],
            test=[TestAccuracy(**test) for test in session.tests],
            train_accuracy=session.accuracies(train)["accuracy"],
            curves=Curves(**session.curves),
            layers=layers(session),
            connections=sum(weight.numel() for weight in session.network.parameters()),
            flops_per_epoch=flops_per_image(session.network, session.data.train.images[:2])
            * len(session.data.train.labels),
        ),
        weights={name: weights[name] for name in sorted(weights, key=order)},
        costs=Costs(
            wall_seconds=session.earlier_seconds + seconds,
            peak_bytes=peak_bytes(session.device),
            state_bytes=state_bytes(session.optimizer),
        ),
        provenance=Provenance(
            commit=commit,
            dirty=dirty,
            versions=provenance.versions(),
            device=device_name(session.device),
            threads=recipe.threads,
            data=dict(session.data.hashes),
            fingerprint=fingerprint(cell),
            started_from=session.started_from,
            numerics=numerics(session.device),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )


def order(name: str) -> tuple[bool, int]:
    """Best, last, and checkpoints by their epochs."""
    return (False, name == "last") if name in ("best", "last") else (True, int(name[1:]))


def layers(session: Session) -> list[Layer] | None:
    """What is selected, layer by layer; None for a rule without options."""
    if not session.rule.has_options:
        return None
    return layer_statistics.layers(session.optimizer)


def flops_per_image(network: nn.Module, images: Tensor) -> int:
    """FLOPs of a forward and a backward pass, by torch's counter, on a copy of `network` on the CPU.

    `images` are two images, uint8: batch normalisation needs more than one.
    """
    twin = copy.deepcopy(network).cpu().train()
    with FlopCounterMode(display=False) as counter:
        without_compiler(type(counter.mode).__torch_dispatch__)
        twin(batches.scale(images.cpu())).sum().backward()
    return int(counter.get_total_flops()) // len(images)
