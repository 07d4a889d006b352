"""Records → tables: a row a cell of the run, a row a layer, a row an epoch, and the statistics drawn from them.

Accuracies here are percent (records hold fractions). Nothing is dropped: a cell without a usable record has a row that
says why, and `Collected.outside` names records of no cell of the run. A report needs only what `read` gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, on_one_line
from slotbench.files import atomic, open_plain, sha256
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
    "learning_rate": "float64",  # the recipe's, at the first epoch
    "start_epoch": "Int64",
    "best_epoch": "Int64",
    "flops": "Int64",  # of all epochs that this cell trained itself: a finetuned cell's parent not included
    "connections": "Int64",
    "train_accuracy": "float64",  # percent, at the last epoch, of the labels that were trained
    "state_bytes": "Int64",  # weights and all that the rule keeps to train them
    "changed": "float64",  # the fraction of connections that changed in the last epoch
    "moved": "boolean",  # whether any connection has changed in any epoch
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
    "tuned": "bool",  # learned, at the learning rate whose validation accuracy is best among several
    "deviations": "str",  # where the record's settings are not its recipe's: "epochs 1, not 120"
    "problem": "str",
}
"""The columns of `Collected.cells`, in order, and their types; what does not exist is NaN or NA."""

LAYER_COLUMNS = {"record": "str", "layer": "int64"} | {
    name: "int64" if field.annotation is int else "float64" if field.annotation is float else "object"
    for name, field in records.Layer.model_fields.items()
}
"""The columns of `Collected.layers` and their types: `layer` counts from 1, the rest is as in a record."""

CURVE_COLUMNS = {
    "record": "str",
    "epoch": "int64",  # counted from the parent's first
    "train_loss": "float64",  # mean cross-entropy over the epoch's images
    "validation_accuracy": "float64",  # percent
    "test_accuracy": "float64",  # percent; NaN where the test set was not read
    "changed": "float64",  # the fraction of connections whose weight is another than one epoch before
}
"""The columns of `Collected.curves` and their types."""

AXES = ["dataset", "architecture", "selection", "k", "finetune", "recipe", "seed"]

NETWORK = ["dataset", "architecture"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Collected:
    """A run as its records tell it."""

    run: str
    recipe: str
    """the one that decides claims"""
    about: Mapping[str, str]
    """recipe → what it is about, of all recipes of the run and of those beside it"""
    outside: tuple[str, ...]
    """records below the run's folder that belong to none of its cells: paths below the results folder"""
    cells: pd.DataFrame
    """a row for every cell of the run, smaller networks first: `COLUMNS`"""
    beside: pd.DataFrame
    """the same of the runs that its config names under `beside`; none of these cells decides"""
    layers: pd.DataFrame
    """a row for each layer of a cell with options: `LAYER_COLUMNS`; three of its columns hold an array each"""
    curves: pd.DataFrame
    """a row for each epoch that a cell trained itself: `CURVE_COLUMNS`"""

    @property
    def shown(self) -> pd.DataFrame:
        """The cells of the run, and those done beside it at points of the grid where the run itself has none."""
        point = [axis for axis in AXES if axis != "seed"]
        own = pd.MultiIndex.from_frame(self.cells[point])
        new = ~pd.MultiIndex.from_frame(self.beside[point]).isin(own)
        further = self.beside[new & self.beside["status"].eq("done")]
        return _ordered(pd.concat([self.cells, further], ignore_index=True), AXES) if len(further) else self.cells


FACTS = ("run", "recipe", "about", "outside")
"""The fields of `Collected` that run.json holds."""
FRAMES = ("cells", "beside", "layers", "curves")
"""The fields of `Collected` that are Parquet files of their names."""
FILES = ("cells.csv", *(f"{name}.parquet" for name in FRAMES), "run.json")
SUMS = "cells.sha256"
"""What `sha256sum --check` understands: a damaged Parquet file can be one of other content, and would be read."""


