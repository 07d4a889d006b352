"""What training costs: FLOPs, memory, time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report import names
from slotbench.report.figures.parts import (
    RANDOM_LABELS,
    Label,
    draw_labels,
    draw_points,
    first_network,
    greedy_cells,
    k_axis,
    mean_of,
    signed,
    with_all,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import FINETUNED, GREY, PANEL, Look, escape, look
from slotbench.report.figures.switches import belong, switch
from slotbench.results.table import NETWORK, summary

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "step_cost.json"
"""What `python benchmarks/step_cost.py --json` has written."""
TICKS = 5000
"""Number of the first tick's label among the marks of its axes, of which there are fewer."""


def _costs(cells: pd.DataFrame) -> pd.DataFrame:
    """All of the deciding recipe but random networks and shared options, of which few can leave a network dead."""
    random = cells["selection"].eq("greedy") & cells["k"].eq(1) & cells["finetune"].eq("none")
    cells = cells[
        cells["decides"]
        & ~cells["dataset"].str.endswith(RANDOM_LABELS)
        & ~random
        & ~cells["selection"].str.startswith("greedy-shared")
    ]
    return with_all(cells, ["greedy", "learned"])


def _costs_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    greedy = rows[(rows["selection"] == "greedy") & (rows["finetune"] == "none")]
    cost = _total_flops(greedy).mean() / _total_flops(rows[rows["selection"] == "learned"]).mean()
    k = 8 if 8 in set(greedy["k"]) else greedy["k"].iloc[0]
    gap = mean_of(greedy, k=k) - mean_of(rows, selection="learned")
    return (
        f"{network}: at {cost:.2f} of learned weights' FLOPs, selection at K = {k} ends {signed(gap)} points from them"
    )


def _total_flops(rows: pd.DataFrame) -> pd.Series[float]:
    """FLOPs in units of 10¹², of all epochs up to the last: they cost the same in parent and child."""
    own = rows["epochs"] - rows["start_epoch"]
    return (rows["flops"] / own * rows["epochs"] / 1e12).astype(float)


