"""Training cells again, to compare bit by bit with what their records say: `slotbench replay` and `slotbench vouch`.

Two machines may round sums in another way, and training makes much of a small difference. So where a record's bits
do not come out, `replay` measures how far ways of rounding lead apart on this machine, and `vouch` trains by the
record's own code as well, on the same machine, and compares with that.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import torch
import yaml
from safetensors.torch import load

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.recipes import Recipe
from slotbench.results import provenance, records
from slotbench.results.fingerprint import deciding, fingerprint, on_a_gpu
from slotbench.results.plan import Plan
from slotbench.results.records import Provenance, Record
from slotbench.results.vouching import FIRST_EPOCHS, Attestation, Replayed, Trial, sample, summary
from slotbench.selection import SELECTIONS
from slotbench.training import checkpoint
from slotbench.training.device import device_name, prepare, processor
from slotbench.training.numerics import numerics
from slotbench.training.session import Session, Weights

CURVES = ("train_loss", "validation_accuracy", "changed")
SHIFTS = (1, 31, 64)
"""Ways of rounding: how far the images of a batch are moved round before their gradients are added up."""
SHIFTED_EPOCHS = 5
"""at least: two trainings are equal but for the last bits until a first selection differs"""
SLACK = 4
"""How many times farther apart than the ways of rounding on this machine another machine's may lead: of so few
trainings the farthest are not the farthest there could be."""


class Trained(NamedTuple):
    """What a cell's training has given, as its record would say it."""

    start_epoch: int
    curves: dict[str, list[float | None]]
    tests: list[dict[str, Any]]
    weights: dict[str, str]
    """checkpoint → SHA-256 of its file"""

    @classmethod
    def of(cls, record: Record) -> Trained:
        results = record.results
        curves = results.curves.model_dump()
        return cls(results.start_epoch, curves, [test.model_dump() for test in results.test], record.weights)


class Difference(NamedTuple):
    """Where two trainings of a cell first differ."""

    epoch: int
    quantity: str
    here: object
    there: object

    def __str__(self) -> str:
        return f"{self.quantity} of epoch {self.epoch}: {self.there} in the record, {self.here} here"


def retrain(
    cell: Cell,
    recipe: Recipe,
    epochs: int,
    data_dir: Path,
    start: tuple[Weights, str] | None = None,
    shift: int = 0,
) -> tuple[Trained, dict[str, Weights]]:
    """Trains `cell` for `epochs` epochs from its start, and the weights of each checkpoint that it passes.

    `start` is what a finetuned cell starts from; `shift` rounds sums in another way
    than training does: `round_otherwise`.
    """
    device = prepare(recipe.threads, recipe.precision, recipe.deterministic)
    session = Session(cell, recipe, batches.load(cell.dataset, data_dir, device), device)
    if start is not None:
        session.start_from(*start)
    if shift:
        round_otherwise(session, shift)
    kept: dict[str, Weights] = {}
    for _ in range(epochs):
        session.train_epoch()
        session.evaluate()
        if session.epoch in recipe.checkpoints:
            kept[f"e{session.epoch}"] = session.weights()
        if session.diverged:
            break
    if session.epoch == recipe.epochs or session.diverged:
        kept |= {"best": session.best, "last": session.weights()}
    hashes = {name: hashlib.sha256(checkpoint.serialised(weights)).hexdigest() for name, weights in kept.items()}
    curves = {name: list(session.curves[name]) for name in CURVES}
    return Trained(cell.start_epoch, curves, [dict(test) for test in session.tests], hashes), kept


def round_otherwise(session: Session, shift: int) -> None:
    """Lets `session` add up the gradients of a batch's images in another order: the same sums, rounded elsewhere."""
    passes = session.passes
    session.passes = lambda images, labels: passes(images.roll(shift, 0), labels.roll(shift, 0))


