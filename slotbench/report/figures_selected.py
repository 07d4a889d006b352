"""The figures beyond accuracy: what is selected, what it takes, what it remembers. As `figures`, which has
their style and their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report.figures import (
    GREY,
    LOOKS,
    PALETTE,
    PANEL,
    RANDOM_LABELS,
    Label,
    Look,
    _k_axis,
    _labels,
    _n,
    _over_k,
    _panels,
    _points,
    _selected,
    escape,
    figure,
)
from slotbench.results.table import NETWORK, summary

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "step_cost.json"
"""What `python benchmarks/step_cost.py --json` has written."""

SHARING = ["greedy", "greedy-shared-layer", "greedy-shared-network"]
SUBNETWORKS = ["edge-popup", "supermask", "lottery-ticket"]


def _greedy(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells, of which records tell what their layers select."""
    return _selected(cells, ["greedy"])


def _shades(ks: list[int]) -> dict[int, str]:
    """A colour for each K: the darker the more."""
    return dict(zip(ks, sns.color_palette("blend:#7fbfe8,#08306b", len(ks)).as_hex(), strict=True))


def _ink(colour: str) -> str:
    """A colour's own, dark enough for letters."""
    return Look("", colour, "").ink


@figure(
    "sharing",
    "Options that connections share",
    shows="Greedy selection over K where each connection has options of its own, where all connections of a layer have "
    "the same, and where all connections of the network have.",
    needs="greedy cells with shared options, per layer and per network, and without",
    rows=lambda cells: _selected(cells, SHARING),
)
def sharing(done: pd.DataFrame) -> Figure | None:
    """The paper's experiment on sharing."""
    shared = done.loc[done["selection"] != "greedy", [*NETWORK, "k"]].drop_duplicates()
    return _over_k(done.merge(shared), SHARING)


@figure(
    "comparators",
    "Beside pruned networks",
    shows="Greedy selection at K = 8, and the other ways to a network: subnetworks of random weights, learned weights "
    "pruned and learned again (lottery ticket), and learned weights.",
    needs="greedy cells at K = 8, and one of edge-popup, supermask and lottery ticket",
    rows=lambda cells: _comparators(cells),
)
def comparators(done: pd.DataFrame) -> Figure | None:
    """The paper's table of other methods."""
    done = done[done.groupby(NETWORK)["selection"].transform(lambda names: bool(set(names) & set(SUBNETWORKS)))]
    if done.empty:
        return None
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        names = [name for name in ("greedy", *SUBNETWORKS, "learned") if name in set(rows["selection"])]
        for place, name in enumerate(names):
            means = summary(rows[rows["selection"] == name], ["selection"])
            _points(ax, means.assign(k=place), LOOKS[name], line="")
            ax.annotate(
                f"{means['mean'].iloc[0]:.2f}", (place, means["mean"].iloc[0]), xytext=(6, 0),
                textcoords="offset points", va="center", fontsize=7, color=LOOKS[name].ink,
            )  # fmt: skip
        ax.set_xticks(range(len(names)), [name.replace("-", "-\n") for name in names])
        ax.set_xlim(-0.4, len(names) - 0.2)
        ax.set_ylim(top=min(ax.get_ylim()[1], 100))
        ax.set_xlabel("")
    return picture


