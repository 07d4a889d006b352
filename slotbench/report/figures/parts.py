"""What several figures are put together from: panels, points with intervals, published values, labels, axes.

Points are means over seeds with 95 % t-intervals; seeds are small dots where there are five or fewer; a hollow point is
one seed, which has no interval. What is published is a hollow grey diamond.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy import optimize

from slotbench.report import names
from slotbench.report.figures.style import GREY, INK, PANEL, TUNED, Look, escape, look
from slotbench.report.figures.switches import belong_by_name, switch
from slotbench.results import published
from slotbench.results.table import NETWORK, between, summary

BASELINES = (
    "Horizontal lines and bands: learned weights at the recipe's learning rate (solid), by which claims are decided, "
    "and at a tuned one (dash-dotted), where it was trained."
)
"""What `learned_line` draws, for captions."""

RANDOM_LABELS = "-random-labels"
"""How the name of a dataset ends whose test accuracy is no result."""

SEEDS = 5
"""So many seeds or fewer are drawn one by one."""

# ---- which cells -----------------------------------------------------------------------------------------


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


def at_some_k(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells at the few K that are told apart by colours."""
    return greedy_cells(cells[cells["k"].isin([2, 8, 64])])


def with_all(cells: pd.DataFrame, selections: Sequence[str]) -> pd.DataFrame:
    """Those of `cells` whose network has every one of `selections`."""
    return cells[
        cells.groupby(NETWORK)["selection"].transform(lambda rules: set(selections) <= set(rules)).astype(bool)
    ]


