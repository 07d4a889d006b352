"""Tables of made-up accuracies, and the verdicts that they lead to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from slotbench.cells import Cell
from slotbench.report import claims, judge
from slotbench.report.verdict import Verdict
from slotbench.results import table

FILE = claims.load()


def network(architecture: str) -> tuple[str, str]:
    """The dataset on which the claims are about it, and its name."""
    return FILE.networks[architecture], architecture


Accuracies = Mapping[tuple[str, str, int, str], Sequence[float | None]]


def cells_of(accuracies: Accuracies, *, recipe: str = "authors-code", decides: bool = True) -> pd.DataFrame:
    """A table of done cells: (architecture, selection, k, finetune) → accuracies in percent, seed by seed.

    None is a cell that diverged, NaN one that is missing.
    """
    rows = []
    for (architecture, selection, k, finetune), values in accuracies.items():
        for seed, value in enumerate(values):
            cell = Cell(recipe, FILE.networks[architecture], architecture, selection, k, finetune, seed)
            status = "diverged" if value is None else "missing" if math.isnan(value) else "done"
            rows.append(
                {
                    **{axis: getattr(cell, axis) for axis in table.AXES},
                    "status": status,
                    "test_accuracy": math.nan if value is None else value,
                    "test_accuracy_last": math.nan if value is None else value,
                    "record": f"r/cells/{cell.path}",
                    "decides": decides,
                    "epochs": 220 if finetune != "none" or selection == "learned" else 120,
                    "start_epoch": cell.start_epoch,
                    "flops": 1000 * (220 if selection == "learned" else 220 - 120 if finetune != "none" else 120),
                    "state_bytes": 266_200 * (8 if selection == "learned" else 32 + 8 * (k - 1).bit_length()),
                    "magnitude": 1.02,
                    "moved": True,
                }
            )
    return pd.DataFrame(rows, columns=list(table.COLUMNS)).assign(tuned=False).astype(table.COLUMNS)


def run_of(cells: pd.DataFrame, beside: pd.DataFrame | None = None) -> table.Collected:
    """A collected run of these cells, whose recipe is theirs."""
    recipe = next(iter(cells.loc[cells["decides"], "recipe"]), "authors-code")
    empty = pd.DataFrame()
    return table.Collected("r", recipe, {}, (), cells, cells[:0] if beside is None else beside, empty, empty)


def verdicts(name: str, frame: pd.DataFrame, beside: pd.DataFrame | None = None) -> list[Verdict]:
    """All verdicts on one claim."""
    single = FILE.model_copy(update={"claims": {name: FILE.claims[name]}})
    return judge.judge(run_of(frame, beside), single)


def verdict(name: str, frame: pd.DataFrame, beside: pd.DataFrame | None = None) -> Verdict:
    """The first verdict on a claim: its only one, or that for all networks."""
    return verdicts(name, frame, beside)[0]


def lenet(**selections: Sequence[float | None]) -> dict[tuple[str, str, int, str], Sequence[float | None]]:
    """greedy8=[...] → the cells of LeNet."""
    cells = {}
    for name, values in selections.items():
        selection, k, start = re.findall(r"^([a-z]+?)(\d+)(?:_(e\d+))?$", name)[0]
        cells["lenet", selection, int(k), start or "none"] = values
    return cells
