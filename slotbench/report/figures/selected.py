"""What is selected: levels, bits, magnitudes, and whether it settles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report import names
from slotbench.report.figures.parts import (
    Label,
    at_some_k,
    draw_labels,
    draw_points,
    first_network,
    greedy_cells,
    k_axis,
    mean_of,
    n_of,
    panels_of,
    y_label,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, Look, escape, look, shades
from slotbench.results.table import NETWORK

LAYERS_SHOWN = 4
"""Of a deep network, so many layers have a panel."""


def _magnitude_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    k = rows["k"].max()
    ratio = mean_of(rows, "magnitude", k=k)
    return (
        f"{network}: at K = {k} selected weights are {ratio:.2f} times as large as the options, or more, in every layer"
    )


@figure(
    "selected-vs-offered",
    "Selected weights beside the offered options",
    shows="The distribution of the selected weights at each K, layer by layer, and of all options that they were "
    "selected from (grey), in units of the layer's bound. Of networks with more than four layers, four.",
    needs="greedy cells at K = 2, 8 or 64",
    rows=at_some_k,
    finding=_magnitude_finding,
    of="layers",
    value="magnitude",
    points="ratio of the magnitude of selected weights to that of all options, in the layer where it is smallest",
    unit=" ×",
    drawn="Lines are means over seeds.",
)
def selected_vs_offered(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's observation that selection prefers large magnitudes."""
    networks = list(done.groupby(NETWORK, sort=False))
    most = max(len(_shown_layers(rows)) for _, rows in networks)
    columns, lines = (most, 1) if abreast > 1 else (1, most)
    picture = Figure(
        figsize=(1.8 * columns + (0 if columns > 1 else 1.5), 2.0 * len(networks) * lines + 0.3), layout="constrained"
    )
    grid = picture.subplots(len(networks) * lines, columns, squeeze=False).reshape(len(networks), most)
    for own, (network, rows) in zip(grid, networks, strict=True):
        _layers_of_a_network(list(own), names.network(*network), rows, columns)
    return picture


