"""The study: what of the distance to the published values two settings of the recipe explain."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report import names
from slotbench.report.figures.parts import mean_of, published_for, signed
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, PANEL, escape, look
from slotbench.results.table import NETWORK

RATE, BOTH = "study-rate", "study-bound-and-rate"
"""Recipes that differ from the authors' in the learning rate, and in the bound of the options too."""


def _with_study(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells of the deciding recipe and of the study's two, at the K that all three have and the paper too."""
    cells = cells[cells["selection"].eq("greedy") & cells["finetune"].eq("none") & cells["k"].gt(1)]
    cells = cells[cells["decides"] | cells["recipe"].isin([RATE, BOTH])]
    point = [*NETWORK, "k"]
    whole = cells[cells.groupby(point)["recipe"].transform("nunique") == 3]
    published = [
        rows for _, rows in whole.groupby(point) if rows["k"].iloc[0] in set(published_for(rows, "greedy")["k"])
    ]
    return whole.loc[[index for rows in published for index in rows.index]]


def _points(done: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The cells of each network at each K, in the order of K; the network is named where there are several."""
    several = len(done[NETWORK].drop_duplicates()) > 1
    for (k, dataset, architecture), rows in done.groupby(["k", *NETWORK]):
        yield f"{names.network(dataset, architecture)}, K = {k}" if several else f"K = {k}", rows


def _steps(rows: pd.DataFrame) -> list[float]:
    """Of one network at one K: ours, with another rate, with another bound too, published."""
    paper = published_for(rows, "greedy").set_index("k")["mean"]
    ours = mean_of(rows[rows["decides"]])
    return [ours, *(mean_of(rows, recipe=name) for name in (RATE, BOTH)), float(paper[rows["k"].iloc[0]])]


def _finding(done: pd.DataFrame) -> str:
    told = []
    for label, rows in _points(done):
        ours, _, both, paper = _steps(rows)
        told.append(f"from {signed(ours - paper)} to {signed(both - paper)} at {label}")
    return f"Another rate and bound take greedy selection's distance from the published value {', '.join(told)}"


@figure(
    "study",
    "From ours to the published value",
    shows="For each K, from the mean of the authors' recipe: what another learning rate changes (study-rate), what "
    "another bound of the options changes beside it (study-bound-and-rate), and what is left to the published value "
    "(grey). Means over seeds; their intervals are in the table of accuracies.",
    needs="the run study beside greedy cells of the authors' recipe",
    rows=_with_study,
    finding=_finding,
    drawn="",
)
def study(done: pd.DataFrame, abreast: int) -> Figure:
    """A waterfall for each network and K."""
    points = list(_points(done))
    columns = min(abreast, len(points))
    lines = -(-len(points) // columns)
    picture = Figure(figsize=(0.75 * PANEL[0] * columns + 0.3, PANEL[1] * lines), layout="constrained")
    axes = list(picture.subplots(lines, columns, squeeze=False).flat)
    for ax, (label, rows) in zip(axes, points, strict=False):
        _waterfall(ax, _steps(rows))
        ax.set_title(escape(label))
    for place in range(0, len(points), columns):
        axes[place].set_ylabel("test accuracy (%)")
    for unused in axes[len(points) :]:
        unused.remove()
    return picture


def _waterfall(ax: Axes, heights: list[float]) -> None:
    """Bars from each height to the next, the ends marked."""
    ours, rate, both, paper = heights
    colour = look("greedy").colour
    for place, (low, high, ink) in enumerate(((ours, rate, colour), (rate, both, colour), (both, paper, GREY)), 1):
        ax.bar(place, high - low, bottom=low, color=ink, width=0.6)
        ax.plot([place - 1, place + 0.3], [low, low], color=GREY, linewidth=0.6)
        ax.annotate(signed(high - low), (place, max(low, high)), xytext=(0, 2), textcoords="offset points", ha="center",
                    fontsize=6.5, color=ink)  # fmt: skip
    ax.plot(0, ours, "o", color=colour)
    ax.plot(4, paper, "D", color=GREY, markerfacecolor="white")
    ax.set_xticks(range(5), ["ours", "rate", "bound", "left", "paper"])
    ax.tick_params(axis="x", labelsize=6.5)
    ax.use_sticky_edges = False  # a bar's lower end would be the axis, and cut off what stands there
    ax.margins(y=0.15)
