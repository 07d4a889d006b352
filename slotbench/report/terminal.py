"""What a terminal shows of finished work: one cell, two runs beside each other, the claims; without torch."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slotbench.cells import Cell
from slotbench.errors import InputError, missing
from slotbench.report import answer, cell_pages, tables
from slotbench.report.judge import MEANING
from slotbench.report.tables import Number
from slotbench.report.verdict import NOT_REPRODUCED, REPRODUCED, Verdict
from slotbench.results import records, status, table
from slotbench.results.standing import standing

BARS = "▁▂▃▄▅▆▇█"


# ---- one cell --------------------------------------------------------------------------------------------


def record_of(name: str, results: Path) -> Path:
    """The record that `name` means: a path to it, or <run>/<cell> as the report writes it.

    A record that is not there yet is that of a cell of a run; any other name that leads nowhere is told.
    """
    path = Path(name)
    if path.suffix == ".json" and (path.is_file() or len(path.parts) > len(Cell.__dataclass_fields__) + 1):
        return path
    run, _, cell = name.removesuffix(".json").partition("/")
    if path.is_file():
        raise InputError(f"{name}: not a record; name a .json file of {results}, or <run>/<cell>")
    record = results / run / "cells" / f"{cell}.json"
    if record.is_file() or cell.count("/") == 6:
        return record
    raise InputError(missing(path))


def show(path: Path) -> RenderableType:
    """A cell: what came of it, its curves, its recipe, what made it, and how to train it again."""
    if not path.exists():
        cell = Cell.from_path(path)
        state = status.state_of(cell, path, "no record yet")
        facts = {"status": f"{state.status} {state.note}".strip(), "commands": "\n".join(cell_pages.commands(cell))}
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
    for term, value in pairs.items():
        grid.add_row(Text(term, "dim"), Text(value))
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


def compare(first: table.Collected, second: table.Collected) -> RenderableType:
    """The accuracies of two runs' deciding recipes where both have some, and their difference over the same seeds."""
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
        .merge(means[1], on=POINT, how="inner", suffixes=("_0", "_1"))
        .merge(matched[[*POINT, "n", "mean", "half"]], on=POINT, how="left")
    )
    parts: list[RenderableType] = []
    for (dataset, architecture), rows in wide.groupby(["dataset", "architecture"], sort=False):
        shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        finetuned = bool((rows["finetune"] != "none").any())
        for head in ("selection", "K", *(["from"] * finetuned)):
            shown.add_column(head, justify="left" if head == "selection" else "right", overflow="fold")
        for head in (*names, "difference", "seeds"):
            shown.add_column(head, justify="right", overflow="fold")
        for row in rows.to_dict("records"):
            selection, k, start = tables.axes({**row, "recipe": ""})[2:5]
            numbers = (
                Number(row["mean_0"], row["half_0"]),
                Number(row["mean_1"], row["half_1"]),
                Number(row["mean"], row["half"], signed=True),
            )
            seeds = "/".join(str(0 if math.isnan(row[n]) else int(row[n])) for n in ("n_0", "n_1", "n"))
            shown.add_row(*map(str, (selection, k, *([start] * finetuned), *numbers, seeds)))
        parts += [Text(f"{architecture} on {dataset}", "bold"), shown, Text()]
    alone = [len(mean) - len(wide) for mean in means]
    unmatched = [f"only in {name}: {count} more" for name, count in zip(names, alone, strict=True) if count]
    told = (
        f"Test accuracy in percent: mean ± half of its 95 % interval. Difference: {names[1]} minus {names[0]}, by the "
        "seeds that both have. Seeds: of the one, of the other, of both."
    )
    if wide.empty:
        told = f"{names[0]} and {names[1]} have no dataset, architecture, selection, K and finetuning in common."
    return Group(*parts, Text(told), *([Text("; ".join(unmatched))] if unmatched else []))


# ---- the paper's claims ----------------------------------------------------------------------------------

COLOURS = {
    REPRODUCED: "green",
    answer.WHERE_RUN: "green",
    NOT_REPRODUCED: "red",
    answer.TOO_CLOSE: "yellow",
    answer.OPEN: "yellow",
}


def verdicts(judged: Sequence[Verdict]) -> RenderableType:
    """How many claims hold; then each claim in words, and what decides it for each network."""
    groups = answer.grouped(judged)
    counts = Counter(answer.kind_of_all(group) for group in groups)
    total = ", ".join(f"{sign} {counts[kind]} {kind}" for kind, sign in answer.KINDS.items() if counts[kind])
    parts: list[RenderableType] = [Text(f"{len(groups)} claims: {total}", "bold")]
    for group in groups:
        first = group[0]
        head = Text.assemble(f"\n{first.statement}. ", (f"[{first.id}]", "dim"))
        parts.append(head)
        for row, kind in zip(group, answer.kinds(group), strict=True):
            networks = ", ".join(row.architectures)
            facts = [] if row.mean is None else [f"{row.ours}, n = {row.n}"]
            facts += [f"asked: {row.asks}"] * bool(row.asks) if row.mean is not None else []
            if row.published is not None and row.distance is not None:
                facts += [f"published: {Number(row.published)}, distance {Number(row.distance, signed=True)}"]
            facts += [text for text in (row.mark, row.reason) if text]
            verdict = (f"{answer.KINDS[kind]} {kind}", COLOURS.get(kind, "default"))
            parts.append(
                Padding(
                    Text.assemble(f"{networks}: ", verdict, *(f"; {fact}" for fact in facts)),
                    (0, 0, 0, 2),
                    expand=False,
                )
            )
    return Group(*parts, Text(f"\n{MEANING}", "dim"))