def collect(run: Run, results: Path) -> Collected:
    """`run` from the records below `results`/<run>/cells, and the runs that stand beside it from theirs."""
    cells, layers, curves = _tables([run], results, run.recipe)
    other, other_layers, other_curves = _tables(run.others, results, decides=None)
    for frame, tuned in zip((cells, other), _tuned(cells, other), strict=True):
        frame["tuned"] = tuned
    there = {str(path.relative_to(results)) for path in (results / run.run / "cells").rglob("seed*.json")}
    names = sorted({cell.recipe for member in (run, *run.others) for cell in member.cells()})
    return Collected(
        run=run.run,
        recipe=run.recipe,
        about={name: recipes.load(name)[0].about for name in names},
        outside=tuple(sorted(there - set(cells["record"]))),
        cells=cells,
        beside=other,
        layers=pd.concat([layers, other_layers], ignore_index=True).astype(LAYER_COLUMNS),
        curves=pd.concat([curves, other_curves], ignore_index=True),
    )


def write(collected: Collected, folder: Path) -> None:
    """`folder`/cells.csv, a Parquet file for each of `FRAMES`, run.json with the rest, and `SUMS` of all of them."""
    with atomic(folder / "cells.csv") as file:
        collected.cells.to_csv(file, index=False, lineterminator="\n")
    for name in FRAMES:
        with atomic(folder / f"{name}.parquet", "wb") as file:
            getattr(collected, name).to_parquet(file, index=False, compression="zstd")
    with atomic(folder / "run.json") as file:
        file.write(json.dumps({name: getattr(collected, name) for name in FACTS}, indent=1, ensure_ascii=False) + "\n")
    with atomic(folder / SUMS) as file:
        file.write("".join(_sums(folder)))


def _sums(folder: Path) -> list[str]:
    """The SHA-256 of each file of a table, as `sha256sum` writes it."""
    return [f"{sha256(folder / name)}  {name}\n" for name in FILES]


def read(folder: Path) -> Collected:
    """What `write` left in `folder`, if every file of it is as it was written."""
    path = folder / "cells.parquet"
    try:
        if not path.exists():
            raise InputError(f"{path}: no such table; write it with `slotbench collect CONFIG` first")
        written = (folder / SUMS).read_bytes()
        for name, line in zip(FILES, _sums(folder), strict=True):
            if line.encode() not in written:
                raise InputError(
                    f"{folder / name}: not as it was written (SHA-256 differs from {SUMS}); write it again with "
                    "`slotbench collect`"
                )
        path = folder / "run.json"
        facts = json.loads(path.read_bytes())
        frames = {}
        for name in FRAMES:
            path = folder / f"{name}.parquet"
            frames[name] = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        raise InputError(f"{path}: not a readable table ({why}); write it again with `slotbench collect`") from error
    columns = {"cells": COLUMNS, "beside": COLUMNS, "layers": LAYER_COLUMNS, "curves": CURVE_COLUMNS}
    if any(list(frames[name].columns) != list(columns[name]) for name in FRAMES) or set(facts) != set(FACTS):
        raise InputError(
            f"{folder}: its tables were written by another version; write them again with `slotbench collect`"
        )
    return Collected(**{**facts, "outside": tuple(facts["outside"]), **frames})


