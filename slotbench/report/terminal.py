"""What a terminal shows of finished work: one cell, and two runs beside each other; without torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slotbench.cells import Cell
from slotbench.report import cell_pages, tables
from slotbench.report.tables import Number
from slotbench.results import records, status, table
from slotbench.results.standing import standing

BARS = "▁▂▃▄▅▆▇█"


# ---- one cell --------------------------------------------------------------------------------------------


def record_of(name: str, results: Path) -> Path:
    """The record that `name` means: a path to it, or <run>/<cell> as the report writes it."""
    if name.endswith(".json"):
        return Path(name)
    run, _, cell = name.partition("/")
    return results / run / "cells" / f"{cell}.json"


def show(path: Path) -> RenderableType:
    """A cell: what came of it, its curves, its recipe, what made it, and how to train it again."""
    if not path.exists():
        cell = Cell.from_path(path)
        found = status.state_of(cell, path, "no record yet")
        facts = {"status": f"{found.status} {found.said}".strip(), "commands": "\n".join(cell_pages.commands(cell))}
        return Group(Text(str(cell), "bold"), _facts(facts))
    record = records.read(path)
    cell = Cell(**record.cell.model_dump())
    stands = standing(cell, path)
    row = {
        "status": record.status,
        "record": str(path),
        "problem": None,
        "stale": stands.reason,
        "vouched": stands.vouched,
    }
    panel = cell_pages.panel(cell, row, record, str)
    parts: list[RenderableType] = [
        Text(f"{cell}: {record.status}, test accuracy {panel['accuracy']}", "bold"),
        *([Text(f"today it would be trained again: {row['stale']}", "yellow")] if row["stale"] else []),
        *([Text(f"its code has changed since, its numbers have not: {row['vouched']}")] if row["vouched"] else []),
    ]
    curves = {
        name.replace("_", " "): f"{_sparkline(values)}  {values[0]:.4g} to {values[-1]:.4g}"
        for name, values in panel["curves"].items()
        if values and None not in (values[0], values[-1])
    }
    for title in ("results", "curves", "recipe", "provenance"):
        parts += [Text(f"\n{title}", "bold"), _facts(curves if title == "curves" else panel[title])]
    return Group(*parts, Text("\nthe same cell again, by hand", "bold"), Text("\n".join(panel["commands"])))


def _facts(pairs: dict[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for term, said in pairs.items():
        grid.add_row(Text(term, "dim"), Text(said))
    return grid


def _sparkline(values: Sequence[float | None], width: int = 40) -> str:
    """A curve as a line of bars, each the mean of its part of it."""
    known = [value for value in values if value is not None]
    size = max(1, -(-len(known) // width))
    means = [statistics.mean(known[i : i + size]) for i in range(0, len(known), size)]
    low, high = min(means), max(means)
    return "".join(BARS[round((len(BARS) - 1) * (mean - low) / (high - low or 1))] for mean in means)


# ---- two runs --------------------------------------------------------------------------------------------

POINT = ["dataset", "architecture", "selection", "k", "finetune"]


def compare(first: table.Collected, second: table.Collected) -> Table:
    """The accuracies of two runs' deciding recipes, and their difference over the seeds that both have."""
    runs = (first, second)
    pair = [run.cells[run.cells["decides"] & (run.cells["status"] == "done")] for run in runs]
    names = [run.run for run in runs]
    means = [table.summary(cells, POINT) for cells in pair]
    columns = ["test_accuracy", "status", "epochs"]
    both = pair[0][[*POINT, "seed", *columns]].merge(pair[1][[*POINT, "seed", "test_accuracy"]], on=[*POINT, "seed"])
    both["difference"] = both["test_accuracy_y"] - both["test_accuracy_x"]
    matched = table.summary(both, POINT, "difference")
    wide = (
        means[0]
        .merge(means[1], on=POINT, how="outer", suffixes=("_0", "_1"))
        .merge(matched[[*POINT, "n", "mean", "half"]], on=POINT, how="left")
    )
    shown = Table(
        caption="test accuracy in percent: mean ± half of its 95 % interval; matched: seeds that both runs have"
    )
    for head in ("dataset", "architecture", "selection", "K", "finetuned from"):
        shown.add_column(head, overflow="fold")
    for head in (f"{names[0]} n", names[0], f"{names[1]} n", names[1], "matched", f"{names[1]} minus {names[0]}"):
        shown.add_column(head, justify="right")
    for row in wide.to_dict("records"):
        *axes, _ = tables.axes({**row, "recipe": ""})
        numbers = (
            Number(row["n_0"], places=0), Number(row["mean_0"], row["half_0"]),
            Number(row["n_1"], places=0), Number(row["mean_1"], row["half_1"]),
            Number(row["n"], places=0), Number(row["mean"], row["half"], signed=True),
        )  # fmt: skip
        shown.add_row(*map(str, axes), *map(str, numbers))
    return shown
