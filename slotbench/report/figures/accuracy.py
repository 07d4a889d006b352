"""Accuracy over K, of the paper's two rules, of a random network, of two recipes."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    PAPER,
    Label,
    draw_labels,
    draw_points,
    k_axis,
    n_of,
    over_k,
    panels_of,
    same_network,
    selected_by,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, LINES, LOOKS, escape
from slotbench.results import published
from slotbench.results.table import NETWORK, summary


@figure(
    "accuracy-over-k",
    "Accuracy over the number of options",
    shows="Greedy selection over K, beside learned weights (line and band)." + PAPER,
    needs="greedy cells at K ≥ 2",
    rows=lambda cells: selected_by(cells, ["greedy", "learned"]),
)
def accuracy_over_k(done: pd.DataFrame) -> Figure | None:
    """The paper's main figure: how many options it takes to match learned weights."""
    return over_k(done, ["greedy"])


@figure(
    "greedy-vs-probabilistic",
    "Greedy selection beside probabilistic sampling",
    shows="Greedy selection and probabilistic sampling over K, beside learned weights (line and band); the "
    "two stand slightly apart at each K so that both can be seen." + PAPER,
    needs="greedy and probabilistic cells at K ≥ 2",
    rows=lambda cells: selected_by(cells, ["greedy", "probabilistic", "learned"]),
)
def greedy_vs_probabilistic(done: pd.DataFrame) -> Figure | None:
    """The paper's comparison of its two selection rules."""
    return over_k(done, ["greedy", "probabilistic"])


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
            paper = same_network(published.values(), rows)
            paper = paper[(paper["selection"] == "greedy") & (paper["k"] == k)]
            ax.errorbar(
                [place] * len(paper), paper["mean"], paper["uncertainty"], fmt=look.marker, color=GREY,
                markerfacecolor="none", markersize=8, markeredgewidth=0.8, elinewidth=0.6, zorder=1,
            )  # fmt: skip
            ours = summary(rows[rows["k"] == k], ["k"]).assign(k=float(place))
            draw_points(ax, ours, look)
            ax.annotate(
                f"{means[k]:.1f}", (place, means[k]), xytext=(7, 0), textcoords="offset points",
                va="center", fontsize=7, color=look.ink,
            )  # fmt: skip
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.3)
    ax.set_ylim(0, 105)
    ax.set_ylabel("test accuracy (%)")
    for k, text, name in ((1, "random network (K = 1)", "random"), (2, "greedy, K = 2", "greedy")):
        n = n_of(summary(done[done["k"] == k], NETWORK))
        draw_labels(ax, [(means[k], f"{text}, {n}", LOOKS[name].ink)])
    return picture


@figure(
    "recipes",
    "The recipes beside each other",
    shows="Greedy selection over K, and learned weights as horizontal lines, under each recipe; solid is the "
    "recipe that decides.",
    needs="greedy cells at K ≥ 2 of two or more recipes",
    rows=lambda cells: selected_by(cells.assign(decides=True), ["greedy", "learned"]).assign(decides=cells["decides"]),
)
def recipes(done: pd.DataFrame) -> Figure | None:
    """How far the numbers depend on which source's hyper-parameters are used."""
    greedy = done[done["selection"] == "greedy"]
    names = greedy.sort_values("decides", ascending=False, kind="stable")["recipe"].unique()
    if len(names) < 2:
        return None
    picture, panels = panels_of(greedy, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        for place, (name, line) in enumerate(zip(names, itertools.cycle(LINES), strict=False)):
            means = summary(rows[rows["recipe"] == name], ["k"])
            if means.empty:
                continue
            draw_points(ax, means, LOOKS["greedy"], shift=1 + 0.05 * place, line=line)
            labels.append((means["mean"].iloc[-1], f"{escape(name)}, {n_of(means)}", LOOKS["greedy"].ink))
            network = same_network(done, rows)
            learned = network[(network["selection"] == "learned") & (network["recipe"] == name)]
            if not learned.empty:
                height = float(learned["test_accuracy"].mean())
                ax.axhline(height, color=LOOKS["learned"].colour, linewidth=1, linestyle=line, zorder=1)
                labels.append((height, f"learned, {escape(name)}", LOOKS["learned"].ink))
        k_axis(ax, list(rows["k"]))
        draw_labels(ax, labels)
    return picture
