"""How far a run is: what `slotbench status` shows, by the records, locks and states of its cells.

Neither torch nor pandas is needed, so that it answers at once.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from slotbench import config, locking, recipes
from slotbench.cells import Cell
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


@dataclass(frozen=True)
class State:
    """How far a cell is."""

    cell: Cell
    status: str
    """one of `COLOURS`"""
    epochs_left: int
    seconds: float | None = None
    """per epoch, where the cell has a record"""
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
    lines: list[RenderableType] = [total, Text(_left(states))]
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
        return State(cell, "running", epochs - max(0, max(kept, default=0) - cell.start_epoch), note=holder)
    if record.exists():
        return _of_record(cell, record, reason)
    note = Path(f"{record}.failed")
    if note.exists():
        try:
            with open_plain(note) as file:
                reason = on_one_line(file.readline(2000).decode(errors="replace").strip())
        except OSError as error:
            reason = f"{note}: {error.strerror}"
        return State(cell, "failed", epochs, note=reason)
    return State(cell, "waiting", epochs)


def _of_record(cell: Cell, path: Path, reason: str | None) -> State:
    """The state of a cell that has a record, and is due for `reason`."""
    epochs = recipes.of(cell).epochs - cell.start_epoch
    try:
        made = records.read(path)
    except InputError as error:
        return State(cell, "failed", epochs, note=str(error))
    trained = made.results.epochs - made.results.start_epoch
    pace = made.costs.wall_seconds / trained if trained else None
    if reason:
        return State(cell, "outdated", epochs, pace, reason)
    return State(cell, made.status, 0, pace)


def _left(states: Sequence[State]) -> str:
    """How long the rest takes, by what the finished cells of its network took for an epoch."""
    todo = [state for state in states if state.status not in ("done", "diverged")]
    if not todo:
        return "nothing is left to train"
    known: dict[tuple[object, ...], list[float]] = {}
    for state in states:
        if state.seconds is not None:
            for kind in _kinds(state.cell):
                known.setdefault(kind, []).append(state.seconds)
    times = []
    for state in todo:
        pace = next((known[kind] for kind in _kinds(state.cell) if kind in known), None)
        if pace is not None:
            times.append(state.epochs_left * statistics.median(pace))
    if not times:
        return "time left: not known before the first cell is done"
    beside = max(1, sum(state.status == "running" for state in states))
    unknown = (
        f", and {len(todo) - len(times)} cells of networks of which none is done" if len(times) < len(todo) else ""
    )
    return f"time left: {_time(sum(times) / beside)} with {beside} at a time{unknown}"


def _kinds(cell: Cell) -> Iterator[tuple[object, ...]]:
    """What takes about as long an epoch, the most alike first."""
    network = (cell.dataset, cell.architecture)
    yield (*network, cell.selection, cell.k, cell.finetune == "none")
    yield (*network, cell.selection, cell.finetune == "none")
    yield network


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
