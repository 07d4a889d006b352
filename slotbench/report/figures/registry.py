"""The figures by name, their captions and their files.

Adding a figure: one function under `@figure` in the file of its theme, from the cells that it draws to a matplotlib
`Figure`. Its caption, with n, recipe, epochs and devices, is made from the same cells. Saved files depend on the table
only: same rows, same bytes.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from slotbench.files import atomic
from slotbench.report import names
from slotbench.report.figures.style import METADATA, styled
from slotbench.results.table import NETWORK, Collected, between, summary

Rows = Callable[[pd.DataFrame], pd.DataFrame]
"""Cells of a run → those that a figure draws. Of the done ones it gives exactly what is drawn, nothing if what is to be
compared is not there; of the others, what is absent."""

Draw = Callable[[pd.DataFrame, int], Figure]
"""Done cells, or their layers or epochs, and how many panels may stand abreast (1: on a phone) → the figure."""

ABREAST = 3
"""Panels beside each other on paper and on a wide screen."""

ACCURACY = "test accuracy at the best validation epoch"


@dataclass(frozen=True)
class Words:
    """What stands around a figure."""

    title: str
    finding: str
    caption: str
    """where `common` stands above it"""
    alone: str
    """the caption where it does not"""
    alt: str


@dataclass(frozen=True)
class Entry:
    """A figure of the report: its file's name, its title, and what is drawn from which rows."""

    name: str
    title: str
    shows: str
    """the caption's first sentences: what one sees, without any number"""
    needs: str
    """the cells without which there is nothing to draw, in words"""
    rows: Rows
    draw: Draw
    finding: Callable[[pd.DataFrame], str]
    """done cells → what the figure finds, in a sentence with its numbers and without a full stop"""
    of: Literal["cells", "layers", "curves"] = "cells"
    """what it draws a row of, of the done cells: layers and epochs stand with the columns of their cell"""
    value: str = "test_accuracy"
    """the column of the table that a point shows"""
    points: str = ACCURACY
    """the same in words"""
    unit: str = " %"
    drawn: str = "Points are means over seeds of {points}."
    """what is drawn of the cells, in a sentence; empty if `shows` says it"""
    also: Callable[[Collected, pd.DataFrame], pd.DataFrame] | None = None
    """the run's tables and the cells that are drawn → rows that are drawn beside these and do not count as cells"""
    counted: bool = True
    """whether it is drawn from trained cells at all"""

    def done(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The cells that are drawn."""
        return self.rows(cells[cells["status"] == "done"])

    def drawn_rows(self, collected: Collected) -> pd.DataFrame:
        """What `draw` is given."""
        done = self.done(collected.shown)
        if self.also is not None and not done.empty:
            return pd.concat([done, self.also(collected, done)])
        if self.of == "cells":
            return done
        return done.drop(columns="changed").merge(getattr(collected, self.of), on="record", suffixes=("_of_cell", ""))

    def brief(self, cells: pd.DataFrame) -> str:
        """What one sees, how many cells that is, and what is absent; `common` says the rest."""
        done = self.done(cells)
        sentences = [self.shows]
        if self.value != "test_accuracy" and self.drawn:
            sentences.append(self.drawn.format(points=self.points))
        if self.counted:
            sentences += [_count(done), *_absent(self.rows(cells))]
            if list(done["recipe"].unique()) != list(cells.loc[cells["decides"], "recipe"].unique()):
                sentences.append(f"Recipe {' and '.join(sorted(done['recipe'].unique()))}.")
        return " ".join(sentences)

    def caption(self, cells: pd.DataFrame) -> str:
        """All of it, for where the figure stands alone: also recipe, epochs and devices."""
        if not self.counted:
            return self.shows
        done = self.done(cells)
        parts = [self.shows, self.drawn.format(points=self.points), READING, _count(done), _made(done)]
        return " ".join([part for part in parts if part] + _absent(self.rows(cells)))

    def words(self, cells: pd.DataFrame) -> Words:
        return Words(
            self.title, self.finding(self.done(cells)), self.brief(cells), self.caption(cells), self.alt(cells)
        )

    def alt(self, cells: pd.DataFrame) -> str:
        """The figure in words, for who cannot see it: per network its lowest and its highest mean."""
        if not self.counted:
            return f"Chart. {self.title}. {self.shows}"
        columns = [*NETWORK, "recipe", "selection", "k", "finetune"]
        means = summary(self.done(cells), columns, self.value).dropna(subset="mean")
        panels = []
        for (dataset, architecture), rows in means.groupby(NETWORK, sort=False):
            several = rows["recipe"].nunique() > 1
            low, high = (
                f"{row['mean']:.2f}{self.unit} ({names.method(row['selection'], row['k'], row['finetune'])}"
                f"{', ' + row['recipe'] if several else ''})"
                for _, row in rows.sort_values("mean").iloc[[0, -1]].iterrows()
            )
            panels.append(f"{names.network(dataset, architecture)}: from {low} to {high}")
        return f"Chart. {self.title}. Mean {self.points}, {'; '.join(panels)}. The tables hold every value."


READING = (
    "Bars are 95 % t-intervals over seeds; up to five seeds are small dots too, and a hollow point is a single seed, "
    "which has no interval."
)
"""How to read any figure."""


def common(cells: pd.DataFrame) -> str:
    """What holds for every figure unless its caption says otherwise, said once."""
    done = cells[cells["decides"] & (cells["status"] == "done")]
    return f"Unless a caption says otherwise, points are means over seeds of {ACCURACY}. {READING} {_made(done)}"


def _made(done: pd.DataFrame) -> str:
    devices = ", ".join(sorted(done["device"].dropna().unique()))
    recipes = " and ".join(sorted(done["recipe"].unique()))
    return f"Recipe {recipes}, {between(done['epochs'])} epochs. Trained on {devices}."


def _count(done: pd.DataFrame) -> str:
    seeds = between(done.groupby(["recipe", *NETWORK, "selection", "k", "finetune"]).size())
    return f"n = {seeds} {'seed' if seeds == '1' else 'seeds'} a point; {len(done)} cells."


def _absent(rows: pd.DataFrame) -> list[str]:
    counts = rows["status"].value_counts()
    absent = [f"{counts[status]} {status}" for status in ("diverged", "missing", "failed") if status in counts]
    return [f"Not in it: {', '.join(absent)}."] if absent else []


FIGURES: dict[str, Entry] = {}


def figure(name: str, title: str, **entry: Any) -> Callable[[Draw], Draw]:
    """Puts the function below into `FIGURES`, in the order of the report; the arguments are `Entry`'s."""

    def register(draw: Draw) -> Draw:
        FIGURES[name] = Entry(name, title, draw=draw, **entry)
        return draw

    return register


@dataclass(frozen=True)
class Drawn:
    """A figure as the page needs it."""

    name: str
    words: Words
    picture: Figure
    wide: str
    """as SVG"""
    narrow: str
    """the same with its panels under each other; empty if it has one panel"""


def save(collected: Collected, folder: Path) -> dict[str, Drawn | None]:
    """Draws every figure that has data as `folder`/<name>.{svg,png,pdf}; the others are None.

    Files of a figure that is not drawn any more are removed.
    """
    pictures: dict[str, Drawn | None] = {}
    for entry in FIGURES.values():
        done, pictures[entry.name] = entry.drawn_rows(collected), None
        if done.empty:
            remove(entry.name, folder)
        else:
            pictures[entry.name] = save_one(
                entry.name, entry.words(collected.shown), functools.partial(entry.draw, done), folder
            )
    return pictures


def remove(name: str, folder: Path) -> None:
    """Removes the files of a figure that is not drawn any more."""
    for kind in METADATA:
        (folder / f"{name}.{kind}").unlink(missing_ok=True)


def save_one(name: str, words: Words, draw: Callable[[int], Figure], folder: Path) -> Drawn:
    """Draws one figure as `folder`/<name>.{svg,png,pdf}; `draw` takes how many panels may stand abreast."""
    with styled():
        picture, narrow, saved = laid_out(draw(ABREAST)), draw(1), {}
        for kind in METADATA:
            saved[kind] = saved_bytes(picture, kind)
            with atomic(folder / f"{name}.{kind}", "wb") as file:
                file.write(saved[kind])
        several = narrow.get_size_inches()[0] < picture.get_size_inches()[0]
        stacked = saved_bytes(laid_out(narrow), "svg").decode() if several else ""
    return Drawn(name, words, picture, saved["svg"].decode(), stacked)


def laid_out(picture: Figure) -> Figure:
    """`picture` with its panels where they stay: each kind of file would otherwise lay it out and draw it once more.

    At the resolution at which SVG and PDF measure letters, which are widest there: at another, some would be cut off.
    """
    picture.set_dpi(72)
    picture.draw_without_rendering()
    picture.set_layout_engine(None)
    return picture


def saved_bytes(picture: Figure, kind: str) -> bytes:
    """`picture` as a file of `kind`: svg, png or pdf."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()
