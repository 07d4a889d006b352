"""What several figures are put together from: panels, points with intervals, published values, labels, axes.

Points are means over seeds with 95 % t-intervals; a hollow point is one seed, which has no interval. What is
published is grey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy import optimize

from slotbench.report.figures.style import GREY, LOOKS, PANEL, Look, escape
from slotbench.results import published
from slotbench.results.table import NETWORK, between, summary

RANDOM_LABELS = "-random-labels"
"""How the name of a dataset ends whose test accuracy is no result."""


Label = tuple[float, str, str]
"""Height in the axes' units, text, colour."""


def panels_of(rows: pd.DataFrame, by: Sequence[str]) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """A figure with a titled panel for each group of `by`, and the panels with their rows."""
    groups = list(rows.groupby(list(by), sort=False))
    columns = min(len(groups), 3 if len(groups) != 4 else 2)
    lines = -(-len(groups) // columns)
    picture = Figure(figsize=(PANEL[0] * columns + 0.5, PANEL[1] * lines + 0.3), layout="constrained")
    axes = picture.subplots(lines, columns, squeeze=False)
    for unused in axes.flat[len(groups) :]:
        unused.remove()

    def panels() -> Iterator[tuple[Axes, pd.DataFrame]]:
        for place, (ax, (names, group)) in enumerate(zip(axes.flat, groups, strict=False)):
            dataset, architecture, *rest = (escape(name) for name in names)
            ax.set_title(", ".join([f"{architecture} on {dataset}", *rest]))
            if place % columns == 0:
                ax.set_ylabel("test accuracy (%)")
            if place + columns >= len(groups):
                ax.set_xlabel("K, options per connection")
            yield ax, group

    return picture, panels()


def draw_points(
    ax: Axes, means: pd.DataFrame, look: Look, *, shift: float = 1.0, line: str = "-", zorder: float = 3
) -> None:
    """Means over K with their intervals, joined by a line; a single seed is hollow. `shift` multiplies K."""
    x = means["k"] * shift
    ax.plot(x, means["mean"], line, color=look.colour, zorder=zorder)
    some = means["half"].notna()
    ax.errorbar(
        x[some], means["mean"][some], means["half"][some], fmt=look.marker, color=look.colour, capsize=2,
        elinewidth=0.9, capthick=0.9, zorder=zorder,
    )  # fmt: skip
    ax.plot(x[~some], means["mean"][~some], look.marker, color=look.colour, markerfacecolor="white", zorder=zorder)


def _published(ax: Axes, rows: pd.DataFrame, selection: str, *, shift: float = 1.0) -> pd.DataFrame:
    """The paper's values for the network of `rows`, over K, hollow and grey behind ours; returns them."""
    points = same_network(published.values(), rows)
    points = points[points["selection"] == selection].sort_values("k")
    if selection == "learned":
        for height in points["mean"]:
            ax.axhline(height, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        return points
    points = points[points["k"] > 1]  # K = 1 is the random network: it has a figure of its own
    ax.errorbar(
        points["k"] * shift, points["mean"], points["uncertainty"], fmt=LOOKS[selection].marker, color=GREY,
        markerfacecolor="none", markersize=7, markeredgewidth=0.8, elinewidth=0.6, zorder=1,
    )  # fmt: skip
    return points


def learned_line(ax: Axes, rows: pd.DataFrame) -> list[Label]:
    """Learned weights among `rows` as a horizontal line and band (mean and interval), and their label."""
    look = LOOKS["learned"]
    means = summary(rows[rows["selection"] == "learned"], ["selection"])
    for mean, half in means[["mean", "half"]].itertuples(index=False):
        ax.axhline(mean, color=look.colour, linewidth=1.2, zorder=2)
        if not np.isnan(half):
            ax.axhspan(mean - half, mean + half, color=look.colour, alpha=0.18, linewidth=0, zorder=0)
    return [(mean, f"learned, {n_of(means)}", look.ink) for mean in means["mean"]]


def k_axis(ax: Axes, ks: Sequence[int]) -> None:
    ax.autoscale_view(scalex=False)  # a horizontal line inside the limits of one point has not narrowed them
    # Two seeds can have an interval past every accuracy: it is drawn as it is, and cut off where accuracies end.
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, 0), min(high, 100))
    named: list[int] = []  # those with room for their number
    offered = sorted(set(ks))
    for k in offered:
        if not named or 10 * np.log2(k / named[-1]) >= np.log2(offered[-1] / offered[0]):
            named.append(k)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(offered))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: str(round(k)) if round(k) in named else ""))
    ax.set_xlim(offered[0] / 1.35, offered[-1] * 1.35)


