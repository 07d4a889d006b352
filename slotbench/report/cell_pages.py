"""Records → report/<run>/cell.html, a page that shows any cell of the run: its curves, recipe and provenance.

A cell's address is cell.html#<recipe>/<dataset>/<architecture>/<selection>/k<K>/<finetune>/seed<seed>. What the page
shows lies in cells/<recipe>/<dataset>/<architecture>/<selection>.js, so that ten thousand cells are some dozens of
files, of which a browser reads one.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from pydantic import BaseModel

from slotbench.cells import Cell
from slotbench.files import atomic
from slotbench.report import tables
from slotbench.report.tables import HTML, Number
from slotbench.results import records
from slotbench.results.records import CellName
from slotbench.results.table import Collected

DIGITS = 5
"""Of a value of a curve: more than a screen shows."""


def cell_of(row: dict[Any, Any]) -> Cell:
    """The cell of a row of the table."""
    return Cell(**{axis: row[axis] for axis in CellName.model_fields})


def address(cell: Cell) -> str:
    """Where the page shows `cell`, as seen from the report's index."""
    return f"cell.html#{cell}"


def commands(cell: Cell) -> list[str]:
    """What a person types to train exactly this cell by hand, and first the cell that it starts from."""

    def train(target: Cell, out: str, *more: str) -> str:
        axes = {axis: str(value) for axis, value in target.__dict__.items() if axis != "finetune"}
        words = ["slotbench", "train", *(word for axis, value in axes.items() for word in (f"--{axis}", value))]
        return shlex.join([*words, *more, "--out", out])

    fetch = shlex.join(["slotbench", "fetch", cell.dataset])
    if cell.parent is None:
        return [fetch, train(cell, "again.json")]
    more = ("--finetune", cell.finetune, "--parent", "parent.json")
    return [fetch, train(cell.parent, "parent.json"), train(cell, "again.json", *more)]


def render(collected: Collected, results: Path, folder: Path, link: Callable[[str], str]) -> None:
    """Writes cell.html and the files that it reads into `folder`, and removes those of cells that are gone.

    `link` makes an address out of a record's path below `results`.
    """
    with atomic(folder / "cell.html") as file:
        file.write(HTML.get_template("cell.html").render(run=collected.run))
    written = set()
    rows = [(cell_of(row), row) for row in collected.shown.to_dict("records")]
    rows.sort(key=lambda pair: pair[0])
    order = [str(cell) for cell, _ in rows]
    around = {
        name: {"previous": before, "next": after}
        for before, name, after in zip(["", *order[:-1]], order, [*order[1:], ""], strict=True)
    }
    beside = _beside(collected.shown)
    for part, group in itertools.groupby(rows, key=lambda pair: part_of(pair[0])):
        path = folder / "cells" / part.with_suffix(".js")
        written.add(path)
        # ASCII, and "<" escaped: nothing in a record can be anything else than a string of the page's script
        shown = {
            str(cell): panel(cell, row, _record(row, results), link)
            | around[str(cell)]
            | {"beside": beside[tuple(row[axis] for axis in tables.POINT)]}
            for cell, row in group
        }
        content = json.dumps(shown, separators=(",", ":"))
        with atomic(path) as file:
            file.write(f"show({content.replace('<', chr(92) + 'u003c')})\n")
    for old in set((folder / "cells").rglob("*.js")) - written:
        old.unlink()


def _beside(cells: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, str]]:
    """For each point what stands beside one seed's accuracy: the mean of all seeds, and the published value."""
    shown = {}
    for row in tables.with_published(cells).to_dict("records"):
        known = (
            {}
            if math.isnan(row["mean"])
            else {"mean of the seeds": f"{Number(row['mean'], row['half'])} %, n = {row['n']}"}
        )
        if not math.isnan(row["mean_published"]):
            known["published"] = f"{Number(row['mean_published'], row['uncertainty'])} % ({row['source']})"
        shown[tuple(row[axis] for axis in tables.POINT)] = known
    return shown


def part_of(cell: Cell) -> PurePosixPath:
    """Which file has `cell`: that of its recipe, dataset, architecture and selection."""
    return PurePosixPath(*cell.path.parts[:4])


def _record(row: dict[Any, Any], results: Path) -> records.Record | None:
    return records.read(results / row["record"]) if row["status"] in ("done", "diverged") else None


def panel(cell: Cell, row: dict[Any, Any], record: records.Record | None, link: Callable[[str], str]) -> dict[str, Any]:
    """What is shown of one cell, by its row of the table and its record; without a record, its status and commands."""
    shown = {
        "status": row["status"],
        "problem": _text(row["problem"]),
        "stale": _text(row["stale"]),
        "vouched": _text(row["vouched"]),
        "commands": commands(cell),
        "parent": None if cell.parent is None else str(cell.parent),
    }
    if record is None:
        return shown
    results, made_by = record.results, record.provenance
    curves = {name: [_short(value) for value in values] for name, values in results.curves.model_dump().items()}
    return shown | {
        "record": link(row["record"]),
        "start": results.start_epoch,
        "best": results.best_epoch,
        "accuracy": _said("accuracy", results.test_accuracy),
        "results": _named({**_scalars(results), **_scalars(record.costs)}),
        "layers": [_named(_scalars(layer)) for layer in results.layers or []],
        "curves": curves,
        "test": [[reading.epoch, _short(reading.accuracy)] for reading in results.test],
        "recipe": _named(record.recipe),
        "provenance": _named(
            {
                "commit": (made_by.commit or "unknown") + (" with uncommitted changes" if made_by.dirty else ""),
                "device": made_by.device,
                "threads": made_by.threads,
                "versions": ", ".join(f"{name} {version}" for name, version in made_by.versions.items()),
                "finished": made_by.finished,
                "started_from": made_by.started_from or "its random network",
            }
        ),
    }


def _scalars(part: BaseModel) -> dict[str, Any]:
    return {name: value for name, value in part if isinstance(value, int | float)}


def _named(values: dict[str, Any]) -> dict[str, str]:
    return {name.replace("_", " "): _said(name, value) for name, value in values.items()}


def _said(name: str, value: Any) -> str:
    """A value as a person reads it; a setting as a recipe has it, in one line."""
    if "accuracy" in name:
        return f"{100 * value:.2f} %"
    if name.endswith("bytes"):
        return f"{value / 2**20:,.1f} MiB"
    if name.endswith("seconds"):
        return f"{value:.1f}"
    if name.startswith(("bits", "selected", "offered")):
        return f"{value:.3f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if value < 10**9 else f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
