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

from slotbench.report.figures.parts import (
    RANDOM_LABELS,
    Label,
    draw_labels,
    draw_points,
    greedy_cells,
    k_axis,
    panels_of,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, LOOKS, PANEL, escape
from slotbench.results.table import NETWORK, summary

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "step_cost.json"
"""What `python benchmarks/step_cost.py --json` has written."""


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
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        seen: dict[str, Label] = {}
        options: list[tuple[float, Label]] = []
        for (selection, k, start), some in rows.groupby(["selection", "k", "finetune"], sort=True):
            look = LOOKS["finetuned" if start != "none" else str(selection)]
            means = summary(some.assign(one=0), ["one"])
            mean = float(means["mean"].iloc[0])
            draw_points(ax, means.assign(k=float(some["total"].mean())), look, line="")
            if selection in ("greedy", "probabilistic") and start == "none":
                options.append((float(some["total"].mean()), (mean, str(k), look.ink)))
            seen[look.label] = (mean, look.label, look.ink)
        ax.set_xlabel("FLOPs of training (10¹²)")
        low, high = ax.get_ylim()
        low, high = ax.set_ylim(max(low, 0), min(high, 100))
        draw_labels(ax, list(seen.values()))
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
    "memory-and-time",
    "Memory and time over the number of options",
    shows="Bytes of training state per connection, weights included and gradients not: as measured in these cells, and "
    "(grey) of implementations that keep K scores. Where benchmarks/step_cost.json is there, also the time of a "
    "training step of LeNet beside plain SGD's, and that of the textbook's K scores.",
    needs="greedy cells at K ≥ 2",
    rows=greedy_cells,
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
        draw_points(ax, means, LOOKS["greedy"])
        labels.append((means["mean"].iloc[-1], escape(architecture), LOOKS["greedy"].ink))
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
