"""What is selected: levels, bits, magnitudes, staircases, and whether it settles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    Label,
    draw_labels,
    draw_points,
    greedy_cells,
    k_axis,
    n_of,
    panels_of,
    y_label,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, LOOKS, PALETTE, PANEL, Look, escape, ink_of, shades
from slotbench.results.table import NETWORK, summary


@figure(
    "selected-vs-offered",
    "Selected weights beside the offered options",
    shows="The distribution of the selected weights at each K, layer by layer, and of all options that they were "
    "selected from (grey), in units of the layer's bound. Of networks with more than four layers, four.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    of="layers",
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
        means = rows.groupby(["k", "layer"])[["selected", "offered"]].agg(_mean)
        places = np.unique(np.linspace(1, rows["layer"].max(), 4).round().astype(int))
        for unused in line[len(places) :]:
            unused.remove()
        for ax, place in zip(line, places, strict=False):
            level = _histogram(ax, means.loc[(ks[-1], place), "offered"], GREY, filled=True)
            heights = {k: _histogram(ax, means.loc[(k, place), "selected"], colour) for k, colour in shades(ks).items()}
            ax.set_title(f"{escape(architecture)}, {escape(dataset)}: layer {place}", fontsize=7)
            ax.set_xticks([-1, 0, 1])
            ax.set_ylim(0)
            ax.set_yticks([])
        line[0].set_ylabel("density")
        line[0].set_xlabel("weight / bound")
        # At the right edge of the last layer, where the lines are furthest apart
        labels = [(heights[k], f"K = {k}", ink_of(colour)) for k, colour in shades(ks).items()]
        draw_labels(line[len(places) - 1], [*labels, (level, "options", GREY)])
    return picture


def _mean(arrays: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.mean([*arrays], axis=0))


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
    rows=greedy_cells,
    value="bits_of_move",
    points="entropy of the levels that a connection has moved",
    unit=" bits",
)
def bits(done: pd.DataFrame) -> Figure | None:
    """The entropy of the choices."""
    if done.empty:
        return None
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        ks = np.array(sorted(rows["k"].unique()))
        ax.plot(ks, np.log2(ks), color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        for value, text, look in (
            ("bits_of_rank", "rank", Look("", GREY, "v")),
            ("bits_of_move", "move", LOOKS["greedy"]),
        ):
            means = summary(rows, ["k"], value)
            draw_points(ax, means, look)
            labels.append((means["mean"].iloc[-1], f"{text}, {n_of(means)}", look.ink))
        k_axis(ax, list(ks))
        y_label(ax, "bits per connection")
        draw_labels(ax, labels)
    return picture


@figure(
    "levels",
    "How many options can be reached at all",
    shows="The mean number of levels of a connection's staircase: the options that any training could make it select. "
    "Dashed: all K.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    value="levels",
    points="levels of a connection",
    unit=" levels",
)
def levels(done: pd.DataFrame) -> Figure | None:
    """Why many options cost no more than few."""
    if done.empty:
        return None
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        means = summary(rows, ["k"], "levels")
        draw_points(ax, means, LOOKS["greedy"])
        top = 1.25 * float(means["mean"].max())
        shown = np.geomspace(ks[0], min(ks[-1], top), 20)
        ax.plot(shown, shown, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        ax.set_ylim(0, top)
        k_axis(ax, ks)
        y_label(ax, "reachable options")
        draw_labels(ax, [(means["mean"].iloc[-1], f"levels, {n_of(means)}", LOOKS["greedy"].ink)])
    return picture


@figure(
    "still-changing",
    "How many connections still change",
    shows="The share of connections whose selected weight at the end of an epoch is another than at the end of the "
    "epoch before, in greedy selection.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    of="curves",
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
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        labels: list[Label] = []
        for k, colour in shades(ks).items():
            epochs = rows[rows["k"] == k].groupby("epoch")["changed"].agg(["mean", "size"])
            seeds = epochs["size"].iloc[0]
            mean = 100 * epochs.loc[epochs["size"] == seeds, "mean"]  # as long as all of them were trained
            ax.plot(mean.index, mean, color=colour, linewidth=1)
            labels.append((float(mean.iloc[-1]), f"K = {k}, n = {seeds}", ink_of(colour)))
        ax.set_ylim(0)
        ax.set_xlabel("epoch")
        y_label(ax, "connections changed (%)")
        draw_labels(ax, labels)
    return picture


@figure(
    "staircases",
    "The staircases of three connections",
    shows="What greedy selection makes of three connections of the first layer, by b, the one number of a connection "
    "that is trained (a = 1): steps are its levels, a dot is where training starts, grey are the options "
    "that no b selects. In units of the layer's Glorot deviation.",
    needs="greedy cells at K ≥ 8",
    rows=lambda cells: greedy_cells(cells[cells["k"].ge(8)]),
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
