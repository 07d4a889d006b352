"""Records → one table, a row a cell of the run, and the statistics that figures and tables draw from it.

Accuracies here are percent (records hold fractions). Nothing is dropped: a cell without a usable record has a
row that says why, and `frame.attrs["outside"]` names records that belong to no cell of the run. `frame.attrs`
also holds the run's name, the deciding recipe and what each recipe is about: a report needs only the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.results import records
from slotbench.results.standing import standing

if TYPE_CHECKING:
    from slotbench.config import Run

COLUMNS = {
    "dataset": "str",
    "architecture": "str",
    "selection": "str",
    "k": "int64",
    "finetune": "str",
    "seed": "int64",
    "recipe": "str",
    "epochs": "Int64",  # the last epoch trained, counted from the parent's first
    "status": "str",  # done, diverged, missing (no record) or failed (`problem` says why)
    "test_accuracy": "float64",  # percent, at the best validation epoch
    "test_accuracy_last": "float64",  # percent
    "validation_accuracy": "float64",  # percent, at the best validation epoch
    "wall_seconds": "float64",
    "peak_bytes": "Int64",
    "device": "str",
    "start_epoch": "Int64",
    "best_epoch": "Int64",
    "flops": "Int64",  # of all epochs that this cell trained itself: a finetuned cell's parent not included
    "connections": "Int64",
    "train_accuracy": "float64",  # percent, at the last epoch, of the labels that were trained
    "state_bytes": "Int64",  # weights and all that the rule keeps to train them
    "changed": "float64",  # the fraction of connections that changed in the last epoch
    "magnitude": "float64",  # mean abs(selected weight) over mean abs(option), of the layer where it is smallest
    "levels": "float64",  # options that a connection can reach, on average
    "bits_of_rank": "float64",  # per connection, as in a record
    "bits_of_move": "float64",
    "commit": "str",
    "dirty": "boolean",
    "stale": "str",  # why the cell would be trained again today: which code or setting has changed since
    "vouched": "str",  # by which attestation a record stands although code has changed, in a sentence
    "finished": "str",
    "record": "str",  # path below the results folder, whether or not the file exists
    "decides": "bool",  # whether the cell's recipe is the one that decides the run's claims
    "deviations": "str",  # where the record's settings are not its recipe's: "epochs 1, not 120"
    "problem": "str",
    "layers": "str",  # JSON: what each layer selects, as in a record
    "curve": "str",  # JSON: `changed` after each epoch
}
"""The table's columns, in order, and their types; what does not exist is NaN or NA."""

LONG = ["layers", "curve"]
"""Columns that cells.csv leaves out."""

AXES = ["dataset", "architecture", "selection", "k", "finetune", "recipe", "seed"]

NETWORK = ["dataset", "architecture"]

CONFIDENCE = 0.95


def collect(run: Run, results: Path) -> pd.DataFrame:
    """A row for every cell of `run`, smaller networks first, from the records below `results`/<run>/cells."""
    rows = [_row(cell, results, run) for cell in run.cells()]
    frame = _ordered(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), AXES)
    found = {str(path.relative_to(results)) for path in (results / run.run / "cells").rglob("seed*.json")}
    frame.attrs = {
        "run": run.run,
        "recipe": run.recipe,
        "about": {name: recipes.load(name)[0].about for name in sorted({cell.recipe for cell in run.cells()})},
        "outside": sorted(found - set(frame["record"])),
    }
    return frame


def write(frame: pd.DataFrame, folder: Path) -> None:
    """`folder`/cells.csv and `folder`/cells.parquet (which keeps types, `attrs` and the long columns too)."""
    with atomic(folder / "cells.csv") as file:
        frame.drop(columns=LONG).to_csv(file, index=False, lineterminator="\n")
    with atomic(folder / "cells.parquet", "wb") as file:
        frame.to_parquet(file, index=False)


def read(folder: Path) -> pd.DataFrame:
    """The table that `write` left in `folder`."""
    path = folder / "cells.parquet"
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such table; write it with `slotbench collect CONFIG` first") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table; write it again with `slotbench collect`") from error
    if list(frame.columns) != list(COLUMNS) or not {"run", "recipe", "about", "outside"} <= set(frame.attrs):
        raise InputError(f"{path}: written by another version; write it again with `slotbench collect`")
    return frame


