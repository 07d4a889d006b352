"""The table → figures, all in one style: a method has one colour and one marker everywhere.

Adding a figure: one function under `@figure`, below or in a module that `page` imports, from its rows of the table to
a matplotlib `Figure`; its caption, with n, recipe, epochs and devices, is made from the same rows.
Points are means over seeds with 95 % t-intervals; a hollow point is one seed, which has no interval. What is
published is grey. Saved files depend on the table only: same rows, same bytes.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy import optimize

from slotbench.files import atomic
from slotbench.results import published
from slotbench.results.table import NETWORK, between, summary
from slotbench.selection import SELECTIONS

PALETTE = sns.color_palette("colorblind").as_hex()
GREY = "#767676"


@dataclass(frozen=True)
class Look:
    """How a method looks, and what it is called, in every figure and table."""

    label: str
    colour: str
    marker: str

    @property
    def ink(self) -> str:
        """The colour for letters: dark enough to be read on white (contrast above 4.5)."""
        return str(mpl.colors.to_hex(sns.set_hls_values(self.colour, l=0.28)))


LOOKS = {
    "greedy": Look("greedy", PALETTE[0], "o"),
    "probabilistic": Look("probabilistic", PALETTE[3], "s"),
    "learned": Look("learned", PALETTE[2], "D"),
    "finetuned": Look("finetuned", PALETTE[4], "^"),
    "random": Look("random network", PALETTE[1], "v"),
    "greedy-shared-layer": Look("greedy, shared per layer", PALETTE[9], "<"),
    "greedy-shared-network": Look("greedy, shared by all layers", PALETTE[6], ">"),
    "edge-popup": Look("edge-popup", PALETTE[5], "P"),
    "supermask": Look("supermask", PALETTE[8], "X"),
    "lottery-ticket": Look("lottery ticket", "#222222", "*"),
}

STYLE = sns.axes_style("ticks") | {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same letters on every machine
    "font.size": 7.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # embedded as TrueType
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "slotbench",  # ids by content, not by chance
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}
# What matplotlib would otherwise stamp on a file: the date, and its own version.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

PANEL = (3.3, 2.2)
"""Width and height of a panel in inches, its labels included."""


RANDOM_LABELS = "-random-labels"
"""How the name of a dataset ends whose test accuracy is no result."""


Draw = Callable[[pd.DataFrame], Figure | None]
"""Done cells → the figure, or None where what it compares is not there."""


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
    name: str, title: str, *, shows: str, needs: str, rows: Callable[[pd.DataFrame], pd.DataFrame], **value: str
) -> Callable[[Draw], Draw]:
    """Puts the function below into `FIGURES`, in the order of the report; the arguments are `Entry`'s."""

    def register(draw: Draw) -> Draw:
        FIGURES[name] = Entry(name, title, shows, needs, rows, draw, **value)
        return draw

    return register


def save(cells: pd.DataFrame, folder: Path) -> dict[str, Figure | None]:
    """Draws every figure that has data as `folder`/<name>.{svg,png,pdf}; the others are None.

    Files of a figure that is not drawn any more are removed.
    """
    pictures: dict[str, Figure | None] = {}
    for entry in FIGURES.values():
        rows = entry.rows(cells)
        with mpl.rc_context(STYLE):
            pictures[entry.name] = picture = entry.draw(rows[rows["status"] == "done"])
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


# ---- parts of figures ------------------------------------------------------------------------------------


def _panels(rows: pd.DataFrame, by: Sequence[str]) -> tuple[Figure, Iterator[tuple[Axes, pd.DataFrame]]]:
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


def escape(name: object) -> str:
    """A name as matplotlib text: `$` would begin a formula."""
    return str(name).replace("$", r"\$")


