"""The figures by name, their captions and their files.

Adding a figure: one function under `@figure` in the file of its theme, from its rows of the table to a matplotlib
`Figure`; its caption, with n, recipe, epochs and devices, is made from the same rows. Saved files depend on the table
only: same rows, same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from slotbench.files import atomic
from slotbench.report.figures.style import METADATA, styled
from slotbench.results.table import NETWORK, Collected, between, summary
from slotbench.selection import SELECTIONS

Draw = Callable[[pd.DataFrame], Figure | None]
"""Done cells, or their layers or epochs → the figure, or None where what it compares is not there."""


@dataclass(frozen=True)
class Entry:
    """A figure of the report: its file's name, its title, and what is drawn from which rows."""

    name: str
    title: str
    shows: str
    """the caption's first sentences: what one sees, without any number"""
    needs: str
    """the cells without which there is nothing to draw, in words"""
    rows: Callable[[pd.DataFrame], pd.DataFrame]
    """the cells that it is about, of every status"""
    draw: Draw
    of: Literal["cells", "layers", "curves"] = "cells"
    """what it draws a row of, of the done cells: layers and epochs stand with the columns of their cell"""
    value: str = "test_accuracy"
    """the column of the table that a point shows"""
    points: str = "test accuracy at the best validation epoch"
    """the same in words"""
    unit: str = " %"
    drawn: str = (
        "Points are means over seeds of {points}, with 95 % t-intervals; a hollow point is one seed, which has no "
        "interval."
    )
    """what is drawn of the cells, in a sentence"""

    def drawn_rows(self, collected: Collected) -> pd.DataFrame:
        """What `draw` is given."""
        rows = self.rows(collected.shown)
        done = rows[rows["status"] == "done"]
        if self.of == "cells":
            return done
        return done.drop(columns="changed").merge(getattr(collected, self.of), on="record", suffixes=("_of_cell", ""))

    def caption(self, cells: pd.DataFrame) -> str:
        """What one sees, then n, recipe, epochs and devices of the cells behind it."""
        return f"{self.shows} {facts(self.rows(cells), self.drawn.format(points=self.points))}"

    def alt(self, cells: pd.DataFrame) -> str:
        """The figure in words, for who cannot see it: per network its lowest and its highest mean."""
        means = summary(self.rows(cells), [*NETWORK, "selection", "k", "finetune"], self.value).dropna(subset="mean")
        panels = []
        for (dataset, architecture), rows in means.groupby(NETWORK, sort=False):
            low, high = (
                f"{row['mean']:.2f}{self.unit} ({method(row)})"
                for _, row in rows.sort_values("mean").iloc[[0, -1]].iterrows()
            )
            panels.append(f"{architecture} on {dataset}: from {low} to {high}")
        return f"Chart. {self.title}. Mean {self.points}, {'; '.join(panels)}. The tables hold every value."


FIGURES: dict[str, Entry] = {}


def figure(
    name: str, title: str, *, shows: str, needs: str, rows: Callable[[pd.DataFrame], pd.DataFrame], **more: Any
) -> Callable[[Draw], Draw]:
    """Puts the function below into `FIGURES`, in the order of the report; the arguments are `Entry`'s."""

    def register(draw: Draw) -> Draw:
        FIGURES[name] = Entry(name, title, shows, needs, rows, draw, **more)
        return draw

    return register


def save(collected: Collected, folder: Path) -> dict[str, Figure | None]:
    """Draws every figure that has data as `folder`/<name>.{svg,png,pdf}; the others are None.

    Files of a figure that is not drawn any more are removed.
    """
    pictures: dict[str, Figure | None] = {}
    for entry in FIGURES.values():
        with styled():
            pictures[entry.name] = picture = entry.draw(entry.drawn_rows(collected))
            for kind, metadata in METADATA.items():
                path = folder / f"{entry.name}.{kind}"
                if picture is None:
                    path.unlink(missing_ok=True)
                    continue
                buffer = io.BytesIO()
                picture.savefig(buffer, format=kind, metadata=metadata)
                with atomic(path, "wb") as file:
                    file.write(buffer.getvalue())
    return pictures


def method(row: pd.Series[Any]) -> str:
    """A summary's row in words: "greedy, K = 8, finetuned from epoch 100"."""
    words = [row["selection"]]
    if SELECTIONS[row["selection"]].has_options:
        words.append(f"K = {row['k']}")
    if row["finetune"] != "none":
        words.append(f"finetuned from epoch {row['finetune'][1:]}")
    return ", ".join(words)


def facts(rows: pd.DataFrame, drawn: str) -> str:
    """What is drawn, then n, recipe, epochs and devices of the done cells, and how many are not done."""
    done = rows[rows["status"] == "done"]
    seeds = between(done.groupby(["recipe", *NETWORK, "selection", "k", "finetune"]).size())
    parts = [
        drawn,
        f"n = {seeds} {'seed' if seeds == '1' else 'seeds'} a point; {len(done)} cells.",
        f"Recipe {' and '.join(sorted(done['recipe'].unique()))}, {between(done['epochs'])} epochs.",
        f"Trained on {', '.join(sorted(done['device'].dropna().unique()))}.",
    ]
    absent = [
        f"{count} {status}"
        for status in ("diverged", "missing", "failed")
        if (count := int((rows["status"] == status).sum()))
    ]
    if absent:
        parts.append(f"Not in it: {', '.join(absent)}.")
    return " ".join(parts)
