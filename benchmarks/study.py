"""Which difference of protocol explains a distance to the paper: GS, LeNet on MNIST, by several recipes.

    python benchmarks/study.py [--json FILE]   also writes authors-code, baselines, finetuning
                                               and memorising.json beside FILE

Reads the tables and records of results/reference and of the runs beside it, and trains nothing. Accuracies are percent,
means over n seeds, with half of the 95 % t-interval at the epoch of best validation accuracy. `change` is the
difference from the authors' recipe seed by seed, which removes what a seed's options and order of images have in
common: its mean with its 95 % t-interval. The test set is read at each new best of validation; the highest reading is
what choosing the epoch by the test set would at least have found.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from slotbench.report.tables import Number
from slotbench.results import published, records
from slotbench.results.table import half_interval, read, stopped_at, summary

RESULTS = Path(__file__).parent.parent / "results"
FINISHED = 175
"""the epoch at which recipe `paper` restarts for the third time: till then its rate has just gone down to 0"""
CELLS = "dataset == 'mnist' and architecture == 'lenet' and selection == 'greedy' and k in (2, 8, 16, 32, 64)"


def rows() -> list[dict[str, Any]]:
    """A row for each K and recipe that has records."""
    reference, study = (read(RESULTS / run) for run in ("reference", "study"))
    finished = stopped_at(reference, FINISHED).query("recipe == 'paper'").assign(recipe=f"paper, to {FINISHED}")
    cells = pd.concat([reference.cells, finished, study.cells]).query(f"{CELLS} and finetune == 'none'")
    cells = cells[cells["status"] == "done"]
    paper = published.values().query(CELLS).set_index("k")["mean"]
    lines = []
    own = cells[cells["recipe"] == "authors-code"].set_index(["k", "seed"])["test_accuracy"]
    for point in summary(cells, ["k", "recipe"]).to_dict("records"):
        chosen = cells[cells["k"].eq(point["k"]) & cells["recipe"].eq(point["recipe"])]
        made = pd.DataFrame(
            ends(records.read(RESULTS / path), epochs) for path, epochs in chosen[["record", "epochs"]].to_numpy()
        ).mean()
        lines.append(
            {
                "k": point["k"],
                "recipe": point["recipe"],
                "epochs": point["epochs"],
                "n": point["n"],
                "test_accuracy": str(Number(point["mean"], point["half"])),
                "distance": str(Number(point["mean"] - paper[point["k"]], signed=True)),
                "change": change(chosen.set_index(["k", "seed"])["test_accuracy"], own),
                "at_the_last_epoch": "–" if pd.isna(made["last"]) else str(Number(made["last"])),
                "highest_reading": str(Number(made["highest"])),
                "training_loss": str(Number(made["loss"], places=4)),
            }
        )
    return lines


def ends(record: records.Record, epochs: int) -> dict[str, float | None]:
    """What a cell ends with if its training ends after `epochs`; its test accuracy then is known of its last epoch."""
    results = record.results
    return {
        "last": 100 * results.test_accuracy_last if epochs == results.epochs else math.nan,
        "highest": 100 * max(test.accuracy for test in results.test if test.epoch <= epochs),
        "loss": results.curves.train_loss[epochs - 1],
    }


def authors_code() -> list[dict[str, Any]]:
    """What the authors' own code gives, beside our mean by their recipe at the last epoch, which that code reports."""
    own = read(RESULTS / "reference").cells.query(f"{CELLS} and finetune == 'none' and decides and status == 'done'")
    ours = summary(own, ["k"], "test_accuracy_last").set_index("k").to_dict("index")
    return [
        {
            "k": k,
            "seeds": len(rows),
            "the_authors'_code": ", ".join(f"{accuracy:.2f}" for accuracy in rows["test_accuracy"]),
            "training_loss": str(Number(rows["train_loss"].mean(), places=4)),
            "ours": str(Number(ours[k]["mean"], ours[k]["half"])),
            "n": int(ours[k]["n"]),
        }
        for k, rows in published.authors_code().groupby("k")
    ]