def difference(here: Trained, there: Trained) -> Difference | None:
    """Where `here`, which may have fewer epochs, first differs from `there`; None where every bit is equal."""
    first = here.start_epoch + 1
    tests = {test["epoch"]: test for test in there.tests}
    for place in range(len(here.curves["train_loss"])):
        for name in CURVES:
            ours, theirs = here.curves[name][place], _at(there.curves[name], place)
            if ours != theirs:
                return Difference(first + place, name.replace("_", " "), ours, theirs)
    for test in here.tests:
        theirs = tests.get(test["epoch"])  # read at the last epoch, too, of which a part of a training has another
        if theirs is not None and any(test[key] != theirs[key] for key in test):
            return Difference(test["epoch"], "test accuracy", test["accuracy"], theirs["accuracy"])
    last = here.start_epoch + len(here.curves["train_loss"])
    for name, digest in here.weights.items():
        if digest != there.weights.get(name):
            return Difference(last, f"SHA-256 of weights '{name}'", digest[:12], str(there.weights.get(name))[:12])
    return None


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def distance(here: Trained, there: Trained) -> tuple[float, float]:
    """The largest difference of an epoch's training loss, relative, and of its validation accuracy."""
    pairs = zip(here.curves["train_loss"], there.curves["train_loss"], strict=False)
    loss = max((abs(ours - theirs) / abs(theirs) for ours, theirs in pairs if ours is not None and theirs), default=0.0)
    accuracies = zip(here.curves["validation_accuracy"], there.curves["validation_accuracy"], strict=False)
    return loss, max((abs((ours or 0) - (theirs or 0)) for ours, theirs in accuracies), default=0.0)


class Replay(NamedTuple):
    """What came of training a cell again."""

    cell: Cell
    epochs: int
    verdict: str
    """equal, rounding or different"""
    words: str


def replay(cell: Cell, path: Path, epochs: int | None, data_dir: Path) -> Replay:
    """Trains the cell of the record at `path` for its first `epochs` epochs (None: all), and compares."""
    record = records.read(path)
    recipe = recipes.of(cell)
    there = Trained.of(record)
    whole = record.results.epochs - cell.start_epoch
    count = whole if epochs is None else min(epochs, whole)
    start = None if cell.parent is None else starting_point(cell, path, data_dir)
    here, _ = retrain(cell, recipe, count, data_dir, start)
    first = difference(here, there)
    if first is None:
        return Replay(cell, count, "equal", f"equal to the bit over {count} epochs")
    loss, accuracy = distance(here, there)
    far = f"{loss:.1e} in training loss, {100 * accuracy:.2f} percentage points of validation accuracy"
    several = min(max(count, SHIFTED_EPOCHS), whole)
    plain = here if count >= several else retrain(cell, recipe, several, data_dir, start)[0]
    shifted = [retrain(cell, recipe, several, data_dir, start, shift)[0] for shift in SHIFTS]
    bounds = tuple(map(max, zip(*(distance(plain, other) for other in shifted), strict=True)))
    if bounds == (0.0, 0.0):
        return Replay(cell, count, "different", f"different: {first}")
    measured = f"{bounds[0]:.1e} and {100 * bounds[1]:.2f}"
    if loss <= SLACK * bounds[0] and accuracy <= SLACK * bounds[1] + 2e-3:
        words = (
            f"equal within what another processor's rounding explains: at most {far}; ways of rounding on this "
            f"machine lead {measured} apart in {several} epochs. The record is from {record.provenance.device}"
        )
        return Replay(cell, count, "rounding", words)
    words = f"different: {first}; at most {far}, where ways of rounding here give {measured}"
    return Replay(cell, count, "different", words)


def starting_point(cell: Cell, path: Path, data_dir: Path) -> tuple[Weights, str]:
    """What a finetuned cell starts from: its parent's checkpoint, trained again if it is not there."""
    assert cell.parent is not None
    parent = path.parent.parent / "none" / path.name
    file = records.weights_path(parent, cell.finetune)
    if file.exists():
        content = file.read_bytes()
    else:
        _, kept = retrain(cell.parent, recipes.of(cell.parent), cell.start_epoch, data_dir)
        content = checkpoint.serialised(kept[cell.finetune])
    return load(content), hashlib.sha256(content).hexdigest()


