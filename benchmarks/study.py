"""Which difference of protocol explains a distance to the paper: GS, LeNet on MNIST, by several recipes.

    python benchmarks/study.py [--json FILE]

Reads the tables and records of results/reference and results/study, and trains nothing. Accuracies are percent, means
over n seeds, with half of the 95 % t-interval at the epoch of best validation accuracy. The test set is read at each
new best of validation; the highest reading is what choosing the epoch by the test set would at least have found.
"""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from slotbench.report.tables import Number
from slotbench.results import published, records
from slotbench.results.table import read, summary

RESULTS = Path(__file__).parent.parent / "results"
CELLS = "dataset == 'mnist' and architecture == 'lenet' and selection == 'greedy' and k in (2, 8, 16, 32, 64)"


def rows() -> list[dict]:
    """A row for each K and recipe that has records."""
    tables = [read(RESULTS / run).cells.query(f"{CELLS} and finetune == 'none'") for run in ("reference", "study")]
    cells = pd.concat(tables).query("status == 'done'")
    paper = published.values().query(CELLS).set_index("k")["mean"]
    found = []
    for one in summary(cells, ["k", "recipe"]).to_dict("records"):
        paths = cells.loc[cells["k"].eq(one["k"]) & cells["recipe"].eq(one["recipe"]), "record"]
        made = pd.DataFrame(
            {
                "last": 100 * record.results.test_accuracy_last,
                "highest": 100 * max(test.accuracy for test in record.results.test),
                "loss": record.results.curves.train_loss[-1],
            }
            for record in (records.read(RESULTS / path) for path in paths)
        ).mean()
        found.append(
            {
                "k": one["k"],
                "recipe": one["recipe"],
                "epochs": one["epochs"],
                "n": one["n"],
                "test_accuracy": str(Number(one["mean"], one["half"])),
                "distance": str(Number(one["mean"] - paper[one["k"]], signed=True)),
                "at_the_last_epoch": str(Number(made["last"])),
                "highest_reading": str(Number(made["highest"])),
                "training_loss": str(Number(made["loss"], places=4)),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = rows()
    table = Table(*found[0])
    for row in found:
        table.add_row(*map(str, row.values()))
    Console(width=max(140, Console().width)).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