def with_tuned(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`rows`, and among `cells` the tuned baseline of their networks, where it is not the deciding recipe's own."""
    return pd.concat([rows, tuned_of(cells).merge(rows[NETWORK].drop_duplicates(), on=NETWORK)])


def tuned_of(cells: pd.DataFrame) -> pd.DataFrame:
    """The tuned baseline among `cells`, where it is not the deciding recipe's own."""
    return cells[cells["tuned"] & ~cells["decides"]]


def same_network(cells: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """All of `cells` with the dataset and architecture of `rows`."""
    dataset, architecture = rows.iloc[0][NETWORK]
    return cells[cells["dataset"].eq(dataset) & cells["architecture"].eq(architecture)]


def first_network(done: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The first network of a figure, which its title is about: its name and its cells."""
    rows = same_network(done, done)
    return names.network(*rows.iloc[0][NETWORK]), rows


def mean_of(rows: pd.DataFrame, value: str = "test_accuracy", **where: Any) -> float:
    """The mean of the cells with these values in these columns; NaN without any."""
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    return float(rows[value].astype(float).mean())


def signed(value: float, places: int = 2) -> str:
    return f"{value:+.{places}f}".replace("-", "−")


# ---- what is drawn ---------------------------------------------------------------------------------------

Label = tuple[float, str, str]
"""Height in the axes' units, text, colour."""


def panels_of(
    rows: pd.DataFrame, by: Sequence[str], abreast: int, size: tuple[float, float] = PANEL
) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
    """A figure with a titled panel for each group of `by`, and the panels with their rows."""
    groups = list(rows.groupby(list(by), sort=False))
    columns = min(len(groups), abreast if len(groups) != 4 else min(abreast, 2))
    lines = -(-len(groups) // columns)
    picture = Figure(figsize=(size[0] * columns + 0.5, size[1] * lines + 0.3), layout="constrained")
    axes = picture.subplots(lines, columns, squeeze=False)
    for unused in axes.flat[len(groups) :]:
        unused.remove()

    def panels() -> Iterator[tuple[Axes, pd.DataFrame]]:
        for place, (ax, (group_names, group)) in enumerate(zip(axes.flat, groups, strict=False)):
            dataset, architecture, *rest = group_names
            ax.set_title(", ".join(escape(name) for name in (names.network(dataset, architecture), *rest)))
            if place % columns == 0:
                ax.set_ylabel("test accuracy (%)")
            if place + columns >= len(groups):
                ax.set_xlabel("K, options per connection")
            yield ax, group

    return picture, panels()


def draw_points(
    ax: Axes,
    rows: pd.DataFrame,
    look: Look,
    *,
    value: str = "test_accuracy",
    x: str = "k",
    shift: float = 1.0,
    line: str = "-",
    broken_by: str | None = None,
) -> pd.DataFrame:
    """Means of `rows` over the column `x` with intervals and seeds, joined by a line; returns the means.

    They belong to the method that `look` names. `shift` multiplies the places. The line breaks where the column
    `broken_by` changes from one x to the next, and where the interval is wider than accuracies can be: seeds that
    disagree so are drawn without their mean.
    """
    means = summary(rows, [x], value)
    if value.endswith("accuracy"):
        lost = means["half"].notna() & ((means["mean"] - means["half"] < 0) | (means["mean"] + means["half"] > 105))
        means.loc[lost, ["mean", "half"]] = np.nan
    places = means[x].astype(float) * shift
    runs = [slice(None)]
    if broken_by is not None:
        kinds = rows.groupby(x)[broken_by].first().reindex(means[x])
        starts = [0, *np.flatnonzero((kinds != kinds.shift()).to_numpy())[1:], len(kinds)]
        runs = [slice(low, high) for low, high in itertools.pairwise(starts)]
    with switch(ax, look.label):
        for run in runs:
            ax.plot(places[run], means["mean"][run], line, color=look.colour, zorder=3)
        _draw_means_and_seeds(ax, rows, means, look, value=value, x=x, shift=shift)
    return means


def _draw_means_and_seeds(
    ax: Axes, rows: pd.DataFrame, means: pd.DataFrame, look: Look, *, value: str, x: str, shift: float
) -> None:
    """`means` of `rows` with their intervals, single seeds hollow, and seeds one by one where there are few."""
    places = means[x].astype(float) * shift
    several = means["half"].notna()
    ax.errorbar(
        places[several], means["mean"][several], means["half"][several], fmt=look.marker, color=look.colour, capsize=2,
        elinewidth=0.9, capthick=0.9, zorder=3,
    )  # fmt: skip
    single = means["n"].eq(1)
    ax.plot(places[single], means["mean"][single], look.marker, color=look.colour, markerfacecolor="white", zorder=3)
    few = means.loc[means["n"].between(2, SEEDS), x]
    seeds = rows[rows[x].isin(few)]
    alone = rows[rows[x].isin(means.loc[means["mean"].isna(), x])]
    ax.plot(alone[x].astype(float) * shift, alone[value].astype(float), look.marker, color=look.colour, zorder=3)
    ax.plot(
        seeds[x].astype(float) * shift, seeds[value].astype(float), "o", color=look.colour, markersize=1.6,
        markeredgewidth=0, zorder=4,
    )  # fmt: skip


def draw_published(ax: Axes, points: pd.DataFrame, places: pd.Series[float]) -> None:
    """Published values as hollow grey diamonds joined by a line; their uncertainty is smaller than they are."""
    if points.empty:
        return
    with switch(ax, "published"):
        ax.plot(
            places, points["mean"], "-D", color=GREY, markerfacecolor="white", markersize=4.5, markeredgewidth=0.9,
            linewidth=0.8, zorder=2,
        )  # fmt: skip


def published_for(rows: pd.DataFrame, selection: str) -> pd.DataFrame:
    """The paper's values of `selection` for the network of `rows`, over K; of K = 1, the random network, none."""
    points = same_network(published.values(), rows)
    points = points[points["selection"] == selection].sort_values("k")
    return points if selection == "learned" else points[points["k"] > 1]


def learned_line(ax: Axes, rows: pd.DataFrame) -> list[Label]:
    """Learned weights among `rows`, the recipe's and tuned ones, each as a horizontal line and band (mean and
    interval), and their labels."""
    labels: list[Label] = []
    learned = rows[rows["selection"] == "learned"]
    for baseline, own, line in ((learned[learned["decides"]], look("learned"), "-"), (tuned_of(rows), TUNED, "-.")):
        means = summary(baseline, ["selection"])
        for mean, half in means[["mean", "half"]].itertuples(index=False):
            with switch(ax, own.label):
                ax.axhline(mean, color=own.colour, linewidth=1.2, linestyle=line, zorder=2)
                if not np.isnan(half):
                    ax.axhspan(mean - half, mean + half, color=own.colour, alpha=0.18, linewidth=0, zorder=0)
            labels.append((mean, f"{own.label}, {n_of(means)}", own.colour))
    return labels


def published_learned(ax: Axes, rows: pd.DataFrame) -> list[Label]:
    """What was published of learned weights, as a dashed line."""
    points = published_for(rows, "learned")
    for height in points["mean"]:
        with switch(ax, "published"):
            ax.axhline(height, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    return [(height, "published, learned", GREY) for height in points["mean"]]


def draw_authors_code(ax: Axes, rows: pd.DataFrame) -> list[Label]:
    """Each run of the authors' own code for the network of `rows` as a cross, and their label."""
    runs = same_network(published.authors_code(), rows)
    runs = runs[runs["selection"].isin(rows["selection"])]
    if runs.empty:
        return []
    with switch(ax, "authors' code"):
        ax.plot(runs["k"], runs["test_accuracy"], "x", color=INK, markersize=4.5, markeredgewidth=1, zorder=5)
    return [(float(height), "authors' code, run here", INK) for height in runs["test_accuracy"].iloc[-1:]]


def k_axis(ax: Axes, ks: Sequence[int]) -> None:
    """K in powers of two, each with its number where there is room."""
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
    wanted = sorted(label for label in labels if not np.isnan(label[0]))
    steps = 0.08 * np.arange(len(wanted))
    heights = (np.array([height for height, _, _ in wanted]) - low) / (high - low)
    # The nearest heights in this order, a line apart: least squares under x[i+1] ≥ x[i] + step.
    places = optimize.isotonic_regression(heights - steps).x + steps if wanted else steps
    places -= max(0, places.max(initial=0) - 1)  # none beside the title
    for place, (_, text, colour) in zip(places, wanted, strict=True):
        label = ax.annotate(text, (1.02, place), xycoords="axes fraction", va="center", color=colour, fontsize=7)
        belong_by_name(ax, label, text)


def last_height(means: pd.DataFrame, rows: pd.DataFrame, value: str = "test_accuracy") -> float:
    """Where the label of a line over K stands: at its last mean, or at the last K's middle seed if that has none."""
    height = float(means["mean"].iloc[-1])
    return float(rows.loc[rows["k"] == means["k"].iloc[-1], value].median()) if np.isnan(height) else height


def n_of(means: pd.DataFrame) -> str:
    return f"n = {between(means['n'])}"


def y_label(ax: Axes, text: str) -> None:
    """On the panels that have one."""
    if ax.get_ylabel():
        ax.set_ylabel(text)


def over_k(
    done: pd.DataFrame, selections: Sequence[str], abreast: int, *, beside: bool = True, authors_code: bool = False
) -> Figure:
    """A panel for each network with all of `selections`: over K, and `beside` them learned and published; and what the
    authors' own code gives here, where it was run."""
    picture, panels = panels_of(done[done["selection"].isin(selections)], NETWORK, abreast)
    for ax, rows in panels:
        draw_over_k(ax, same_network(done, rows), selections, beside=beside, authors_code=authors_code)
    return picture


def draw_over_k(
    ax: Axes,
    network: pd.DataFrame,
    selections: Sequence[str],
    *,
    beside: bool = True,
    authors_code: bool = False,
    drawn: Sequence[Label] = (),
) -> None:
    """One panel of `over_k`, of the cells of one network; `drawn` are the labels of what `ax` has already."""
    labels = list(drawn)
    rows = network[network["selection"].isin(selections)]
    ks = list(rows["k"])
    present = [selection for selection in selections if selection in set(rows["selection"])]
    for place, selection in enumerate(present):
        shift = 1 + 0.06 * (place - (len(present) - 1) / 2)
        own, mine = look(selection), rows[rows["selection"] == selection]
        means = draw_points(ax, mine, own, shift=shift, broken_by="learning_rate")
        labels.append((last_height(means, mine), f"{own.label}, {n_of(means)}", own.colour))
        if not beside:
            continue
        paper = published_for(rows, selection)
        draw_published(ax, paper, paper["k"] * shift)
        ks += list(paper["k"])
        labels += [(height, f"published, {own.label}", GREY) for height in paper["mean"].iloc[-1:]]
    if authors_code:
        labels += draw_authors_code(ax, rows)
    if beside:
        labels += [*learned_line(ax, network), *published_learned(ax, rows)]
    k_axis(ax, ks)
    _rates(ax, rows[rows["selection"] == present[0]])
    draw_labels(ax, labels)


def _rates(ax: Axes, rows: pd.DataFrame) -> None:
    """The recipe's learning rates along the axis of K, where it has several: a line ends where the rate changes."""
    rates = rows.groupby("k")["learning_rate"].first()
    if rates.nunique() < 2:
        return
    changes = rates.ne(rates.shift()).cumsum()
    low, high = ax.get_ylim()
    ax.set_ylim(max(0, low - 0.07 * (high - low)), high)  # a line for them, below what is drawn
    for _, run in rates.groupby(changes):
        middle = float(np.exp(np.log(run.index.to_numpy(float)).mean()))
        ax.annotate(
            f"rate {run.iloc[0]:g}", (middle, 0.02), xycoords=("data", "axes fraction"), ha="center", fontsize=6,
            color=GREY,
        )  # fmt: skip