@figure(
    "accuracy-vs-flops",
    "Accuracy beside the cost of training",
    shows="A row for each method: its test accuracy, the methods in the order of the FLOPs of all their epochs, "
    "forward and backward (right, in 10¹²); those of a finetuned network include the epochs of selection that it "
    "started from.",
    needs="greedy and learned cells of one network",
    rows=_costs,
    finding=_costs_finding,
)
def accuracy_vs_flops(done: pd.DataFrame, abreast: int) -> Figure:
    """Experiment 4 of the paper, and finetuning at equal cost."""
    done = done.assign(total=_total_flops(done))
    groups = [
        (network, list(rows.groupby(["selection", "k", "finetune"], sort=False)))
        for network, rows in done.groupby(NETWORK, sort=False)
    ]
    most = max(len(methods) for _, methods in groups)
    columns = min(len(groups), abreast, 2)
    lines = -(-len(groups) // columns)
    if columns == 1:  # each as high as its methods need
        heights = [len(methods) + 1.5 for _, methods in groups]
        picture = Figure(figsize=(3.9, 0.19 * sum(heights) + 0.8 * lines), layout="constrained")
        axes = picture.subplots(lines, 1, squeeze=False, height_ratios=heights).flat
    else:
        picture = Figure(figsize=(4.6 * columns, lines * (0.19 * most + 0.8)), layout="constrained")
        axes = picture.subplots(lines, columns, squeeze=False).flat
    for ax, (network, methods) in zip(axes, groups, strict=False):
        ax.set_title(escape(names.network(*network)))
        methods.sort(key=lambda method: (-method[1]["total"].mean(), _order(method[0])))
        _dots(ax, methods)
        ax.set_ylim(len(methods) - (len(methods) if columns == 1 else most) - 0.6, len(methods) - 0.4)
        ax.set_xlabel("test accuracy (%)")
    for unused in list(picture.axes)[len(groups) :]:
        unused.remove()
    return picture


def _order(point: Any) -> tuple[str, int, str]:
    """Of methods that cost the same: by name, more options first."""
    selection, k, finetune = point
    return selection, -k, finetune


def _look(selection: str, k: int, finetune: str) -> Look:
    del k
    return FINETUNED if finetune != "none" else look(selection)


def _dots(ax: Axes, methods: list[tuple[Any, pd.DataFrame]]) -> None:
    """A row of `ax` for each method, from the bottom up."""
    for place, (point, rows) in enumerate(methods):
        own = _look(*point)
        means = summary(rows.assign(row=place), ["row"])
        half = float(np.nan_to_num(means["half"].iloc[0]))
        mean = float(means["mean"].iloc[0])
        with switch(ax, own.label):
            ax.plot([0, 1], [place, place], transform=ax.get_yaxis_transform(), color=GREY, linewidth=0.3, zorder=0)
            ax.errorbar(
                mean, place, xerr=half or None, fmt=own.marker, color=own.colour, capsize=2, elinewidth=0.9,
                markerfacecolor=own.colour if len(rows) > 1 else "white", zorder=3,
            )  # fmt: skip
            cost, beside = f"{rows['total'].mean():.1f}", ("axes fraction", "data")
            ax.annotate(cost, (1.02, place), xycoords=beside, va="center", fontsize=6.5)
    ax.set_yticks(range(len(methods)), [names.method(*point).replace(" from epoch ", ", e") for point, _ in methods])
    ax.tick_params(axis="y", length=0, labelsize=6.5)
    for place, (label, (point, _)) in enumerate(zip(ax.get_yticklabels(), methods, strict=True)):
        belong(ax, label, _look(*point).label, TICKS + place)
    ax.spines["left"].set_visible(False)
    ax.annotate(
        "FLOPs",
        (1.02, 0),
        xycoords="axes fraction",
        xytext=(0, -5),
        textcoords="offset points",
        va="top",
        fontsize=6.5,
        color=GREY,
    )


def _memory_finding(done: pd.DataFrame) -> str:
    each = _bytes_each(done)
    low, high = each["k"].min(), each["k"].max()
    ours = [mean_of(each, "each", k=k) for k in (low, high)]
    return (
        f"Training state is {ours[0]:.0f} bytes per connection at K = {low} and {ours[1]:.0f} at K = {high}; the "
        f"textbook's K scores take {12 * low} and {12 * high}: at K = {low}, less than ours"
        if ours[0] > 12 * low
        else f"Training state is {ours[0]:.0f} bytes per connection at K = {low} and {ours[1]:.0f} at K = {high}; the "
        f"textbook's K scores take {12 * low} and {12 * high}"
    )


def _bytes_each(done: pd.DataFrame) -> pd.DataFrame:
    return done.assign(each=done["state_bytes"].astype(float) / done["connections"].astype(float))


@figure(
    "memory-and-time",
    "Memory and time over the number of options",
    shows="Bytes of training state per connection, weights included and gradients not: solid as measured in these "
    "cells; grey dashes are formulas, of implementations that keep K scores (at K = 2 they take less than the "
    "staircase). Where benchmarks/step_cost.json is there, also the time of a training step of LeNet beside plain "
    "SGD's, and that of the textbook's K scores, all measured.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
    finding=_memory_finding,
    value="state_bytes",
    points="bytes of training state",
    unit=" bytes",
)
def memory_and_time(done: pd.DataFrame, abreast: int) -> Figure:
    """What many options cost here, and elsewhere."""
    from slotbench.report import claims  # which needs no figure; imported here, since its schema takes a while

    done = _bytes_each(done)
    timed = _timed()
    columns = min(abreast, 1 + bool(timed))
    lines = (1 + bool(timed)) // columns
    picture = Figure(figsize=(PANEL[0] * columns + 0.9, PANEL[1] * lines + 0.3), layout="constrained")
    ax, *more = picture.subplots(lines, columns, squeeze=False).flat
    labels: list[Label] = []
    ks = np.array(sorted(done["k"].unique()))
    for name, floats in claims.load().floats.items():
        ax.plot(ks, 4 * ks * floats, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
        labels.append((4 * int(ks[-1]) * floats, f"{name} (formula)", GREY))
    for architecture, rows in done.groupby("architecture", sort=False):  # a dataset changes nothing in this
        means = draw_points(ax, rows, look("greedy"), value="each")
        label = f"{names.architecture_label(architecture)} (measured)"
        labels.append((means["mean"].iloc[-1], escape(label), look("greedy").colour))
    _logarithmic(ax, ks, labels, "bytes per connection")
    if timed:
        _logarithmic(more[0], *_draw_times(more[0], timed), "ms per training step")
    return picture


def _timed() -> list[dict[str, Any]]:
    """Rows of the committed benchmark about LeNet; none where it is not there."""
    if not BENCHMARK.exists():
        return []
    return [row for row in json.loads(BENCHMARK.read_text(encoding="utf-8")) if row["architecture"] == "lenet"]


def _draw_times(ax: Axes, timed: list[dict[str, Any]]) -> tuple[npt.NDArray[np.int64], list[Label]]:
    """Milliseconds a step over K, of what has several K; plain SGD as a line."""
    labels: list[Label] = []
    kinds = {"greedy": (look("greedy"), "greedy"), "textbook": (Look("", GREY, "s"), "K scores (textbook)")}
    for selection, (own, text) in kinds.items():
        fastest: dict[int, float] = {}
        for row in timed:
            if row["selection"] == selection:
                fastest[row["k"]] = min(row["ms_per_step"], fastest.get(row["k"], np.inf))
        rows = sorted(fastest.items())
        if rows:
            ax.plot(*zip(*rows, strict=True), marker=own.marker, color=own.colour)
            labels.append((rows[-1][1], text, own.colour))
    for row in timed:
        if row["selection"] == "plain":
            ax.axhline(row["ms_per_step"], color=look("learned").colour)
            labels.append((row["ms_per_step"], "plain SGD", look("learned").colour))
    return np.array(sorted({row["k"] for row in timed if row["selection"] in kinds})), labels


def _logarithmic(ax: Axes, ks: npt.NDArray[np.int64], labels: list[Label], name: str) -> None:
    """Both axes in powers, with labels at the heights of their lines."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    k_axis(ax, [int(k) for k in ks])
    ax.set_ylim(low, high)
    ax.set_ylabel(name)
    ax.set_xlabel("K, options per connection")
    # `draw_labels` places by heights on a linear axis
    share = [(np.log(height / low) / np.log(high / low), text, colour) for height, text, colour in labels]
    twin = ax.twinx()
    twin.set_ylim(0, 1)
    twin.set_axis_off()
    draw_labels(twin, [(float(height), text, colour) for height, text, colour in share])