def _points(
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
    points = _same_network(published.values(), rows)
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


def _learned(ax: Axes, rows: pd.DataFrame) -> list[Label]:
    """Learned weights among `rows` as a horizontal line and band (mean and interval), and their label."""
    look = LOOKS["learned"]
    means = summary(rows[rows["selection"] == "learned"], ["selection"])
    for mean, half in means[["mean", "half"]].itertuples(index=False):
        ax.axhline(mean, color=look.colour, linewidth=1.2, zorder=2)
        if not np.isnan(half):
            ax.axhspan(mean - half, mean + half, color=look.colour, alpha=0.18, linewidth=0, zorder=0)
    return [(mean, f"learned, {_n(means)}", look.ink) for mean in means["mean"]]


def _k_axis(ax: Axes, ks: Sequence[int]) -> None:
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


Label = tuple[float, str, str]
"""Height in the axes' units, text, colour."""


def _labels(ax: Axes, labels: Sequence[Label]) -> None:
    """Labels in the right margin, beside what they name, moved apart where they would touch."""
    low, high = ax.get_ylim()
    wanted = sorted(labels)
    steps = 0.08 * np.arange(len(wanted))
    heights = (np.array([height for height, _, _ in wanted]) - low) / (high - low)
    # The nearest heights in this order, a line apart: least squares under x[i+1] ≥ x[i] + step.
    places = optimize.isotonic_regression(heights - steps).x + steps if wanted else steps
    for place, (_, text, colour) in zip(places, wanted, strict=True):
        ax.annotate(text, (1.02, place), xycoords="axes fraction", va="center", color=colour, fontsize=7)


def _n(means: pd.DataFrame) -> str:
    return f"n = {between(means['n'])}"


def _selected(cells: pd.DataFrame, selections: Sequence[str]) -> pd.DataFrame:
    """Cells of the deciding recipe, not finetuned, of `selections`, at K ≥ 2 (learned has no K), with true labels."""
    return cells[
        cells["decides"]
        & ~cells["dataset"].str.endswith(RANDOM_LABELS)
        & (cells["finetune"] == "none")
        & cells["selection"].isin(selections)
        & ((cells["k"] > 1) | (cells["selection"] == "learned"))
    ]


PAPER = " Grey: published, where the paper has a value (hollow points; dashed for learned)."


# ---- the figures -----------------------------------------------------------------------------------------


@figure(
    "accuracy-over-k",
    "Accuracy over the number of options",
    shows="Greedy selection over K, beside learned weights (line and band)." + PAPER,
    needs="greedy cells at K ≥ 2",
    rows=lambda cells: _selected(cells, ["greedy", "learned"]),
)
def accuracy_over_k(done: pd.DataFrame) -> Figure | None:
    """The paper's main figure: how many options it takes to match learned weights."""
    return _over_k(done, ["greedy"])


@figure(
    "greedy-vs-probabilistic",
    "Greedy selection beside probabilistic sampling",
    shows="Greedy selection and probabilistic sampling over K, beside learned weights (line and band); the "
    "two stand slightly apart at each K so that both can be seen." + PAPER,
    needs="greedy and probabilistic cells at K ≥ 2",
    rows=lambda cells: _selected(cells, ["greedy", "probabilistic", "learned"]),
)
def greedy_vs_probabilistic(done: pd.DataFrame) -> Figure | None:
    """The paper's comparison of its two selection rules."""
    return _over_k(done, ["greedy", "probabilistic"])


@figure(
    "random-vs-two",
    "A random network beside two options",
    shows="A random network (K = 1) and greedy selection among two options (K = 2)." + PAPER,
    needs="greedy cells at K = 1 and at K = 2 of one network",
    rows=lambda cells: cells[
        cells["decides"] & (cells["finetune"] == "none") & (cells["selection"] == "greedy") & cells["k"].isin([1, 2])
    ],
)
def random_vs_two(done: pd.DataFrame) -> Figure | None:
    """The paper's first figure: what a second option per connection is worth."""
    done = done[done.groupby(NETWORK)["k"].transform("nunique") == 2]
    if done.empty:
        return None
    picture = Figure(figsize=(1.8 + 0.9 * done.groupby(NETWORK).ngroups, 2.6), layout="constrained")
    ax = picture.subplots()
    names = []
    for place, ((dataset, architecture), rows) in enumerate(done.groupby(NETWORK, sort=False)):
        names.append(f"{escape(architecture)}\n{escape(dataset)}")
        means = summary(rows, ["k"]).set_index("k")["mean"]
        ax.plot([place, place], means, color="#cccccc", linewidth=1, zorder=0)
        for k, look in ((1, LOOKS["random"]), (2, LOOKS["greedy"])):
            paper = _same_network(published.values(), rows)
            paper = paper[(paper["selection"] == "greedy") & (paper["k"] == k)]
            ax.errorbar(
                [place] * len(paper), paper["mean"], paper["uncertainty"], fmt=look.marker, color=GREY,
                markerfacecolor="none", markersize=8, markeredgewidth=0.8, elinewidth=0.6, zorder=1,
            )  # fmt: skip
            ours = summary(rows[rows["k"] == k], ["k"]).assign(k=float(place))
            _points(ax, ours, look)
            ax.annotate(
                f"{means[k]:.1f}", (place, means[k]), xytext=(7, 0), textcoords="offset points",
                va="center", fontsize=7, color=look.ink,
            )  # fmt: skip
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.3)
    ax.set_ylim(0, 105)
    ax.set_ylabel("test accuracy (%)")
    for k, text, name in ((1, "random network (K = 1)", "random"), (2, "greedy, K = 2", "greedy")):
        n = _n(summary(done[done["k"] == k], NETWORK))
        _labels(ax, [(means[k], f"{text}, {n}", LOOKS[name].ink)])
    return picture