def stopped_at(collected: Collected, epochs: int) -> pd.DataFrame:
    """`collected.cells` as if training had ended after `epochs`, with the accuracies of the best epoch till then.

    That is known, since the test set is read at each new best of validation. Done cells alone, not finetuned, that
    were trained for so long; of a lottery ticket it would count the network before it is pruned. Other columns stay.
    """
    early = collected.curves[collected.curves["epoch"] <= epochs]
    read_there = early.dropna(subset="test_accuracy").sort_values("validation_accuracy", kind="stable")
    # The reading at the last epoch need not be a best; where two epochs have the same best, the first was read.
    best = read_there.drop_duplicates(["record", "validation_accuracy"]).drop_duplicates("record", keep="last")
    cells = collected.cells
    cells = cells[cells["status"].eq("done") & cells["finetune"].eq("none") & cells["epochs"].ge(epochs)]
    stopped = cells[["record"]].merge(best, on="record", how="left").set_index(cells.index)
    return cells.assign(
        epochs=epochs,
        best_epoch=stopped["epoch"],
        test_accuracy=stopped["test_accuracy"],
        validation_accuracy=stopped["validation_accuracy"],
    )


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
    result["half"] = half_interval(result["std"], result["n"].where(result["n"] >= 2))
    ends = done["epochs"].agg(["min", "max"]).reindex(result.index)
    result["epochs"] = [between(pair) for pair in ends.itertuples(index=False)]
    return _ordered(result.drop(columns="std").reset_index(), by)


def half_interval(deviation: Any, n: Any) -> Any:
    """Half the width of the two-sided 95 % t-interval of a mean of `n` values with this standard deviation; both may be
    numbers or series."""
    return stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * deviation / np.sqrt(n)


def between(values: Sequence[Any] | pd.Series[Any]) -> str:
    """The range of `values` in words: "3", or "3 to 5"; empty without values."""
    present = sorted({value for value in values if not pd.isna(value)})
    ends = dict.fromkeys([present[0], present[-1]]) if present else ()
    return " to ".join(str(end) for end in ends)


def _ordered(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Sorted along the axes `by`: networks and datasets in the order of their tables, finetuned by their start."""
    entries = {"architecture": list(ARCHITECTURES), "dataset": list(DATASETS)}

    def key(values: pd.Series[Any]) -> pd.Series[Any]:
        if values.name in entries:
            return values.map(entries[values.name].index)
        if values.name != "finetune":
            return values
        return values.map(lambda start: 0 if start == "none" else int(start[1:]))

    axes = sorted(by, key=lambda axis: axis != "architecture")
    return frame.sort_values(axes, key=key, kind="stable", ignore_index=True)


def _tables(runs: Sequence[Run], results: Path, decides: str | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Cells, layers and curves of `runs`; cells of recipe `decides` decide."""
    rows: list[dict[str, Any]] = []
    layers: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    for run in runs:
        for cell in run.cells():
            row, record = _row(cell, results, run, decides)
            rows.append(row)
            if record is not None:
                layers += _layers(record, row["record"])
                curves.append(_curve(record, row["record"]))
    return (
        _ordered(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS), AXES),
        pd.DataFrame(layers, columns=list(LAYER_COLUMNS)).astype(LAYER_COLUMNS),
        pd.concat([pd.DataFrame(columns=list(CURVE_COLUMNS)).astype(CURVE_COLUMNS), *curves], ignore_index=True),
    )


def _row(cell: Cell, results: Path, run: Run, decides: str | None) -> tuple[dict[str, Any], records.Record | None]:
    """The cell's row of the table, and its record if that can be used."""
    path = results / run.run / "cells" / cell.path
    row = {name: getattr(cell, name) for name in records.CellName.model_fields} | {
        "record": str(path.relative_to(results)),
        "decides": cell.recipe == decides,
        "tuned": False,
    }
    note = path.with_name(path.name + ".failed")
    try:
        if path.exists():
            record = records.read(path)
            if record.cell != records.cell_name(cell):
                stated = Cell(**record.cell.model_dump())
                raise InputError(f"{path}: the record of another cell, {str(stated)!r}; train its own cell again")
            numbers = _numbers(record)
            sizes = {
                f"connections of layer {i}": layer.connections for i, layer in enumerate(record.results.layers or [], 1)
            }
            for name, value in (numbers | sizes).items():
                if isinstance(value, int) and abs(value) >= LARGEST:
                    raise InputError(f"{path}: {name} is larger than any real one; train its cell again")
            stands = standing(cell, path)
            judged = {"stale": stands.reason or "", "vouched": stands.vouched or ""}
            return row | numbers | {"deviations": _deviations(record, cell)} | judged, record
        if note.exists():
            with open_plain(note) as file:
                reason = on_one_line(file.readline(2000).decode(errors="replace").strip())
            return row | {"status": "failed", "problem": reason or f"{note}: no reason given"}, None
    except InputError as error:
        return row | {"status": "failed", "problem": str(error)}, None
    except OSError as error:
        return row | {"status": "failed", "problem": f"{error.filename or path}: {error.strerror}"}, None
    return row | {"status": "missing"}, None


