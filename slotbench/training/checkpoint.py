"""What a cell in training leaves on disk: its state, to go on from after a kill, and a lock: one process trains it.

Both lie in the folder beside the record, which Snakemake does not know: it deletes what a failed job declared.
A state is named by its epoch and its own SHA-256, so that a damaged one is found, and the one before it taken.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slotbench import locking
from slotbench.errors import InputError
from slotbench.files import atomic, open_plain
from slotbench.results import provenance
from slotbench.results.fingerprint import fingerprint
from slotbench.training.device import device_name
from slotbench.training.session import Session

KEPT = 2
"""States that stay: the newest, and the one before it in case the newest is damaged."""


def seconds_between_states() -> float:
    """How long training goes on without writing its state, at least; 0: every epoch."""
    text = os.environ.get("SLOTBENCH_RESUME_SECONDS", "60")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(f"SLOTBENCH_RESUME_SECONDS={text}: expected seconds between two states, such as 60, or 0")
    return seconds


class State(NamedTuple):
    """All that a cell's next epochs depend on."""

    epoch: int
    tensors: dict[str, Tensor]
    rest: dict[str, Any]
    """what no tensor holds, as JSON can"""


def identity(session: Session) -> dict[str, Any]:
    """What a state must agree in with the cell that takes it up."""
    return {
        "cell": str(session.cell),
        "recipe": json.loads(session.recipe.model_dump_json()),
        "fingerprint": fingerprint(session.cell),
        "versions": provenance.versions(),
        "device": device_name(session.device),
        "started_from": session.started_from,
    }


def state_of(session: Session, made_by: dict[str, Any], seconds: float) -> State:
    """A copy of all that the epochs to come depend on, at an epoch's end; `made_by` is the session's `identity`."""
    optimizer = session.optimizer.state_dict()
    tensors = {f"network/{name}": tensor for name, tensor in session.weights().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in session.best.items()}
    for number, parts in optimizer["state"].items():
        tensors |= {f"optimizer/{number}/{name}": tensor.clone() for name, tensor in parts.items()}
    rest = {
        "made_by": made_by,
        "best_epoch": session.best_epoch,
        "tests": session.tests,
        "curves": session.curves,
        # Not MultiStepLR's milestones, the recipe's own: JSON would turn their epochs into text, and none be met
        "schedule": {name: part for name, part in session.schedule.state_dict().items() if name != "milestones"},
        "groups": [
            {name: value for name, value in group.items() if name != "params"} for group in optimizer["param_groups"]
        ],
        "seconds": session.earlier_seconds + seconds,
    }
    return State(session.epoch, tensors, copy.deepcopy(rest))


def take_up(session: Session, state: State) -> bool:
    """Goes on from `state`, if this cell wrote it under this recipe, code and device; else changes nothing."""
    if state.rest.get("made_by") != identity(session):
        return False
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    for name, tensor in state.tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor.to(session.device)
    optimizer = session.optimizer.state_dict()
    optimizer["state"] = {}
    for name, tensor in parts["optimizer"].items():
        number, _, rest = name.partition("/")
        optimizer["state"].setdefault(int(number), {})[rest] = tensor
    for group, saved in zip(optimizer["param_groups"], state.rest["groups"], strict=True):
        group |= saved
    session.network.load_state_dict(parts["network"])
    session.optimizer.load_state_dict(optimizer)
    session.schedule.load_state_dict(state.rest["schedule"])
    session.epoch, session.best_epoch, session.best = state.epoch, state.rest["best_epoch"], parts["best"]
    session.tests, session.curves = state.rest["tests"], state.rest["curves"]
    session.earlier_seconds = state.rest["seconds"]
    return True


def write(state: State, folder: Path) -> None:
    """Writes `state` whole or not at all, then removes all but the newest two."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in state.tensors.items()}
    content = save(tensors, {"state": json.dumps(state.rest)})
    with atomic(folder / f"resume-{state.epoch:06}-{digest(content)}.safetensors", "wb") as file:
        file.write(content)
    for old in newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def read(folder: Path) -> Iterator[State]:
    """The states in `folder` that are whole, the newest first; a damaged one is named on stderr."""
    for path in newest_first(folder):
        try:
            with open_plain(path) as file:
                content = file.read()
            if digest(content) != path.stem.rpartition("-")[2]:
                raise ValueError("its content does not match its name")
            length = int.from_bytes(content[:8], "little")
            rest = dict(json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["state"]))
            state = State(epoch_of(path), load(content), rest)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
            print(f"slotbench: {path}: damaged ({error}); going on from the state before it", file=sys.stderr)
            continue
        yield state


def clear(folder: Path, after: int = -1) -> None:
    """Removes the states of all epochs later than `after`."""
    for path in newest_first(folder):
        if epoch_of(path) > after:
            path.unlink(missing_ok=True)


def newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("resume-" + 6 * "[0-9]" + "-*.safetensors"), key=epoch_of, reverse=True)


def epoch_of(state: Path) -> int:
    return int(state.name.split("-")[1])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def lock(folder: Path) -> AbstractContextManager[bool]:
    """Holds the cell whose weights lie in `folder`; true if another process had to end first."""
    return locking.lock(folder / "lock", "trains this cell")


class Preempted(BaseException):
    """SIGTERM: the process is asked to end, and will be started again."""


class Preemption:
    """What SIGTERM does while `preemptible`: it raises `Preempted` wherever the program is, until `end`."""

    def __init__(self) -> None:
        self.asked = self.ended = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        if not self.asked and not self.ended:  # one is enough; let the state be written
            self.asked = True
            raise Preempted

    def check(self) -> None:
        """Raises it again, for where an exception is lost: in a finaliser or a callback."""
        if self.asked:
            raise Preempted

    def end(self) -> None:
        """From here on the program runs to its end."""
        self.check()
        self.ended = True


@contextmanager
def preemptible() -> Iterator[Preemption]:
    """Turns SIGTERM into `Preempted`."""
    preemption = Preemption()
    before = signal.signal(signal.SIGTERM, preemption.stop)
    try:
        yield preemption
    finally:
        signal.signal(signal.SIGTERM, before)