def shortened(cell: Cell, recipe: Recipe, epochs: int) -> Recipe:
    """`recipe`, ending after the cell's first `epochs` epochs; a lottery ticket is then pruned after the first."""
    end = cell.start_epoch + epochs
    return recipe if end >= recipe.epochs else recipe.model_copy(update=ending(cell, end))


def ending(cell: Cell, epochs: int) -> dict[str, Any]:
    """The settings that let `cell` end after `epochs`."""
    return {"epochs": epochs} | ({"prune_after": (1,)} if SELECTIONS[recipes.rule_of(cell)].prunes else {})


def by_commit(commit: str, cell: Cell, epochs: int, data_dir: Path) -> Trained:
    """What the code of `commit` gives for the first `epochs` epochs of `cell`, on this machine.

    It is kept in the user's cache, since it cannot change: the same code, versions and machine give the same bits.
    """
    versions = provenance.versions()
    where = [device_name(torch.device("cpu")), processor("cpu family"), processor("model"), processor("flags")]
    key = hashlib.sha256(json.dumps([commit, str(cell), epochs, versions, where]).encode()).hexdigest()[:24]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "slotbench", "replayed", f"{key}.json")
    if cache.exists():
        return Trained(**json.loads(cache.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _extract(commit, tree)
        _end_after(cell, epochs, tree)
        trained = Trained.of(_train_by(tree, cell, data_dir))
    with atomic(cache) as file:
        json.dump(trained._asdict(), file)
    return trained


def _extract(commit: str, tree: Path) -> None:
    """The code and the recipes of `commit`, without anything of git."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(provenance.CHECKOUT), "archive", commit, "--", "slotbench", "config"]
    try:
        archive = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"commit {commit}: its code cannot be had ({provenance.CHECKOUT} is no checkout that has it), so nothing "
            "tells a change of code from a processor that rounds in another way; vouch in a full clone"
        ) from error
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(tree, filter="data")


def _end_after(cell: Cell, epochs: int, tree: Path) -> None:
    """Adds to the cell's recipe in `tree` a last rule for it to end after so many epochs."""
    (path,) = tree.rglob(f"recipes/{cell.recipe}.yaml")
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    short = shortened(cell, recipes.of(cell), epochs)
    if short is recipes.of(cell):
        return
    if cell.parent is not None:  # which has to be trained as far as its checkpoint
        recipe.setdefault("rules", []).append({"when": {"finetuned": False}, "set": {"epochs": cell.start_epoch}})
    when = {"finetuned": cell.parent is not None}
    recipe.setdefault("rules", []).append({"when": when, "set": ending(cell, short.epochs)})
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")


def _train_by(tree: Path, cell: Cell, data_dir: Path) -> Record:
    """Trains `cell`, and first its parent, by the code in `tree`."""
    out = tree / "cells" / cell.path
    options = [f"--{axis}={getattr(cell, axis)}" for axis in records.CellName.model_fields]
    if cell.parent is not None:
        parent = tree / "cells" / cell.parent.path
        options.append(f"--parent={parent}")
        _train_by(tree, cell.parent, data_dir)
    command = [sys.executable, "-c", "from slotbench.cli import main; main()", "train", *options]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [*command, f"--out={out}", f"--data-dir={data_dir.absolute()}"],
        cwd=tree, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise InputError(f"{cell}: its record's own code ends in: {done.stderr.strip().splitlines()[-1:]}")
    return records.read(out)


def replay_all(jobs: Sequence[tuple[Cell, Path]], epochs: int | None, data_dir: Path) -> Iterator[Replay]:
    """`replay` of several records, as many at a time as the machine has cores for, in the order in which they end."""
    with pool(recipes.of(cell).threads for cell, _ in jobs) as processes:
        waiting = [processes.submit(replay, cell, path, epochs, data_dir) for cell, path in jobs]
        for done in as_completed(waiting):
            yield done.result()


def of_this_kind(origin: Provenance) -> bool:
    """Whether a record was made on a GPU, as this machine would, or on none, as this machine: the others' bits are
    others, and a network that took a GPU minutes takes a processor hours."""
    return on_a_gpu(origin.numerics) == torch.cuda.is_available()


def vouch(plan: Plan, data_dir: Path, progress: Callable[[str], None]) -> Attestation:
    """Trains a sample of a run again; an `InputError` names a cell of which a bit differs. Cells that were trained on a
    GPU are vouched for on a machine with one, the others on one without."""
    commit, dirty = provenance.commit()
    if dirty:
        raise InputError("vouch: code or recipes differ from their commit; commit first, so that others can see them")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = {cell: records.read(path).provenance for cell in plan.run.cells() if (path := plan.record(cell)).exists()}
    here = {cell: origin for cell, origin in made.items() if of_this_kind(origin)}
    trials = sample({cell: plan.record(cell) for cell in here})
    if not trials:
        raise InputError(f"run '{plan.run.run}': has no records to vouch for on this machine")
    if others := len(made) - len(here):
        progress(f"not vouched for: {others} cells trained {'without' if device.type == 'cuda' else 'on'} a GPU")
    replayed = []
    with pool(recipes.of(trial.cell).threads for trial in trials) as processes:
        waiting = [processes.submit(try_again, trial, plan.record(trial.cell), data_dir) for trial in trials]
        try:
            for done in as_completed(waiting):
                replayed.append(done.result())
                progress(f"{replayed[-1].cell}: every bit agreed over {replayed[-1].epochs} epochs")
        except InputError:
            processes.shutdown(wait=False, cancel_futures=True)
            raise
    pairs = {
        (summary(deciding(origin.fingerprint, origin.numerics)), summary(deciding(fingerprint(cell), origin.numerics)))
        for cell, origin in here.items()
    }
    return Attestation(
        equal=tuple(sorted(pairs)),
        replayed=tuple(sorted(replayed, key=lambda trial: trial.cell)),
        commit=commit,
        device=device_name(device),
        numerics=numerics(device),
        versions=provenance.versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def try_again(trial: Trial, path: Path, data_dir: Path) -> Replayed:
    """Trains a cell of a sample again; an `InputError` if a bit differs, from its record's or, where this machine
    rounds in another way, from those of the record's own code run here."""
    cell, record = trial.cell, records.read(path)
    recipe = recipes.of(cell)
    start = None if cell.parent is None else starting_point(cell, path, data_dir)
    first, _ = retrain(cell, recipe, min(trial.epochs, FIRST_EPOCHS), data_dir, start)
    against = "record"
    if difference(first, Trained.of(record)) is None:
        here = first if trial.epochs <= FIRST_EPOCHS else retrain(cell, recipe, trial.epochs, data_dir, start)[0]
        differing = difference(here, Trained.of(record))
        whose = "its record"
    else:
        if record.provenance.commit is None:
            raise InputError(f"{cell}: its bits differ from its record's, which does not say which commit made it")
        against = record.provenance.commit
        there = by_commit(against, cell, trial.epochs, data_dir)
        here, _ = retrain(cell, shortened(cell, recipe, trial.epochs), trial.epochs, data_dir, start)
        differing = difference(here, there)
        whose = f"commit {against[:7]}, run on this machine"
    if differing is not None:
        raise InputError(
            f"{cell}: {differing.quantity} of epoch {differing.epoch} is {differing.here}, but {differing.there} "
            f"by {whose}; nothing is vouched for"
        )
    return Replayed(cell=str(cell), epochs=trial.epochs, full=trial.full, against=against)


@contextmanager
def pool(threads: Iterable[int]) -> Iterator[ProcessPoolExecutor]:
    """Processes that together use the cores there are; an `InputError` if one is killed.

    Each starts anew, since torch does not survive a fork.
    """
    workers = max(1, (os.cpu_count() or 1) // max(threads, default=1))
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as processes:
            yield processes
    except BrokenProcessPool as error:
        raise InputError(
            "a process that trained was killed from outside, as for want of memory; nothing was written: try again, "
            "with fewer processes beside it"
        ) from error


def end_with_parent() -> None:
    """Lets this process of a pool end when the one that started it is killed: nobody would wait for its cell."""

    def wait() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
