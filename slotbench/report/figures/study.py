"""The study: what of the distance to the published values two settings of the recipe explain."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report.figures.parts import mean_of, published_for, signed
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, PANEL, look
from slotbench.results.table import NETWORK

RATE, BOTH = "study-rate", "study-bound-and-rate"
"""Recipes that differ from the authors' in the learning rate, and in the bound of the options too."""


def _with_study(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells of the deciding recipe and of the study's two, at the K that all three have and the paper too."""
    cells = cells[cells["selection"].eq("greedy") & cells["finetune"].eq("none") & cells["k"].gt(1)]
    cells = cells[cells["decides"] | cells["recipe"].isin([RATE, BOTH])]
    point = [*NETWORK, "k"]
    whole = cells.groupby(point)["recipe"].transform("nunique") == 3
    cells = cells[whole]
    if cells.empty:
        return cells
    known = {k for _, rows in cells.groupby(NETWORK) for k in published_for(rows, "greedy")["k"]}
    return cells[cells["k"].isin(known)]


def _steps(rows: pd.DataFrame) -> list[float]:
    """Of one K: ours, with another rate, with another bound too, published."""
    paper = published_for(rows, "greedy").set_index("k")["mean"]
    ours = mean_of(rows[rows["decides"]])
    return [ours, *(mean_of(rows, recipe=name) for name in (RATE, BOTH)), float(paper[rows["k"].iloc[0]])]


def _finding(done: pd.DataFrame) -> str:
    told = []
    for k in sorted(done["k"].unique()):
        ours, _, both, paper = _steps(done[done["k"] == k])
        told.append(f"K = {k} {signed(ours - paper)} → {signed(both - paper)}")
    return f"Another rate and bound bring greedy selection to the published values or near them: {'; '.join(told)}"


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
    """A waterfall for each K."""
    ks = sorted(done["k"].unique())
    columns = min(abreast, len(ks))
    lines = -(-len(ks) // columns)
    picture = Figure(figsize=(0.75 * PANEL[0] * columns + 0.3, PANEL[1] * lines), layout="constrained")
    axes = list(picture.subplots(lines, columns, squeeze=False).flat)
    for ax, k in zip(axes, ks, strict=False):
        _waterfall(ax, _steps(done[done["k"] == k]))
        ax.set_title(f"K = {k}")
    for place in range(0, len(ks), columns):
        axes[place].set_ylabel("test accuracy (%)")
    for unused in axes[len(ks) :]:
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
    ax.margins(y=0.15)