def _comparators(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells at K = 8, and all of the rules without options."""
    without = ~cells["dataset"].str.endswith(RANDOM_LABELS) & cells["selection"].isin([*SUBNETWORKS, "learned"])
    return cells[cells["decides"] & cells["finetune"].eq("none") & (without | _eight(cells))]


def _eight(cells: pd.DataFrame) -> pd.Series[bool]:
    return cells["selection"].eq("greedy") & cells["k"].eq(8) & ~cells["dataset"].str.endswith(RANDOM_LABELS)


@figure(
    "selected-vs-offered",
    "Selected weights beside the offered options",
    shows="The distribution of the selected weights at each K, layer by layer, and of all options that they were "
    "selected from (grey), in units of the layer's bound. Of networks with more than four layers, four.",
    needs="greedy cells at K ≥ 2",
    rows=_greedy,
    value="magnitude",
    points="ratio of the magnitude of selected weights to that of all options, in the layer where it is smallest",
    unit=" ×",
    drawn="Lines are means over seeds.",
)
def selected_vs_offered(done: pd.DataFrame) -> Figure | None:
    """The paper's observation that selection prefers large magnitudes."""
    done = done[done["k"].isin([2, 8, 64])]
    if done.empty:
        return None
    networks = list(done.groupby(NETWORK, sort=False))
    picture = Figure(figsize=(7.2, 2.0 * len(networks) + 0.3), layout="constrained")
    grid = picture.subplots(len(networks), 4, squeeze=False)
    for line, ((dataset, architecture), rows) in zip(grid, networks, strict=True):
        ks = sorted(rows["k"].unique())
        cells = {k: [json.loads(text) for text in rows.loc[rows["k"] == k, "layers"]] for k in ks}
        depth = len(cells[ks[0]][0])
        places = np.unique(np.linspace(0, depth - 1, 4).round().astype(int))
        for unused in line[len(places) :]:
            unused.remove()
        for ax, place in zip(line, places, strict=False):
            offered = np.mean([layer[place]["offered"] for layer in cells[ks[-1]]], axis=0)
            level = _histogram(ax, offered, GREY, filled=True)
            heights = {
                k: _histogram(ax, np.mean([layer[place]["selected"] for layer in cells[k]], axis=0), colour)
                for k, colour in _shades(ks).items()
            }
            ax.set_title(f"{escape(architecture)}, {escape(dataset)}: layer {place + 1}", fontsize=7)
            ax.set_xticks([-1, 0, 1])
            ax.set_ylim(0)
            ax.set_yticks([])
        line[0].set_ylabel("density")
        line[0].set_xlabel("weight / bound")
        # At the right edge of the last layer, where the lines are furthest apart
        labels = [(heights[k], f"K = {k}", _ink(colour)) for k, colour in _shades(ks).items()]
        _labels(line[len(places) - 1], [*labels, (level, "options", GREY)])
    return picture


def _histogram(ax: Axes, shares: npt.NDArray[np.floating], colour: str, filled: bool = False) -> float:
    """Draws shares of equal parts of -1 to 1 as multiples of the uniform density; returns the last one."""
    edges = np.linspace(-1, 1, len(shares) + 1)
    density = shares * len(shares)
    if filled:
        ax.stairs(density, edges, fill=True, color=colour, alpha=0.3, linewidth=0)
    else:
        ax.stairs(density, edges, color=colour, linewidth=1)
    return float(density[-1])


@figure(
    "bits",
    "What a selected network costs to send",
    shows="Bits per connection, to someone who has the seed: to name the rank of the selected option among its "
    "connection's K (upper line), or how many levels of its staircase it has moved (lower line). Dashed: log2 K.",
    needs="greedy cells at K ≥ 2",
    rows=_greedy,
    value="bits_of_move",
    points="entropy of the levels that a connection has moved",
    unit=" bits",
)
def bits(done: pd.DataFrame) -> Figure | None:
    """The entropy of the choices."""
    if done.empty:
        return None
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        ks = np.array(sorted(rows["k"].unique()))
        ax.plot(ks, np.log2(ks), color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        for value, text, look in (
            ("bits_of_rank", "rank", Look("", GREY, "v")),
            ("bits_of_move", "move", LOOKS["greedy"]),
        ):
            means = summary(rows, ["k"], value)
            _points(ax, means, look)
            labels.append((means["mean"].iloc[-1], f"{text}, {_n(means)}", look.ink))
        _k_axis(ax, list(ks))
        _y_label(ax, "bits per connection")
        _labels(ax, labels)
    return picture


@figure(
    "levels",
    "How many options can be reached at all",
    shows="The mean number of levels of a connection's staircase: the options that any training could make it select. "
    "Dashed: all K.",
    needs="greedy cells at K ≥ 2",
    rows=_greedy,
    value="levels",
    points="levels of a connection",
    unit=" levels",
)
def levels(done: pd.DataFrame) -> Figure | None:
    """Why many options cost no more than few."""
    if done.empty:
        return None
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        means = summary(rows, ["k"], "levels")
        _points(ax, means, LOOKS["greedy"])
        top = 1.25 * float(means["mean"].max())
        shown = np.geomspace(ks[0], min(ks[-1], top), 20)
        ax.plot(shown, shown, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        ax.set_ylim(0, top)
        _k_axis(ax, ks)
        _y_label(ax, "reachable options")
        _labels(ax, [(means["mean"].iloc[-1], f"levels, {_n(means)}", LOOKS["greedy"].ink)])
    return picture


@figure(
    "still-changing",
    "How many connections still change",
    shows="The share of connections whose selected weight at the end of an epoch is another than at the end of the "
    "epoch before, in greedy selection.",
    needs="greedy cells at K ≥ 2",
    rows=_greedy,
    value="changed",
    points="share of connections that changed in the last epoch",
    unit="",
    drawn="Lines are means over seeds.",
)
def still_changing(done: pd.DataFrame) -> Figure | None:
    """Whether selection settles."""
    done = done[done["k"].isin([2, 8, 64])]
    if done.empty:
        return None
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        labels: list[Label] = []
        for k, colour in _shades(ks).items():
            curves = [json.loads(text) for text in rows.loc[rows["k"] == k, "curve"]]
            mean = 100 * np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)
            ax.plot(np.arange(1, len(mean) + 1), mean, color=colour, linewidth=1)
            labels.append((float(mean[-1]), f"K = {k}, n = {len(curves)}", _ink(colour)))
        ax.set_ylim(0)
        ax.set_xlabel("epoch")
        _y_label(ax, "connections changed (%)")
        _labels(ax, labels)
    return picture


@figure(
    "random-labels",
    "Random labels: what can be memorised",
    shows="Accuracy on the training images at the last epoch, with their own labels and with labels drawn at random, "
    "for greedy selection and for learned weights.",
    needs="cells of a dataset with random labels",
    rows=lambda cells: _with_random_labels(cells),
    value="train_accuracy",
    points="accuracy on the training images at the last epoch",
)
def random_labels(done: pd.DataFrame) -> Figure | None:
    """How far selection alone memorises (after Maennel et al. 2020)."""
    done = done.assign(
        random=done["dataset"].str.endswith(RANDOM_LABELS), dataset=done["dataset"].str.removesuffix(RANDOM_LABELS)
    )
    done = done[done.groupby(NETWORK)["random"].transform("any")]
    if done.empty:
        return None
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        for (selection, k), some in rows.groupby(["selection", "k"], sort=False):
            look = LOOKS[str(selection)]
            means = summary(some, ["random"], "train_accuracy")
            _points(ax, means.assign(k=means["random"].astype(float)), look)
            text = f"{look.label}, K = {k}" if selection == "greedy" else look.label
            labels.append((means["mean"].iloc[-1], f"{text}, {_n(means)}", look.ink))
        ax.set_xticks([0, 1], ["own labels", "random labels"])
        ax.set_xlim(-0.3, 1.3)
        ax.set_ylim(0, 105)
        ax.set_xlabel("")
        _y_label(ax, "training accuracy (%)")
        _labels(ax, labels)
    return picture


def _with_random_labels(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy and learned cells with random labels, and the same ones with their own."""
    cells = cells[cells["decides"] & cells["finetune"].eq("none") & cells["selection"].isin(["greedy", "learned"])]
    axes = [*NETWORK, "selection", "k"]
    random = cells.loc[cells["dataset"].str.endswith(RANDOM_LABELS), axes].drop_duplicates()
    both = pd.concat([random, random.assign(dataset=random["dataset"].str.removesuffix(RANDOM_LABELS))])
    return cells.merge(both, on=axes)


@figure(
    "accuracy-vs-flops",
    "Accuracy beside the cost of training",
    shows="Test accuracy over the FLOPs of all epochs, forward and backward; those of a finetuned network include the "
    "epochs of selection that it started from. Numbers beside points are K, where there is room for them.",
    needs="greedy and learned cells of one network",
    rows=lambda cells: cells[cells["decides"] & ~cells["dataset"].str.endswith(RANDOM_LABELS) & ~_flattening(cells)],
)
def accuracy_vs_flops(done: pd.DataFrame) -> Figure | None:
    """Experiment 4 of the paper, and finetuning at equal cost."""
    done = done[done.groupby(NETWORK)["selection"].transform(lambda names: {"greedy", "learned"} <= set(names))]
    if done.empty:
        return None
    # Epochs are counted from the parent's first, and cost the same in parent and child.
    done = done.assign(total=done["flops"] / (done["epochs"] - done["start_epoch"]) * done["epochs"] / 1e12)
    picture, panels = _panels(done, NETWORK)
    for ax, rows in panels:
        seen: dict[str, Label] = {}
        options: list[tuple[float, Label]] = []
        for (selection, k, start), some in rows.groupby(["selection", "k", "finetune"], sort=True):
            look = LOOKS["finetuned" if start != "none" else str(selection)]
            means = summary(some.assign(one=0), ["one"])
            mean = float(means["mean"].iloc[0])
            _points(ax, means.assign(k=float(some["total"].mean())), look, line="")
            if selection in ("greedy", "probabilistic") and start == "none":
                options.append((float(some["total"].mean()), (mean, str(k), look.ink)))
            seen[look.label] = (mean, look.label, look.ink)
        ax.set_xlabel("FLOPs of training (10¹²)")
        low, high = ax.get_ylim()
        low, high = ax.set_ylim(max(low, 0), min(high, 100))
        _labels(ax, list(seen.values()))
        named: list[tuple[float, float]] = []
        for cost, (mean, text, ink) in options:
            if all(cost != beside or abs(mean - height) > 0.04 * (high - low) for beside, height in named):
                ax.annotate(
                    text, (cost, mean), xytext=(4, 0), textcoords="offset points", fontsize=5.5, va="center", color=ink
                )
                named.append((cost, mean))
    return picture


def _flattening(cells: pd.DataFrame) -> pd.Series[bool]:
    """Random networks, and shared options, of which few can leave a network dead: beside them all others look equal."""
    random = cells["selection"].eq("greedy") & cells["k"].eq(1) & cells["finetune"].eq("none")
    return random | cells["selection"].str.startswith("greedy-shared")


@figure(
    "staircases",
    "The staircases of three connections",
    shows="What greedy selection makes of three connections of the first layer, by b, the one number of a connection "
    "that is trained (a = 1): steps are its levels, a dot is where training starts, grey are the options "
    "that no b selects. In units of the layer's Glorot deviation.",
    needs="greedy cells at K ≥ 8",
    rows=lambda cells: _greedy(cells[cells["k"].ge(8)]),
    value="levels",
    points="levels of a connection",
    unit=" levels",
    drawn="Drawn from seed 0.",
)
def staircases(done: pd.DataFrame) -> Figure | None:
    """The method at a glance."""
    ks = sorted(set(done["k"]) & {8, 64})
    if not ks:
        return None
    from slotbench.selection.options import Options
    from slotbench.selection.staircase import build

    bound = 3**0.5
    picture = Figure(figsize=(PANEL[0] * len(ks) + 0.3, PANEL[1] + 0.3), layout="constrained")
    for ax, k in zip(picture.subplots(1, len(ks), squeeze=False, sharey=True).flat, ks, strict=True):
        options = Options(3, k, seed=0, layer=0, option_bound=bound, score_bound=bound)
        offered, _ = options.whole()
        stairs = build(options, np.float64)
        for place in range(3):
            own = slice(stairs.first[place], stairs.first[place + 1])
            climbs, corners = stairs.levels[own], stairs.breakpoints[own][1:]
            reach = 2.0
            low, high = np.searchsorted(corners, [-reach, reach])
            colour = PALETTE[place]
            seen = [-reach, *corners[low:high], reach]
            ax.stairs(climbs[low : high + 1], seen, baseline=None, color=colour, linewidth=1.3)
            ax.plot(0, climbs[np.searchsorted(corners, 0.0)], "o", color=colour, markersize=4)
            never = np.setdiff1d(offered[place], climbs)
            ax.plot(np.full(len(never), reach * (1.04 + 0.04 * place)), never, "_", color=GREY, markersize=3)
        ax.set_title(f"K = {k}")
        ax.set_xlabel("b")
        ax.set_xlim(-reach, reach * 1.16)
    picture.axes[0].set_ylabel("selected weight")
    return picture


@figure(
    "memory-and-time",
    "Memory and time over the number of options",
    shows="Bytes of training state per connection, weights included and gradients not: as measured in these cells, and "
    "(grey) of implementations that keep K scores. Where benchmarks/step_cost.json is there, also the time of a "
    "training step of LeNet beside plain SGD's, and that of the textbook's K scores.",
    needs="greedy cells at K ≥ 2",
    rows=_greedy,
    value="state_bytes",
    points="bytes of training state",
    unit=" bytes",
)
def memory_and_time(done: pd.DataFrame) -> Figure | None:
    """What many options cost here, and elsewhere."""
    if done.empty:
        return None
    done = done.assign(each=done["state_bytes"].astype(float) / done["connections"].astype(float))
    from slotbench.report import claims  # which imports figures

    timed = _timed()
    picture = Figure(figsize=(PANEL[0] * (1 + bool(timed)) + 0.5, PANEL[1] + 0.3), layout="constrained")
    ax, *more = picture.subplots(1, 1 + bool(timed), squeeze=False).flat
    labels: list[Label] = []
    ks = np.array(sorted(done["k"].unique()))
    for name, floats in claims.load().floats.items():
        ax.plot(ks, 4 * ks * floats, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
        labels.append((4 * int(ks[-1]) * floats, name, GREY))
    for architecture, rows in done.groupby("architecture", sort=False):  # a dataset changes nothing in this
        means = summary(rows, ["k"], "each")
        _points(ax, means, LOOKS["greedy"])
        labels.append((means["mean"].iloc[-1], escape(architecture), LOOKS["greedy"].ink))
    _logarithmic(ax, ks, labels, "bytes per connection")
    if timed:
        _logarithmic(more[0], *_draw_times(more[0], timed), "ms per training step")
    return picture


def _timed() -> list[dict[str, Any]]:
    """Rows of the committed benchmark about LeNet; none where it is not there."""
    if not BENCHMARK.exists():
        return []
    return [row for row in json.loads(BENCHMARK.read_text()) if row["architecture"] == "lenet"]


def _draw_times(ax: Axes, timed: list[dict[str, Any]]) -> tuple[npt.NDArray[np.int64], list[Label]]:
    """Milliseconds a step over K, of what has several K; plain SGD as a line."""
    labels: list[Label] = []
    kinds = {"greedy": LOOKS["greedy"].colour, "textbook": GREY}
    for selection, colour in kinds.items():
        fastest: dict[int, float] = {}
        for row in timed:
            if row["selection"] == selection:
                fastest[row["k"]] = min(row["ms_per_step"], fastest.get(row["k"], np.inf))
        rows = sorted(fastest.items())
        if rows:
            ax.plot(*zip(*rows, strict=True), marker="o", color=colour)
            labels.append((rows[-1][1], {"greedy": "greedy", "textbook": "K scores (textbook)"}[selection], colour))
    for row in timed:
        if row["selection"] == "plain":
            ax.axhline(row["ms_per_step"], color=LOOKS["learned"].colour)
            labels.append((row["ms_per_step"], "plain SGD", LOOKS["learned"].ink))
    return np.array(sorted({row["k"] for row in timed if row["selection"] in kinds})), labels


def _logarithmic(ax: Axes, ks: npt.NDArray[np.int64], labels: list[Label], name: str) -> None:
    """Both axes in powers, with labels at the heights of their lines."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    _k_axis(ax, [int(k) for k in ks])
    ax.set_ylim(low, high)
    ax.set_ylabel(name)
    ax.set_xlabel("K, options per connection")
    # `_labels` places by heights on a linear axis
    share = [(np.log(height / low) / np.log(high / low), text, colour) for height, text, colour in labels]
    twin = ax.twinx()
    twin.set_ylim(0, 1)
    twin.set_axis_off()
    _labels(twin, [(float(height), text, colour) for height, text, colour in share])


def _y_label(ax: Axes, text: str) -> None:
    """On the panels that have one."""
    if ax.get_ylabel():
        ax.set_ylabel(text)