def draw_labels(ax: Axes, labels: Sequence[Label]) -> None:
    """Labels in the right margin, beside what they name, moved apart where they would touch."""
    low, high = ax.get_ylim()
    wanted = sorted(labels)
    steps = 0.08 * np.arange(len(wanted))
    heights = (np.array([height for height, _, _ in wanted]) - low) / (high - low)
    # The nearest heights in this order, a line apart: least squares under x[i+1] ≥ x[i] + step.
    places = optimize.isotonic_regression(heights - steps).x + steps if wanted else steps
    for place, (_, text, colour) in zip(places, wanted, strict=True):
        ax.annotate(text, (1.02, place), xycoords="axes fraction", va="center", color=colour, fontsize=7)


def n_of(means: pd.DataFrame) -> str:
    return f"n = {between(means['n'])}"


def selected_by(cells: pd.DataFrame, selections: Sequence[str]) -> pd.DataFrame:
    """Cells of the deciding recipe, not finetuned, of `selections`, at K ≥ 2 (learned has no K), with true labels."""
    return cells[
        cells["decides"]
        & ~cells["dataset"].str.endswith(RANDOM_LABELS)
        & (cells["finetune"] == "none")
        & cells["selection"].isin(selections)
        & ((cells["k"] > 1) | (cells["selection"] == "learned"))
    ]


def greedy_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells, of which records tell what their layers select."""
    return selected_by(cells, ["greedy"])


def same_network(cells: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """All of `cells` with the dataset and architecture of `rows`."""
    dataset, architecture = rows.iloc[0][NETWORK]
    return cells[cells["dataset"].eq(dataset) & cells["architecture"].eq(architecture)]


def over_k(done: pd.DataFrame, selections: Sequence[str]) -> Figure | None:
    """A panel for each network with every one of `selections`: their lines over K, learned, and published."""
    ours = done[done["selection"].isin(selections)]
    ours = ours[ours.groupby(NETWORK)["selection"].transform("nunique") == len(selections)]
    if ours.empty:
        return None
    picture, panels = panels_of(ours, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        ks = list(rows["k"])
        for place, selection in enumerate(selections):
            shift = 1 + 0.06 * (place - (len(selections) - 1) / 2)
            look = LOOKS[selection]
            means = summary(rows[rows["selection"] == selection], ["k"])
            draw_points(ax, means, look, shift=shift)
            labels.append((means["mean"].iloc[-1], f"{look.label}, {n_of(means)}", look.ink))
            paper = _published(ax, rows, selection, shift=shift)
            ks += list(paper["k"])
            labels += [(height, f"{look.label}, published", GREY) for height in paper["mean"].iloc[-1:]]
        labels += learned_line(ax, same_network(done, rows))
        paper = _published(ax, rows, "learned")
        labels += [(height, "learned, published", GREY) for height in paper["mean"]]
        k_axis(ax, ks)
        draw_labels(ax, labels)
    return picture


def y_label(ax: Axes, text: str) -> None:
    """On the panels that have one."""
    if ax.get_ylabel():
        ax.set_ylabel(text)


def at_eight(cells: pd.DataFrame) -> pd.Series[bool]:
    return cells["selection"].eq("greedy") & cells["k"].eq(8) & ~cells["dataset"].str.endswith(RANDOM_LABELS)


PAPER = " Grey: published, where the paper has a value (hollow points; dashed for learned)."