LARGEST = 2**62
"""Whole numbers of a record are smaller: the table's columns have 64 bits."""


def _layers(record: records.Record, name: str) -> list[dict[str, Any]]:
    """A row for each layer: lists become arrays, as they are when read from Parquet."""
    return [
        {"record": name, "layer": place}
        | {key: np.array(value) if isinstance(value, list) else value for key, value in layer}
        for place, layer in enumerate(record.results.layers or [], 1)
    ]


def _curve(record: records.Record, name: str) -> pd.DataFrame:
    """A row for each epoch that the cell trained itself."""
    results = record.results
    drawn = {key: pd.Series(values, dtype="float64") for key, values in results.curves}
    frame = pd.DataFrame(drawn).rename_axis("epoch").reset_index()
    frame["epoch"] += 1 + results.start_epoch
    frame["validation_accuracy"] = (100 * frame["validation_accuracy"]).round(DIGITS)
    frame["test_accuracy"] = frame["epoch"].map({test.epoch: _percent(test.accuracy) for test in results.test})
    return frame.assign(record=name)[list(CURVE_COLUMNS)].astype(CURVE_COLUMNS)


def _tuned(cells: pd.DataFrame, beside: pd.DataFrame) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of `cells`, and which `beside` them, are the tuned baseline of their network: learned weights of the recipe
    with the highest mean validation accuracy, among the deciding one and those beside of which every cell is done."""
    both = pd.concat([cells[cells["decides"]], beside])
    learned = both[both["selection"].eq("learned") & both["finetune"].eq("none")]
    rates = learned.assign(done=learned["status"].eq("done")).groupby([*NETWORK, "recipe"], as_index=False)
    means = rates.agg({"done": "all", "validation_accuracy": "mean"})
    means = means[means["done"]]
    several = means[means.groupby(NETWORK)["recipe"].transform("size") > 1]
    best = several.sort_values("validation_accuracy").drop_duplicates(NETWORK, keep="last")
    keys = [*NETWORK, "recipe", "selection", "finetune"]
    chosen = pd.MultiIndex.from_frame(best.assign(selection="learned", finetune="none")[keys])
    own, other = (pd.MultiIndex.from_frame(frame[keys]).isin(chosen) for frame in (cells, beside))
    return own, other


def _numbers(record: records.Record) -> dict[str, Any]:
    results, rate = record.results, record.recipe.get("learning_rate")
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
        "learning_rate": rate if isinstance(rate, int | float) else math.nan,
        "start_epoch": results.start_epoch,
        "best_epoch": results.best_epoch,
        "flops": results.flops_per_epoch * (results.epochs - results.start_epoch),
        "connections": results.connections,
        "changed": results.curves.changed[-1] if results.curves.changed else math.nan,
        "moved": any(results.curves.changed) if results.curves.changed else pd.NA,
        "commit": record.provenance.commit,
        "dirty": record.provenance.dirty,
        "finished": record.provenance.finished,
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
    }


def _deviations(record: records.Record, cell: Cell) -> str:
    return "; ".join(f"{name} {value}, not {today}" for name, value, today in recipes.differences(cell, record.recipe))


DIGITS = 9
"""Decimals of a percentage: 98.21, not 98.21000000000001."""


def _percent(fraction: float) -> float:
    return round(100 * fraction, DIGITS)
