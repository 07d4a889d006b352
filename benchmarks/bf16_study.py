"""May bfloat16 decide claims? Two one-sided tests on pairs of cells, one in float32 and one in bfloat16.

    slotbench run config/bf16-study.yaml; python benchmarks/bf16_study.py [--json FILE]

Fixed before the study runs. A pair has a dataset, a network, a selection and a seed in common, hence its random network
and the order of its images. Of each pair's test accuracy, and of its curve, the mean of validation accuracy over all
epochs, the difference bfloat16 - float32 is taken in percentage points. Precisions are equivalent for a dataset and
selection if both one-sided paired t-tests at 5 % say that the mean difference is within the margin: 0.3 points on
MNIST, 1.0 on CIFAR-10 (two one-sided tests: Schuirmann 1987). bfloat16 may decide if all rows, of accuracy and of
curves, are equivalent. It reads the records of results/bf16-study and trains nothing; while a cell is missing, it says
which, decides nothing and ends with status 1.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent.parent))

from slotbench.cells import Cell
from slotbench.config import load
from slotbench.results import records

ROOT = Path(__file__).parent.parent
MARGINS = {"mnist": 0.3, "cifar10": 1.0}
"""percentage points"""
LEVEL = 0.05


def equivalence(differences: Sequence[float], margin: float) -> float:
    """The larger p-value of the two one-sided paired t-tests, that the mean difference is beyond -margin or margin."""
    n, mean = len(differences), statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(n)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return max(float(stats.t.sf((margin + side * mean) / error, n - 1)) for side in (1, -1))


def readings(record: records.Record) -> dict[str, float]:
    """In percent."""
    return {
        "test accuracy": 100 * record.results.test_accuracy,
        "curve": 100 * statistics.fmean(record.results.curves.validation_accuracy),
    }


def rows(results: Path) -> tuple[list[dict[str, Any]], list[Cell]]:
    """A row for each dataset, selection and reading whose pairs are all there, and the cells that are missing."""
    cells = load(ROOT / "config" / "bf16-study.yaml").cells()
    pairs = [(replace(cell, recipe=cell.recipe.removesuffix("-bf16")), cell) for cell in cells if "bf16" in cell.recipe]
    made = {cell: path for cell in cells if (path := results / "bf16-study" / "cells" / cell.path).exists()}
    table = []
    kinds = list(dict.fromkeys((cell.dataset, cell.architecture, cell.selection) for _, cell in pairs))
    for kind in kinds:
        of_kind = [pair for pair in pairs if (pair[1].dataset, pair[1].architecture, pair[1].selection) == kind]
        if not all(cell in made for pair in of_kind for cell in pair):
            continue
        read = [tuple(readings(records.read(made[cell])) for cell in pair) for pair in of_kind]
        for name in ("test accuracy", "curve"):
            differences = [bf16[name] - float32[name] for float32, bf16 in read]
            p, margin = equivalence(differences, MARGINS[kind[0]]), MARGINS[kind[0]]
            table.append(
                {
                    "dataset": kind[0],
                    "architecture": kind[1],
                    "selection": kind[2],
                    "reading": name,
                    "pairs": len(differences),
                    "float32": round(statistics.fmean(float32[name] for float32, _ in read), 2),
                    "bf16": round(statistics.fmean(bf16[name] for _, bf16 in read), 2),
                    "difference": round(statistics.fmean(differences), 3),
                    "margin": margin,
                    "p": round(p, 4),
                    "equivalent": p < LEVEL,
                }
            )
    return table, [cell for cell in cells if cell not in made]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    table, missing = rows(chosen.results)
    if table:
        shown = Table(*table[0])
        for row in table:
            shown.add_row(*map(str, row.values()))
        Console(width=max(140, Console().width)).print(shown)
    if missing:
        print(f"not decided: {len(missing)} cells have not been trained, the first of them {missing[0]}")
        return 1
    holds = all(row["equivalent"] for row in table)
    verdict = "equivalent, and may decide claims" if holds else "not shown to be equivalent, and decides none"
    print(f"bfloat16 is {verdict}")
    if chosen.json:
        chosen.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
