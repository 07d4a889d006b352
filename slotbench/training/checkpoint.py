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
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slotbench import locking
from slotbench.errors import InputError
from slotbench.files import atomic, open_plain, sha256
from slotbench.results import provenance
from slotbench.results.fingerprint import fingerprint
from slotbench.results.records import Curves, TestAccuracy, weights_path
from slotbench.training.device import device_name
from slotbench.training.numerics import numerics
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
        "numerics": numerics(session.device),
        "started_from": session.started_from,
    }


def state_of(session: Session, made_by: dict[str, Any], kept: dict[str, str], seconds: float) -> State:
    """A copy of all that the epochs to come depend on, at an epoch's end.

    `made_by` is the session's `identity`; `kept` has the SHA-256 of the weights of each checkpoint that was written.
    """
    optimizer = session.optimizer.state_dict()
    tensors = {f"network/{name}": tensor for name, tensor in session.weights().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in session.best.items()}
    for number, parts in optimizer["state"].items():
        tensors |= {f"optimizer/{number}/{name}": tensor.clone() for name, tensor in parts.items()}
    rest = {
        "made_by": made_by,
        "kept": kept,
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


class Rest(BaseModel):
    """What `State.rest` has to be, whatever a file says."""

    model_config = ConfigDict(extra="forbid")

    made_by: dict[str, Any]
    kept: dict[str, str]
    best_epoch: int
    tests: list[TestAccuracy]
    curves: Curves
    schedule: dict[str, Any]
    groups: list[dict[str, Any]]
    seconds: float = Field(ge=0, allow_inf_nan=False)


def checked(session: Session, state: State) -> None:
    """Raises a ValueError for a state that no session of this cell can have written."""
    rest = Rest.model_validate(state.rest)
    start = session.cell.start_epoch
    if not start < rest.best_epoch <= state.epoch <= session.recipe.epochs:
        raise ValueError(f"epoch {rest.best_epoch} of {state.epoch} cannot be its best")
    if any(len(curve) != state.epoch - start for curve in rest.curves.model_dump().values()):
        raise ValueError("its curves are not as long as its epochs are many")
    if all(test.epoch != rest.best_epoch for test in rest.tests):
        raise ValueError("it has no reading of the test set at its best epoch")
    pairs = [
        (rest.schedule, session.schedule.state_dict()),
        *zip(rest.groups, session.optimizer.param_groups, strict=True),
    ]
    for saved, own in pairs:
        for name, value in saved.items():
            if name not in own or (own[name] is not None and not isinstance(value, like(own[name]))):
                raise ValueError(f"its {name} is {str(value)[:40]}")


def like(value: Any) -> type | tuple[type, ...]:
    """The types that JSON can give a value of this one's kind."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return (int, float)
    return (list, tuple) if isinstance(value, list | tuple) else type(value)


def needed_of_each(session: Session) -> set[str]:
    """The parts of an optimizer's state for each parameter after an epoch: without one, training would begin anew."""
    kept = set(session.optimizer.kept)
    return kept | {"momentum_buffer"} if session.recipe.momentum and "momentum" not in kept else kept


def take_up(session: Session, state: State) -> None:
    """Goes on from `state`. Raises, with the session taken up in part, what the state's content makes torch raise."""
    checked(session, state)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    for name, tensor in state.tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor.to(session.device)
    own = session.network.state_dict()
    if {name: tensor.shape for name, tensor in parts["best"].items()} != {name: own[name].shape for name in own}:
        raise ValueError("its best weights are not this network's")
    optimizer = session.optimizer.state_dict()
    optimizer["state"] = {}
    for name, tensor in parts["optimizer"].items():
        number, _, rest = name.partition("/")
        optimizer["state"].setdefault(int(number), {})[rest] = tensor
    for place, _ in enumerate(session.network.parameters()):
        if missing := sorted(needed_of_each(session) - optimizer["state"].get(place, {}).keys()):
            raise ValueError(f"it lacks {missing[0]} of parameter {place}")
    for group, saved in zip(optimizer["param_groups"], state.rest["groups"], strict=True):
        group |= saved
    session.network.load_state_dict(parts["network"])
    session.optimizer.load_state_dict(optimizer)
    session.schedule.load_state_dict(state.rest["schedule"])
    session.epoch, session.best_epoch, session.best = state.epoch, state.rest["best_epoch"], parts["best"]
    session.tests, session.curves = state.rest["tests"], state.rest["curves"]
    session.earlier_seconds = state.rest["seconds"]


def obstacle(session: Session, state: State, out: Path) -> str | None:
    """Why the session of the record `out` cannot go on from `state`, whole as it may be; None if it can."""
    made_by, own = state.rest.get("made_by"), identity(session)
    if not isinstance(made_by, dict):
        return "it does not say what made it"
    for name in own:
        if made_by.get(name) != own[name]:
            return f"{name} was {brief(made_by.get(name), own[name])} and is {brief(own[name], made_by.get(name))}"
    kept = state.rest.get("kept")
    wanted = {f"e{epoch}" for epoch in session.recipe.checkpoints if session.cell.start_epoch < epoch <= state.epoch}
    if not isinstance(kept, dict) or kept.keys() != wanted:
        return "it does not name the checkpoints before it"
    return lost(kept, out)


def lost(kept: dict[str, str], out: Path) -> str | None:
    """Which of the checkpoints beside the record `out` is not as it was written, in words; None if all are."""
    for name, digest in kept.items():
        path = weights_path(out, name)
        if not path.is_file() or sha256(path) != digest:
            return f"{path} is {'not as it was written' if path.exists() else 'gone'}, and is trained again"
    return None


def brief(value: Any, other: Any) -> str:
    """`value` in few words: of two tables, only what differs."""
    if isinstance(value, dict) and isinstance(other, dict):
        return ", ".join(f"{name} {value[name]}" for name in value if value[name] != other.get(name))[:200] or "less"
    return str(value)[:100]


def content(state: State) -> bytes:
    """The file of a state."""
    return serialised(state.tensors, {"state": json.dumps(state.rest)})


def serialised(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file.

    Raises MemoryError where three copies of the tensors do not fit, as many as there are meanwhile: safetensors itself,
    which is written in Rust, would end the process without a word.
    """
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    bytearray(3 * sum(tensor.nbytes for tensor in tensors.values()))
    return save(tensors, metadata)


def write(state: State, folder: Path) -> None:
    """Writes `state` whole or not at all, then removes all but the newest two."""
    written = content(state)
    with atomic(folder / f"resume-{state.epoch:06}-{digest(written)}.safetensors", "wb") as file:
        file.write(written)
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
            tell(path, f"damaged ({error})")
            continue
        yield state


def tell(state: Path, why: str) -> None:
    print(f"slotbench: {state}: {why}; going on from before it", file=sys.stderr, flush=True)


def path_of(state: State, folder: Path) -> Path:
    """Where a state that was read lies, or the place that its epoch has."""
    return next((path for path in newest_first(folder) if epoch_of(path) == state.epoch), folder)


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
    return locking.lock(lock_path(folder), "trains this cell")


def lock_path(folder: Path) -> Path:
    return folder / "lock"