def baselines() -> list[dict[str, Any]]:
    """Learned weights at each learning rate; that of the highest mean validation accuracy is the tuned baseline."""
    shown = pd.concat([read(RESULTS / run).cells for run in ("reference", "baselines")])
    cells = shown.query(
        "dataset == 'mnist' and architecture == 'lenet' and selection == 'learned' and status == 'done'"
    )
    cells = cells[cells["recipe"].ne("paper")]
    rates = {recipe: str(recipe).removeprefix("learned-rate-") for recipe in cells["recipe"].unique()}
    rates |= {"authors-code": "0.01"}
    validation = summary(cells, ["recipe"], "validation_accuracy").set_index("recipe")["mean"]
    last = summary(cells, ["recipe"], "test_accuracy_last").set_index("recipe")
    return sorted(
        (
            {
                "learning_rate": rates[row["recipe"]],
                "epochs": row["epochs"],
                "n": row["n"],
                "validation_accuracy": str(Number(validation[row["recipe"]])),
                "test_accuracy": str(Number(row["mean"], row["half"])),
                "at_the_last_epoch": str(Number(*last.loc[row["recipe"], ["mean", "half"]])),
                "tuned": "tuned" if row["recipe"] == validation.idxmax() else "",
            }
            for row in summary(cells, ["recipe"]).to_dict("records")
        ),
        key=lambda row: row["learning_rate"],
    )


def finetuning() -> list[dict[str, Any]]:
    """Greedy selection, and what becomes of it: selected for longer, finetuned to where learning ends, and finetuned
    for as many epochs as learning has. `cost` is the epochs of selection and finetuning over learned's;
    `from_learned` is the difference from learned weights, seed by seed."""
    shown = pd.concat([read(RESULTS / run).cells for run in ("reference", "study", "longer")])
    recipes = ("authors-code", "study-epochs", "study-finetune")
    cells = shown[shown["recipe"].isin(recipes)].query("dataset == 'mnist' and architecture == 'lenet'")
    cells = cells[cells["status"] == "done"]
    learned = cells.query("selection == 'learned'").set_index("seed")
    lines = []
    for point in summary(cells.query("selection == 'greedy' and k in (2, 8, 64)"), ["k", "recipe", "finetune"]).to_dict(
        "records"
    ):
        where = f"selection == 'greedy' and k == {point['k']} and recipe == '{point['recipe']}'"
        own = cells.query(f"{where} and finetune == '{point['finetune']}'").set_index("seed")
        start = 0 if point["finetune"] == "none" else int(point["finetune"][1:])
        epochs = int(own["epochs"].iloc[0])
        lines.append(
            {
                "k": point["k"],
                "recipe": point["recipe"],
                "selected_to_epoch": start or epochs,
                "finetuned_to_epoch": epochs if start else None,
                "n": point["n"],
                "cost": str(Number(epochs / int(learned["epochs"].iloc[0]))),
                "test_accuracy": str(Number(point["mean"], point["half"])),
                "from_learned": change(own["test_accuracy"], learned["test_accuracy"]),
            }
        )
    return lines


def memorising() -> list[dict[str, Any]]:
    """Labels drawn at random: what is memorised of the training images, and how much the loss still falls."""
    cells = pd.concat([read(RESULTS / run).cells for run in ("reference", "longer")])
    cells = cells.query("dataset == 'mnist-random-labels' and status == 'done'")
    lines = []
    for point in summary(cells, ["recipe", "selection", "k"], "train_accuracy").to_dict("records"):
        chosen = cells[
            (cells[["recipe", "selection", "k"]] == pd.Series(point)[["recipe", "selection", "k"]]).all(axis=1)
        ]
        losses = pd.DataFrame(
            records.read(RESULTS / path).results.curves.train_loss for path in chosen["record"]
        ).mean()
        tenth = len(losses) // 10
        last, before = losses.iloc[-tenth:].mean(), losses.iloc[-2 * tenth : -tenth].mean()
        lines.append(
            {
                "selection": point["selection"],
                "recipe": point["recipe"],
                "epochs": point["epochs"],
                "n": point["n"],
                "training_accuracy": str(Number(point["mean"], point["half"])),
                "training_loss": str(Number(last, places=3)),
                "from_the_tenth_before": str(Number(last - before, places=3, signed=True)),
            }
        )
    return lines


def change(accuracies: pd.Series[float], own: pd.Series[float]) -> str:
    """Paired differences in words, over the seeds that both have: "+0.21 [0.15, 0.28]"; "–" for the recipe itself."""
    differences = (accuracies - own).dropna()
    if len(differences) < 2 or not differences.any():
        return "–"
    mean, half = differences.mean(), half_interval(differences.std(), len(differences))
    low, high = Number(mean - half, signed=True), Number(mean + half, signed=True)
    return f"{Number(mean, signed=True)} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    lines = rows()
    table = Table(*lines[0])
    for row in lines:
        table.add_row(*map(str, row.values()))
    Console(width=max(140, Console().width)).print(table)
    if chosen.json:
        beside = {
            "authors-code.json": authors_code(),
            "baselines.json": baselines(),
            "finetuning.json": finetuning(),
            "memorising.json": memorising(),
        }
        for name, content in {chosen.json.name: lines, **beside}.items():
            chosen.json.with_name(name).write_text(
                json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )


if __name__ == "__main__":
    main()
