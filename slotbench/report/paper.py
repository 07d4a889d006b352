"""The report as a document: paper.tex, as a journal of reproducibility has it, and supplement.tex with all the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.report import figures, names, tables
from slotbench.report.tables import Column, Shown, Table
from slotbench.report.verdict import DECIDING
from slotbench.results.table import Collected, between
from slotbench.selection import SELECTIONS

IN_THE_PAPER = (
    figures.HERO,
    figures.CLAIMS,
    "greedy-vs-probabilistic",
    "study",
    "finetuning",
    "sharing",
    "comparators",
    "selected-vs-offered",
    "accuracy-vs-flops",
    "memory-and-time",
)
"""Figures of paper.tex, in its order; the others stand in the supplement."""


def render(
    page: dict[str, Any],
    collected: Collected,
    groups: list[list[dict[str, Any]]],
    pictures: dict[str, Any],
    folder: Path,
) -> None:
    """Writes both documents into `folder`.

    `page` is what the page says, `groups` the verdicts of each claim, `pictures` the figures that are drawn, by name.
    """
    shown = collected.shown
    trained = shown[shown["status"].isin(["done", "diverged"])]
    content = page | {
        "groups": groups,
        "pictures": pictures,
        "trained": len(trained),
        "hours": f"{trained['wall_seconds'].sum() / 3600:.0f}",
        "networks": [
            names.network(*network) for network in trained[["dataset", "architecture"]].drop_duplicates().to_numpy()
        ],
        "main_table": tables.beside_published(collected.cells),
        "settings": _settings(trained[trained["recipe"].isin([*DECIDING, collected.recipe])]),
        "code": [re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30}\b", r"\1", made) for made, *_ in page["code"]],
        "in_the_paper": [name for name in IN_THE_PAPER if name not in (figures.HERO, figures.CLAIMS)],
        "recipe": collected.recipe,
        "rest": [picture for name, picture in pictures.items() if name not in IN_THE_PAPER],
    }
    for name in ("paper.tex", "supplement.tex"):
        with atomic(folder / name) as file:
            file.write(tables.TEX.get_template(name).render(content))


def _settings(cells: pd.DataFrame) -> Table:
    """How each rule was trained under each recipe, one row for all K and networks that have the same settings."""
    rows: dict[tuple[str, ...], list[int]] = {}
    first = cells[cells["finetune"] == "none"].drop_duplicates(["recipe", "dataset", "architecture", "selection", "k"])
    for row in first.to_dict("records"):
        cell = Cell(row["recipe"], row["dataset"], row["architecture"], row["selection"], int(row["k"]), "none", 0)
        try:
            recipe = recipes.of(cell)
        except InputError:  # a recipe of another version of the program
            continue
        convolution, linear = (f"{bound:.3g}" for bound in recipe.score_bounds)
        options = cell.selection not in SELECTIONS or SELECTIONS[cell.selection].has_options
        schedule = recipe.schedule.kind.replace("-", " ")
        settings = (
            cell.recipe, cell.selection, f"{recipe.learning_rate:g}", str(recipe.epochs), f"{recipe.weight_decay:g}",
            schedule, f"{recipe.option_bound:.3g}" if options else "–", f"{convolution}, {linear}" if options else "–",
        )  # fmt: skip
        rows.setdefault(settings, []).append(cell.k)
    shown: list[list[Shown]] = [
        [*settings[:2], between(ks) if settings[-1] != "–" else "–", *settings[2:]] for settings, ks in rows.items()
    ]
    heads = ("recipe", "selection", "K", "rate", "epochs", "decay", "schedule", "options", "scores")
    return Table(
        "settings",
        "Hyper-parameters as the recipes have them. SGD with momentum, batches of 128 images. The bounds of the random "
        "options and of their initial scores (of convolutions, of fully-connected layers) are in units of a layer's "
        "Glorot deviation.",
        [Column(head) for head in heads],
        shown,
    )
