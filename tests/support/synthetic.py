"""SYNTHETIC records: plausible and made up, for tests of the table and the report. Nothing was trained."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.results import records
from slotbench.selection import SELECTIONS

LEARNED = {"lenet": 98.0, "conv2": 79.3, "conv4": 86.5, "conv6": 88.0, "vgg19": 92.0}


@dataclass(frozen=True)
class SyntheticRun:
    """As much of `slotbench.config.Run` as the table asks for."""

    run: str
    recipe: str
    planned: tuple[Cell, ...]
    others: tuple[SyntheticRun, ...] = ()

    def cells(self) -> tuple[Cell, ...]:
        return self.planned


def accuracy(cell: Cell) -> float:
    """A made-up fraction with the paper's shape: rising with K towards learned, PS below GS."""
    draw = random.Random(repr(cell))
    top = LEARNED.get(cell.architecture, 90.0) - (0.4 if cell.recipe == "paper" else 0)
    if cell.selection == "learned":
        percent = top
    elif not SELECTIONS[cell.selection].has_options:
        percent = top - 1
    elif cell.k == 1 and cell.finetune == "none":
        percent = 10.0 + draw.uniform(0, 2)
    else:
        percent = top + 0.2 - (100 - top + 2) * (0.9 if cell.selection == "greedy" else 1.3) / cell.k**1.4
        if cell.selection == "probabilistic":
            percent -= 0.25 * (100 - top) / 2
        if cell.finetune != "none":
            percent += 0.5 * (top + 0.6 - percent) + 0.1
    return min(max((percent + draw.gauss(0, 0.06)) / 100, 0), 1)


def record(cell: Cell, *, status: Literal["done", "diverged"] = "done", epochs: int | None = None) -> records.Record:
    """A record as the cell's recipe would have it, but for `epochs`."""
    recipe = recipes.of(cell).model_dump(mode="json")
    recipe |= {} if epochs is None else {"epochs": epochs}
    value = accuracy(cell)
    last = recipe["epochs"]
    trained = last - cell.start_epoch
    return records.Record(
        cell=records.cell_name(cell),
        status=status,
        recipe=recipe,
        results=records.Results(
            start_epoch=cell.start_epoch,
            epochs=last,
            best_epoch=last - trained // 10,
            validation_accuracy=value,
            test_accuracy=value,
            test_accuracy_last=max(value - 0.001, 0),
            train_accuracy=min(value + 0.005, 1),
            test=[records.TestAccuracy(epoch=last, accuracy=value, sampled=None, highest=None)],
            curves=records.Curves(
                train_loss=[math.exp(-epoch / 20) for epoch in range(trained)],
                validation_accuracy=[value] * trained,
                changed=[0.5 / (1 + epoch) for epoch in range(trained)],
            ),
            connections=266_200,
            flops_per_epoch=81_457_200_000,
            layers=layers(cell) if SELECTIONS[cell.selection].has_options and cell.parent is None else None,
        ),
        weights={},
        costs=records.Costs(
            wall_seconds=2.5 * trained + 0.1 * cell.k,
            peak_bytes=700 * 2**20 + cell.k,
            state_bytes=266_200
            * (8 if cell.selection == "learned" or cell.parent else 36 + 8 * (cell.k - 1).bit_length()),
        ),
        provenance=records.Provenance(
            commit="0123456789abcdef0123456789abcdef01234567",
            dirty=cell.seed == 1,
            versions={"torch": "2.13.0"},
            device="synthetic CPU",
            threads=1,
            data={},
            fingerprint={},
            started_from=None,
            finished="2026-01-02T03:04:05Z",
        ),
    )


def layers(cell: Cell) -> list[records.Layer]:
    """Two layers, which select larger magnitudes the more options there are."""
    most = 1 + (cell.k - 1).bit_length()
    return [
        records.Layer(
            connections=connections,
            selected_magnitude=1 - 0.5 / most**0.5,
            offered_magnitude=0.5,
            selected=[0.02, 0.03] * 20 if cell.k == 1 else [0.05] * 10 + [0.0] * 20 + [0.05] * 10,
            offered=[0.025] * 40,
            levels=[0.0] * (most - 1) + [1.0],
            bits_of_rank=math.log2(cell.k),
            bits_of_move=math.log2(most),
        )
        for connections in (235_200, 31_000)
    ]


def grid(
    *,
    networks: tuple[tuple[str, str], ...] = (("mnist", "lenet"),),
    ks: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
    seeds: int = 3,
    recipe: str = "authors-code",
    finetune: tuple[str, ...] = ("e100",),
) -> tuple[Cell, ...]:
    """Greedy and probabilistic over `ks`, learned, and finetuned from greedy at K = 2, 8 and 64."""
    cells = []
    for dataset, architecture in networks:
        for seed in range(seeds):
            cells.append(Cell(recipe, dataset, architecture, "learned", 1, "none", seed))
            for k in ks:
                cells.append(Cell(recipe, dataset, architecture, "greedy", k, "none", seed))
                if k > 1:
                    cells.append(Cell(recipe, dataset, architecture, "probabilistic", k, "none", seed))
                if k in (2, 8, 64):
                    for start in finetune:
                        cells.append(Cell(recipe, dataset, architecture, "greedy", k, start, seed))
    return tuple(cell.checked() for cell in cells)


def others(recipe: str = "authors-code") -> tuple[Cell, ...]:
    """Shared options, rules without options and random labels, of LeNet; one seed."""
    named = [("mnist", f"greedy-shared-{of}", k) for of in ("layer", "network") for k in (2, 8)]
    named += [("mnist", selection, 1) for selection in ("edge-popup", "supermask", "lottery-ticket")]
    named += [("mnist-random-labels", "greedy", 8), ("mnist-random-labels", "learned", 1)]
    return tuple(Cell(recipe, dataset, "lenet", selection, k, "none", 0).checked() for dataset, selection, k in named)


def study() -> tuple[Cell, ...]:
    """Greedy selection at K = 8 by the two recipes of the study that its figure shows."""
    return tuple(
        Cell(recipe, "mnist", "lenet", "greedy", 8, "none", seed).checked()
        for recipe in ("study-rate", "study-bound-and-rate")
        for seed in range(2)
    )


def path(results: Path, run: SyntheticRun, cell: Cell) -> Path:
    return results / run.run / "cells" / cell.path


def train(results: Path, run: SyntheticRun, *, without: tuple[Cell, ...] = ()) -> None:
    """A synthetic record for every cell of the run but `without`."""
    for cell in run.cells():
        if cell not in without:
            file = path(results, run, cell)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(records.text(record(cell)))