def summary(cells: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy") -> pd.DataFrame:
    """Mean of `value` with its two-sided 95 % t-interval, a row for each group of `by`, sorted.

    Columns: `by`, n (done cells), mean, half (half the interval's width; NaN where n < 2), diverged, missing,
    failed (their counts; none of them enters the mean), and epochs ("120", or "1 to 120").
    """
    by = list(by)
    counts = cells.groupby([*by, "status"]).size().unstack("status", fill_value=0)
    counts = counts.reindex(columns=["done", "diverged", "missing", "failed"], fill_value=0)
    done = cells[cells["status"] == "done"].groupby(by)
    result = counts.rename(columns={"done": "n"})
    result = result.join(done[value].agg(["mean", "std"]))
    n = result["n"].where(result["n"] >= 2)
    result["half"] = stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * result["std"] / np.sqrt(n)
    ends = done["epochs"].agg(["min", "max"]).reindex(result.index)
    result["epochs"] = [between(pair) for pair in ends.itertuples(index=False)]
    return _ordered(result.drop(columns="std").reset_index(), by)


def between(values: Sequence[Any] | pd.Series[Any]) -> str:
    """The range of `values` in words: "3", or "3 to 5"; empty without values."""
    present = sorted({value for value in values if not pd.isna(value)})
    ends = dict.fromkeys([present[0], present[-1]]) if present else ()
    return " to ".join(str(end) for end in ends)


def _ordered(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Sorted along the axes `by`: networks in the order of `ARCHITECTURES`, finetuned by their start."""
    networks = list(ARCHITECTURES)

    def key(values: pd.Series[Any]) -> pd.Series[Any]:
        if values.name == "architecture":
            return values.map(networks.index)
        if values.name != "finetune":
            return values
        return values.map(lambda start: 0 if start == "none" else int(start[1:]))

    axes = sorted(by, key=lambda axis: axis != "architecture")
    return frame.sort_values(axes, key=key, kind="stable", ignore_index=True)


def _row(cell: Cell, results: Path, run: Run) -> dict[str, Any]:
    path = results / run.run / "cells" / cell.path
    row = {name: getattr(cell, name) for name in records.CellName.model_fields} | {
        "record": str(path.relative_to(results)),
        "decides": cell.recipe == run.recipe,
    }
    note = path.with_name(path.name + ".failed")
    try:
        if path.exists():
            record = records.read(path)
            if record.cell != records.cell_name(cell):
                stated = Cell(**record.cell.model_dump())
                raise InputError(f"{path}: the record of another cell, {str(stated)!r}; train its own cell again")
            numbers = _numbers(record)
            for name, value in numbers.items():
                if isinstance(value, int) and abs(value) >= 2**63:
                    raise InputError(f"{path}: {name} is larger than any real one; train its cell again")
            stands = standing(cell, path)
            judged = {"stale": stands.reason or "", "vouched": stands.vouched or ""}
            return row | numbers | {"deviations": _deviations(record, cell)} | judged
        if note.exists():
            with note.open(encoding="utf-8", errors="replace") as file:
                reason = file.readline(2000).strip()
            return row | {"status": "failed", "problem": reason or f"{note}: no reason given"}
    except InputError as error:
        return row | {"status": "failed", "problem": str(error)}
    except OSError as error:
        return row | {"status": "failed", "problem": f"{path}: {error.strerror}"}
    return row | {"status": "missing"}


def _numbers(record: records.Record) -> dict[str, Any]:
    results = record.results
    return {
        "epochs": results.epochs,
        "status": record.status,
        "test_accuracy": _percent(results.test_accuracy),
        "test_accuracy_last": _percent(results.test_accuracy_last),
        "validation_accuracy": _percent(results.validation_accuracy),
        "train_accuracy": _percent(results.train_accuracy),
        "wall_seconds": record.costs.wall_seconds,
        "peak_bytes": record.costs.peak_bytes,
        "state_bytes": record.costs.state_bytes,
        "device": record.provenance.device,
        "start_epoch": results.start_epoch,
        "best_epoch": results.best_epoch,
        "flops": results.flops_per_epoch * (results.epochs - results.start_epoch),
        "connections": results.connections,
        "changed": results.curves.changed[-1] if results.curves.changed else math.nan,
        "commit": record.provenance.commit,
        "dirty": record.provenance.dirty,
        "finished": record.provenance.finished,
        "curve": json.dumps(results.curves.changed),
    } | _of_layers(results.layers)


def _of_layers(layers: list[records.Layer] | None) -> dict[str, Any]:
    """What the layers select, in the table's numbers; nothing for a rule without options."""
    if layers is None:
        return {}
    connections = [layer.connections for layer in layers]
    levels = [sum(count * share for count, share in enumerate(layer.levels, 1)) for layer in layers]
    return {
        "magnitude": min(layer.selected_magnitude / layer.offered_magnitude for layer in layers),
        "levels": float(np.average(levels, weights=connections)),
        "bits_of_rank": float(np.average([layer.bits_of_rank for layer in layers], weights=connections)),
        "bits_of_move": float(np.average([layer.bits_of_move for layer in layers], weights=connections)),
        "layers": json.dumps([layer.model_dump() for layer in layers]),
    }


def _deviations(record: records.Record, cell: Cell) -> str:
    settings = recipes.of(cell).model_dump(mode="json")
    return "; ".join(
        f"{name} {value}, not {settings[name]}"
        for name, value in record.recipe.items()
        if name in settings and value != settings[name]
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, 9)  # 98.21, not 98.21000000000001