@figure(
    "finetuning",
    "Finetuning the selected network",
    shows="The selected network, and the same after ordinary training from its checkpoint (e100: of epoch "
    "100), over K, beside weights learned from scratch (line and band).",
    needs="finetuned cells and the cells that they start from",
    rows=lambda cells: _finetuned(cells),
)
def finetuning(done: pd.DataFrame) -> Figure | None:
    """Selected → finetuned at each K; a line for each checkpoint that finetuning started from."""
    tuned = done[done["finetune"] != "none"]
    if tuned.empty:
        return None
    picture, panels = _panels(tuned, [*NETWORK, "selection"])
    for ax, rows in panels:
        name = rows["selection"].iloc[0]
        network = _same_network(done, rows)
        selected = summary(network[(network["selection"] == name) & (network["finetune"] == "none")], ["k"])
        selected = selected[selected["k"].isin(rows["k"])]
        labels = _learned(ax, network)
        if not selected.empty:
            _points(ax, selected, LOOKS[name], shift=0.96)
            labels.append((selected["mean"].iloc[-1], f"selected ({name}), {_n(selected)}", LOOKS[name].ink))
        look = LOOKS["finetuned"]
        starts = sorted(rows["finetune"].unique(), key=lambda start: int(start[1:]))
        for place, (start, line) in enumerate(zip(starts, itertools.cycle(LINES), strict=False)):
            means = summary(rows[rows["finetune"] == start], ["k"])
            _points(ax, means, look, shift=1.04 + 0.06 * place, line=line)
            labels.append((means["mean"].iloc[-1], f"finetuned ({start}), {_n(means)}", look.ink))
        _k_axis(ax, list(rows["k"]))
        _labels(ax, labels)
    return picture


@figure(
    "recipes",
    "The recipes beside each other",
    shows="Greedy selection over K, and learned weights as horizontal lines, under each recipe; solid is the "
    "recipe that decides.",
    needs="greedy cells at K ≥ 2 of two or more recipes",
    rows=lambda cells: _selected(cells.assign(decides=True), ["greedy", "learned"]).assign(decides=cells["decides"]),
)
def recipes(done: pd.DataFrame) -> Figure | None:
    """How far the numbers depend on which source's hyper-parameters are used."""
    greedy = done[done["selection"] == "greedy"]
    names = greedy.sort_values("decides", ascending=False, kind="stable")["recipe"].unique()
    if len(names) < 2:
        return None
    picture, panels = _panels(greedy, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        for place, (name, line) in enumerate(zip(names, itertools.cycle(LINES), strict=False)):
            means = summary(rows[rows["recipe"] == name], ["k"])
            if means.empty:
                continue
            _points(ax, means, LOOKS["greedy"], shift=1 + 0.05 * place, line=line)
            labels.append((means["mean"].iloc[-1], f"{escape(name)}, {_n(means)}", LOOKS["greedy"].ink))
            network = _same_network(done, rows)
            learned = network[(network["selection"] == "learned") & (network["recipe"] == name)]
            if not learned.empty:
                height = float(learned["test_accuracy"].mean())
                ax.axhline(height, color=LOOKS["learned"].colour, linewidth=1, linestyle=line, zorder=1)
                labels.append((height, f"learned, {escape(name)}", LOOKS["learned"].ink))
        _k_axis(ax, list(rows["k"]))
        _labels(ax, labels)
    return picture


LINES = ("-", "--", ":", "-.")


def _over_k(done: pd.DataFrame, selections: Sequence[str]) -> Figure | None:
    """A panel for each network with every one of `selections`: their lines over K, learned, and published."""
    ours = done[done["selection"].isin(selections)]
    ours = ours[ours.groupby(NETWORK)["selection"].transform("nunique") == len(selections)]
    if ours.empty:
        return None
    picture, panels = _panels(ours, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        ks = list(rows["k"])
        for place, selection in enumerate(selections):
            shift = 1 + 0.06 * (place - (len(selections) - 1) / 2)
            look = LOOKS[selection]
            means = summary(rows[rows["selection"] == selection], ["k"])
            _points(ax, means, look, shift=shift)
            labels.append((means["mean"].iloc[-1], f"{look.label}, {_n(means)}", look.ink))
            paper = _published(ax, rows, selection, shift=shift)
            ks += list(paper["k"])
            labels += [(height, f"{look.label}, published", GREY) for height in paper["mean"].iloc[-1:]]
        labels += _learned(ax, _same_network(done, rows))
        paper = _published(ax, rows, "learned")
        labels += [(height, "learned, published", GREY) for height in paper["mean"]]
        _k_axis(ax, ks)
        _labels(ax, labels)
    return picture


def _same_network(cells: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """All of `cells` with the dataset and architecture of `rows`."""
    dataset, architecture = rows.iloc[0][NETWORK]
    return cells[cells["dataset"].eq(dataset) & cells["architecture"].eq(architecture)]


def _finetuned(cells: pd.DataFrame) -> pd.DataFrame:
    """Finetuned cells of the deciding recipe, the cells they start from, and learned of the same networks."""
    cells = cells[cells["decides"]]
    tuned = cells[cells["finetune"] != "none"]
    parents = cells.merge(tuned[[*NETWORK, "selection", "k", "seed"]].drop_duplicates())
    learned = cells[cells["selection"] == "learned"].merge(tuned[NETWORK].drop_duplicates())
    return pd.concat([parents, learned])