def _shown_layers(rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """All layers of a network, counted from 1; of a deep one, `LAYERS_SHOWN` from the first to the last."""
    return np.unique(np.linspace(1, int(rows["layer"].max()), LAYERS_SHOWN).round().astype(np.int64))


def _layers_of_a_network(axes: list[Axes], network: str, rows: pd.DataFrame, columns: int) -> None:
    """A panel for each layer, or for four of them."""
    ks = sorted(rows["k"].unique())
    means = rows.groupby(["k", "layer"])[["selected", "offered"]].agg(_mean)
    depth, places = int(rows["layer"].max()), _shown_layers(rows)
    for unused in axes[len(places) :]:
        unused.remove()
    for panel, (ax, place) in enumerate(zip(axes, places, strict=False)):
        level = _histogram(ax, means.loc[(ks[-1], place), "offered"], GREY, filled=True)
        heights = {k: _histogram(ax, means.loc[(k, place), "selected"], *kind) for k, kind in shades(ks).items()}
        ax.set_title(f"{escape(network)}\nlayer {place} of {depth}" if panel == 0 else f"layer {place}")
        ax.title.set_fontsize(7)
        ax.set_xticks([-1, 0, 1])
        ax.set_ylim(0)
        ax.set_yticks([])
        if panel % columns == 0:
            ax.set_ylabel("density")
        ax.set_xlabel("weight / bound")
        if panel == len(places) - 1 or columns == 1:
            # At the right edge, where the lines are furthest apart
            labels = [(heights[k], f"K = {k}", colour) for k, (colour, _) in shades(ks).items()]
            draw_labels(ax, [*labels, (level, "options", GREY)])


def _mean(arrays: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.mean([*arrays], axis=0))


def _histogram(
    ax: Axes, shares: npt.NDArray[np.floating], colour: str, line: str = "-", *, filled: bool = False
) -> float:
    """Draws shares of equal parts of -1 to 1 as multiples of the uniform density; returns the last one."""
    edges = np.linspace(-1, 1, len(shares) + 1)
    density = shares * len(shares)
    if filled:
        ax.stairs(density, edges, fill=True, color=colour, alpha=0.3, linewidth=0)
        ax.stairs(density, edges, color=colour, linewidth=0.6)
    else:
        ax.stairs(density, edges, color=colour, linewidth=1, linestyle=line)
    return float(density[-1])


def _bits_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    k = rows["k"].max()
    bits = mean_of(rows, "bits_of_move", k=k)
    return f"{network}: at K = {k} a selected network is sent in {bits:.2f} bits per connection, not {np.log2(k):.0f}"


@figure(
    "bits",
    "What a selected network costs to send",
    shows="Bits per connection, to someone who has the seed: to name the rank of the selected option among its "
    "connection's K (upper line), or how many levels of its staircase it has moved (lower line). Dashed: log2 K.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    finding=_bits_finding,
    value="bits_of_move",
    points="entropy of the levels that a connection has moved",
    unit=" bits",
)
def bits(done: pd.DataFrame, abreast: int) -> Figure:
    """The entropy of the choices."""
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        labels: list[Label] = []
        ks = np.array(sorted(rows["k"].unique()))
        ax.plot(ks, np.log2(ks), color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        for value, text, own in (
            ("bits_of_rank", "rank", Look("", GREY, "v")),
            ("bits_of_move", "move", look("greedy")),
        ):
            means = draw_points(ax, rows, own, value=value)
            labels.append((means["mean"].iloc[-1], f"{text}, {n_of(means)}", own.colour))
        k_axis(ax, list(ks))
        y_label(ax, "bits per connection")
        draw_labels(ax, labels)
    return picture


def _levels_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    k = rows["k"].max()
    return f"{network}: of K = {k} options, {mean_of(rows, 'levels', k=k):.1f} can be reached by any training"


@figure(
    "levels",
    "How many options can be reached at all",
    shows="The mean number of levels of a connection's staircase: the options that any training could make it select. "
    "Dashed: all K.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    finding=_levels_finding,
    value="levels",
    points="levels of a connection",
    unit=" levels",
)
def levels(done: pd.DataFrame, abreast: int) -> Figure:
    """Why many options cost no more than few."""
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        means = draw_points(ax, rows, look("greedy"), value="levels")
        top = 1.25 * float(means["mean"].max())
        shown = np.geomspace(ks[0], min(ks[-1], top), 20)
        ax.plot(shown, shown, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        ax.annotate(
            "all K", (shown[-1], shown[-1]), xytext=(3, -2), textcoords="offset points", fontsize=6.5, va="top",
            color=GREY,
        )  # fmt: skip
        ax.set_ylim(0, top)
        k_axis(ax, ks)
        y_label(ax, "reachable options")
        draw_labels(ax, [(means["mean"].iloc[-1], f"levels, {n_of(means)}", look("greedy").colour)])
    return picture


def _changing_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    last = ", ".join(f"{100 * mean_of(rows, 'changed', k=k):.2f} % at K = {k}" for k in sorted(rows["k"].unique()))
    return f"{network}: the choices of some connections still change in the last epoch, {last}"


@figure(
    "still-changing",
    "How many connections still change",
    shows="The share of connections whose selected weight at the end of an epoch is another than at the end of the "
    "epoch before, in greedy selection.",
    needs="greedy cells at K = 2, 8 or 64",
    rows=at_some_k,
    finding=_changing_finding,
    of="curves",
    value="changed",
    points="share of connections that changed in the last epoch",
    unit="",
    drawn="Lines are means over seeds.",
)
def still_changing(done: pd.DataFrame, abreast: int) -> Figure:
    """Whether selection settles."""
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        ks = sorted(rows["k"].unique())
        labels: list[Label] = []
        for k, (colour, line) in shades(ks).items():
            epochs = rows[rows["k"] == k].groupby("epoch")["changed"].agg(["mean", "size"])
            seeds = epochs["size"].iloc[0]
            mean = 100 * epochs.loc[epochs["size"] == seeds, "mean"]  # as long as all of them were trained
            ax.plot(mean.index, mean, line, color=colour, linewidth=1)
            labels.append((float(mean.iloc[-1]), f"K = {k}, n = {seeds}", colour))
        ax.set_ylim(0)
        ax.set_xlabel("epoch")
        y_label(ax, "connections changed (%)")
        draw_labels(ax, labels)
    return picture
