"""How far a run is: what `slotbench status` shows, by the records, locks and states of its cells.

Neither torch nor pandas is needed, so that it answers at once.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from slotbench import config, locking, recipes
from slotbench.cells import Cell
from slotbench.cluster import resources
from slotbench.errors import InputError, on_one_line
from slotbench.files import open_plain
from slotbench.results import records
from slotbench.results.plan import Plan

COLOURS = {
    "done": "green",
    "running": "cyan",
    "diverged": "yellow",
    "failed": "red",
    "outdated": "yellow",  # made by code or settings that have changed since: the next run trains it again
    "waiting": "default",
}
LISTED = 10
"""cells of a status that are named"""
REFRESH = 2.0
"""seconds between two looks at a run that is watched"""
BAR = 30
"""characters of the bar"""


@dataclass(frozen=True)
class State:
    """How far a cell is."""

    cell: Cell
    status: str
    """one of `COLOURS`"""
    epochs: int
    """that it is trained for, itself"""
    epochs_left: int
    seconds: float | None = None
    """per epoch, where the cell has a record"""
    accuracy: float | None = None
    """on the test set, as a fraction, where the cell is done"""
    note: str = ""
    """who trains it, or why it failed or is outdated"""


def look(run: config.Run, results: Path) -> tuple[RenderableType, bool]:
    """How far a run is, as a text for the screen, and whether one of its cells is being trained now."""
    plan = Plan(run, results)
    states = [state_of(cell, plan.record(cell), plan.reason(cell)) for cell in run.cells()]
    counts = Counter(state.status for state in states)
    running = [state for state in states if state.status == "running"]
    total = Text.assemble(
        (f"{run.run}: ", "bold"),
        *itertools.chain.from_iterable(
            ((", " if i else "", ""), (f"{counts[name]} {name}", COLOURS[name]))
            for i, name in enumerate(name for name in COLOURS if counts[name] or name == "done")
        ),
        f" of {len(states)} cells",
    )
    lines: list[RenderableType] = [total, Text(_bar(states) + _left(states, results)), *map(Text, _accuracies(states))]
    for name in ("running", "failed", "outdated"):
        in_state = [state for state in states if state.status == name]
        for state in in_state[:LISTED]:
            left = f", {state.epochs_left} epochs left" if name == "running" else ""
            lines.append(Text(f"{name}: {state.cell}{left}: {state.note}", COLOURS[name]))
        if len(in_state) > LISTED:
            lines.append(Text(f"{name}: {len(in_state) - LISTED} more", COLOURS[name]))
    return Group(*lines), bool(running)


def watch(run: config.Run, results: Path, console: Console) -> None:
    """Prints how far `run` is; on a screen, again and again for as long as a cell is being trained."""
    shown, running = look(run, results)
    if not (running and console.is_terminal):
        console.print(shown)
        return
    with Live(shown, console=console, auto_refresh=False) as live:
        while running:
            time.sleep(REFRESH)
            shown, running = look(run, results)
            live.update(shown, refresh=True)


def state_of(cell: Cell, record: Path, reason: str | None) -> State:
    """How far `cell` is, which is due for `reason`."""
    epochs = recipes.of(cell).epochs - cell.start_epoch
    if (holder := locking.holder(record.with_suffix("") / "lock")) is not None:
        states = record.with_suffix("").glob(f"resume-{6 * '[0-9]'}-*.safetensors")
        kept = [int(path.name.split("-")[1]) for path in states]
        left = epochs - max(0, max(kept, default=0) - cell.start_epoch)
        return State(cell, "running", epochs, left, note=holder)
    if record.exists():
        return _of_record(cell, record, reason)
    note = Path(f"{record}.failed")
    if note.exists():
        try:
            with open_plain(note) as file:
                reason = on_one_line(file.readline(2000).decode(errors="replace").strip())
        except OSError as error:
            reason = f"{note}: {error.strerror}"
        return State(cell, "failed", epochs, epochs, note=reason)
    return State(cell, "waiting", epochs, epochs)


def _of_record(cell: Cell, path: Path, reason: str | None) -> State:
    """The state of a cell that has a record, and is due for `reason`."""
    epochs = recipes.of(cell).epochs - cell.start_epoch
    try:
        made = records.read(path)
    except InputError as error:
        return State(cell, "failed", epochs, epochs, note=str(error))
    trained = made.results.epochs - made.results.start_epoch
    pace = made.costs.wall_seconds / trained if trained else None
    if reason:
        return State(cell, "outdated", epochs, epochs, pace, note=reason)
    accuracy = made.results.test_accuracy if made.status == "done" else None
    return State(cell, made.status, epochs, 0, pace, accuracy)


def _bar(states: Sequence[State]) -> str:
    """Which share of all epochs is trained, for as long as some are left."""
    whole, left = (sum(state.epochs for state in states), sum(state.epochs_left for state in states))
    if not left:
        return ""
    share = 1 - left / whole
    full = int(BAR * share)
    return f"{full * '█'}{(BAR - full) * '░'} {100 * share:.0f} % of all epochs; "


def _accuracies(states: Sequence[State]) -> Iterator[str]:
    """Of each network that has a cell which is done: the lowest and the highest test accuracy of each selection."""
    networks: dict[str, dict[str, list[float]]] = {}
    for state in states:
        if state.accuracy is not None:
            network = networks.setdefault(f"{state.cell.architecture} on {state.cell.dataset}", {})
            network.setdefault(state.cell.selection, []).append(100 * state.accuracy)
    for name, selections in networks.items():
        ranges = (f"{selection} {_between(values)} %" for selection, values in selections.items())
        yield f"test accuracy so far, {name}: {', '.join(ranges)}"


def _between(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def _left(states: Sequence[State], results: Path) -> str:
    """How long the rest takes, by what the finished cells of its network took for an epoch; where there are none, by
    other runs' tables, and where these have none either, by what schedulers are told."""
    todo = [state for state in states if state.status not in ("done", "diverged")]
    if not todo:
        return "nothing is left to train"
    own = _paces((state.cell, state.seconds) for state in states if state.seconds is not None)
    other: Paces | None = None
    measured, guessed = [], []
    for state in todo:
        if (pace := _pace(own, state.cell)) is not None:
            measured.append(state.epochs_left * pace)
            continue
        other = _paces(_of_tables(results)) if other is None else other
        if (pace := _pace(other, state.cell)) is None:
            pace = 60 * resources.minutes(state.cell) / resources.HEADROOM / max(1, state.epochs)
        guessed.append(state.epochs_left * pace)
    beside = max(1, sum(state.status == "running" for state in states))
    times = [_time(sum(measured) / beside)] if measured else []
    if guessed:
        cells = f" for {len(guessed)} cells of networks of which none is done" if measured else ", as none is done yet"
        times.append(f"about {_time(sum(guessed) / beside)}{cells}")
    return f"time left: {' and '.join(times)}, with {beside} at a time"


