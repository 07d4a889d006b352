"""One cell, from its recipe to its record: where it starts, going on after a kill, and the files that it leaves."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from safetensors.torch import load

from slotbench import locking, recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.errors import InputError
from slotbench.files import atomic, open_plain, require_plain
from slotbench.results.records import Record, cell_name, read, weights_path, write
from slotbench.results.standing import parent_of, stale
from slotbench.training import checkpoint
from slotbench.training.device import prepare
from slotbench.training.preemption import Preempted, preemptible
from slotbench.training.record_of_session import record_of
from slotbench.training.session import Session, Weights

Progress = Callable[[int, int, str], None]
"""(epoch, last epoch, what to say of it)"""


def train_cell(cell: Cell, out: Path, data_dir: Path, parent: Path | None, progress: Progress) -> Record:
    """Trains `cell` to the end of its recipe and writes its record to `out`, its weights beside it.

    `parent` is the record of the cell that a finetuned cell starts from. A session that was killed is taken up where
    it last wrote its state. Raises `InputError` for what a person must mend, before any training, and
    `preemption.Preempted` at a signal to end, after writing the state of the last epoch's end.
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

        def begin() -> Session:
            session = Session(cell, recipe, data, device)
            if start is not None:
                session.start_from(*start)
            return session

        session, kept = going_on(begin, out)
        # What it refused, another recipe's or code's, must not outlive its own states by counting as newer.
        checkpoint.clear(folder, after=session.epoch)
        return run(session, out, progress, kept)


def unheld(cells: Iterable[Cell], folder: Path) -> Iterator[tuple[Cell, Path]]:
    """Cells to be trained one after the other, each with the path of its record below `folder`, in an order that lets
    several processes share them: one that another process trains, or whose parent it trains, comes after the others."""
    waiting = [(cell, folder / cell.path) for cell in cells]
    known = {out: written(out) for _, out in waiting}

    def lock_of(path: Path) -> Path:
        return checkpoint.lock_path(path.with_suffix(""))

    def is_due(cell: Cell, out: Path) -> bool:
        # Another process may have trained it since; a record that was there before lacks a checkpoint
        return written(out) == known[out] or stale(cell, out) is not None

    while waiting:
        for cell, out in waiting:
            if cell.parent is not None and locking.holder(lock_of(parent_of(out))) is not None:
                continue
            # Held from here on: what starts at the same moment, and reads its data as long, must take another
            with locking.claim(lock_of(out)) as mine:
                if mine:
                    waiting.remove((cell, out))
                    if is_due(cell, out):
                        yield cell, out
                    break
        else:
            cell, out = waiting.pop(0)
            if cell.parent is not None:
                with checkpoint.lock(parent_of(out).with_suffix("")):
                    pass  # whoever trained it has ended
            if is_due(cell, out):
                yield cell, out


def written(out: Path) -> int | None:
    """When the record `out` was written, in nanoseconds; None without one."""
    return out.stat().st_mtime_ns if out.exists() else None


def going_on(begin: Callable[[], Session], out: Path) -> tuple[Session, dict[str, str]]:
    """A session that has taken up the newest state of the record `out` that it can, and the SHA-256 of the checkpoints
    that it has written; one at its beginning where there is none. Each state that is passed over is told on stderr."""
    session, folder = begin(), out.with_suffix("")
    for state in checkpoint.read(folder):
        why = checkpoint.obstacle(session, state, out)
        if why is None:
            try:
                checkpoint.take_up(session, state)
                return session, dict(state.rest["kept"])
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                why = f"its content is no state of this cell ({' '.join(str(error).split())[:200]})"
                session = begin()  # it may have been taken up in part
        checkpoint.tell(checkpoint.path_of(state, folder), why)
    return session, {}


def run(session: Session, out: Path, progress: Progress, kept: dict[str, str]) -> Record:
    """Trains what is left of a session, and writes its state now and then, its weights and its record at the end.

    `kept` has the SHA-256 of the checkpoints that were written before.
    """
    recipe, folder = session.recipe, out.with_suffix("")
    seconds_between_states = checkpoint.seconds_between_states()
    began = written = time.monotonic()
    state, made_by = None, checkpoint.identity(session)
    with preemptible() as preemption:
        try:
            while session.epoch < recipe.epochs and not session.diverged and not unchanging(session):
                session.train_epoch(preemption.check)
                session.evaluate()
                if session.epoch in recipe.checkpoints:
                    kept[f"e{session.epoch}"] = save_weights(session.weights(), weights_path(out, f"e{session.epoch}"))
                state = checkpoint.state_of(session, made_by, kept, time.monotonic() - began)
                validation = session.curves["validation_accuracy"][-1]
                progress(session.epoch, recipe.epochs, f"validation {100 * validation:.2f} %")
                if time.monotonic() - written >= seconds_between_states:
                    checkpoint.write(state, folder)
                    written = time.monotonic()
            preemption.end()  # what is left takes a moment, and a signal waits for it
        except Preempted:
            if state is not None:
                checkpoint.write(state, folder)
            raise
        if unchanging(session):  # what would be kept later is what there is now
            for epoch in recipe.checkpoints:
                kept[f"e{epoch}"] = save_weights(session.weights(), weights_path(out, f"e{epoch}"))
        if (why := checkpoint.lost(kept, out)) is not None:
            raise InputError(f"{why}: start the cell anew, and it goes on from before that")
        weights = kept | {
            "best": save_weights(session.best, weights_path(out, "best")),
            "last": save_weights(session.weights(), weights_path(out, "last")),
        }
        record = record_of(session, weights, unchanging(session), time.monotonic() - began)
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


def unchanging(session: Session) -> bool:
    """Whether an epoch has shown that selection changes nothing, having one option a connection to select from."""
    return session.rule.has_options and session.cell.k == 1 and session.curves["changed"][-1:] == [0.0]


def save_weights(weights: Weights, path: Path) -> str:
    """Writes them whole or not at all; the SHA-256 of the file."""
    content = checkpoint.serialised(weights)
    with atomic(path, "wb") as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()
