"""One cell, from its recipe to its record: where it starts, going on after a kill, and the files that it leaves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load, save

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.errors import InputError
from slotbench.files import atomic, open_plain, require_plain
from slotbench.results.records import Record, cell_name, read, weights_path, write
from slotbench.results.standing import stale
from slotbench.training import checkpoint
from slotbench.training.device import prepare
from slotbench.training.record_of_session import record_of
from slotbench.training.session import Session, Weights

Progress = Callable[[int, int, str], None]
"""(epoch, last epoch, what to say of it)"""


def train_cell(cell: Cell, out: Path, data_dir: Path, parent: Path | None, progress: Progress) -> Record:
    """Trains `cell` to the end of its recipe and writes its record to `out`, its weights beside it.

    `parent` is the record of the cell that a finetuned cell starts from. A session that was killed is taken up where
    it last wrote its state. Raises `InputError` for what a person must mend, before any training, and
    `checkpoint.Preempted` at SIGTERM, after writing the state of the last epoch's end.
    """
    recipe = recipes.of(cell)
    require_plain(out)
    start = None if cell.parent is None else starting_weights(cell, parent)
    device = prepare(recipe.threads, recipe.precision, recipe.deterministic)
    data = batches.load(cell.dataset, data_dir, device)
    folder = out.with_suffix("")
    with checkpoint.lock(folder) as waited:
        if waited and out.exists() and stale(cell, out) is None:
            return read(out)  # whoever held the lock has done the work
        session = Session(cell, recipe, data, device)
        if start is not None:
            session.start_from(*start)
        any(checkpoint.take_up(session, state) for state in checkpoint.read(folder))
        # What it refused, another recipe's or code's, must not outlive its own states by counting as newer.
        checkpoint.clear(folder, after=session.epoch)
        return run(session, out, progress)


def run(session: Session, out: Path, progress: Progress) -> Record:
    """Trains what is left of a session, and writes its state now and then, its weights and its record at the end."""
    recipe, folder = session.recipe, out.with_suffix("")
    seconds_between_states = checkpoint.seconds_between_states()
    began = written = time.monotonic()
    state, made_by = None, checkpoint.identity(session)
    with checkpoint.preemptible() as preemption:
        try:
            while session.epoch < recipe.epochs and not session.diverged:
                session.train_epoch(preemption.check)
                session.evaluate()
                if session.epoch in recipe.checkpoints:
                    save_weights(session.weights(), weights_path(out, f"e{session.epoch}"))
                state = checkpoint.state_of(session, made_by, time.monotonic() - began)
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
        record = record_of(session, out, time.monotonic() - began)
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
        with open_plain(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; train {wanted} again") from error
    digest = hashlib.sha256(content).hexdigest()
    if record.weights.get(cell.finetune) != digest:
        raise InputError(f"{path}: not the file that {parent} names (SHA-256 differs); train its cell again")
    return load(content), digest


def save_weights(weights: Weights, path: Path) -> None:
    with atomic(path, "wb") as file:
        file.write(save({name: tensor.contiguous().cpu() for name, tensor in weights.items()}))