Paces = dict[tuple[object, ...], list[float]]
"""What takes about as long an epoch → the seconds of those that were measured."""


def _paces(measured: Iterable[tuple[Cell, float]]) -> Paces:
    known: Paces = defaultdict(list)
    for cell, seconds in measured:
        for kind in _kinds(cell):
            known[kind].append(seconds)
    return known


def _pace(known: Paces, cell: Cell) -> float | None:
    """Seconds of an epoch of `cell`, by the most alike that are known."""
    return next((statistics.median(known[kind]) for kind in _kinds(cell) if kind in known), None)


def _of_tables(results: Path) -> Iterator[tuple[Cell, float]]:
    """The finished cells in the tables of all runs, with the seconds of an epoch. A table that cannot be read is the
    matter of those who ask for it."""
    for path in sorted(results.glob("*/cells.csv")):
        with suppress(OSError, KeyError, TypeError, ValueError, InputError), path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["status"] == "done" and (epochs := int(row["epochs"]) - int(row["start_epoch"])):
                    yield Cell.from_path(row["record"]), float(row["wall_seconds"]) / epochs


def _kinds(cell: Cell) -> Iterator[tuple[object, ...]]:
    """What takes about as long an epoch, the most alike first."""
    network = (cell.dataset, cell.architecture)
    yield (*network, cell.selection, cell.k, cell.finetune == "none")
    yield (*network, cell.selection, cell.finetune == "none")
    yield network


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
