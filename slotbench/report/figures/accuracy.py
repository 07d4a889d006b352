"""Accuracy over K: of the paper's two rules, of a random network, of two recipes."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from slotbench.report import names
from slotbench.report.figures.parts import (
    BASELINES,
    Label,
    draw_labels,
    draw_over_k,
    draw_points,
    draw_published,
    first_network,
    k_axis,
    last_height,
    mean_of,
    n_of,
    over_k,
    panels_of,
    same_network,
    selected_by,
    signed,
    with_all,
    with_tuned,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, LINES, RANDOM, escape, look
from slotbench.report.figures.switches import switch
from slotbench.results import published
from slotbench.results.table import NETWORK, Collected, between, stopped_at, summary
from slotbench.selection import SELECTIONS

PAPER = "Grey diamonds and dashes: published, where the paper has a value."
THEIRS = "Crosses: runs of the authors' own code on a machine like ours, at its last epoch."
SOURCES = ("paper", "authors-code")
"""The recipes of the paper's sources; others change one of them."""
ELSEWHERE = ("greedy-shared-layer", "greedy-shared-network", "probabilistic")
"""Rules with options that have figures of their own beside greedy selection."""


def _main(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells and those of rules beyond the paper's, over K, and both baselines of the same networks."""
    rules = [name for name, entry in SELECTIONS.items() if entry.has_options and name not in ELSEWHERE]
    return with_tuned(with_all(selected_by(cells, [*rules, "learned"]), ["greedy"]), cells)


def _over_k_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    greedy = rows[rows["selection"] == "greedy"].groupby("k")["test_accuracy"].mean()
    learned, tuned = (mean_of(rows[rows["selection"] == "learned"], decides=by_recipe) for by_recipe in (True, False))
    k = 8 if 8 in greedy.index else greedy.index[-1]
    text = f"{network}: greedy selection reaches {greedy.loc[k]:.2f} % at K = {k}"
    theirs = mean_of(same_network(published.authors_code(), rows), k=k, selection="greedy")
    for other, words in (
        (learned, "learned weights"),
        (tuned, "learned weights at a tuned rate"),
        (theirs, "what the authors' own code gives here"),
    ):
        text += "" if np.isnan(other) else f", {signed(greedy.loc[k] - other)} from {words}"
    return text


@figure(
    "accuracy-over-k",
    "Accuracy over the number of options",
    shows=f"Selection over K. {BASELINES} The line of a rule breaks where the recipe's learning rate changes. {PAPER} "
    f"{THEIRS}",
    needs="greedy cells at K ≥ 2",
    rows=_main,
    finding=_over_k_finding,
)
def accuracy_over_k(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's main figure: how many options it takes to match learned weights."""
    rules = [name for name in SELECTIONS if name != "learned" and name in set(done["selection"])]
    return over_k(done, rules, abreast, authors_code=True)


def _beside(cells: pd.DataFrame) -> pd.DataFrame:
    """Probabilistic cells over K, greedy ones at the same K, and both baselines of the same networks."""
    rows = with_all(selected_by(cells, ["greedy", "probabilistic", "learned"]), ["greedy", "probabilistic"])
    compared = rows.loc[rows["selection"] == "probabilistic", [*NETWORK, "k"]].drop_duplicates()
    own = rows[rows["selection"] != "learned"].merge(compared, on=[*NETWORK, "k"])
    return with_tuned(pd.concat([own, rows[rows["selection"] == "learned"]]), cells)


def _stopped(collected: Collected, done: pd.DataFrame) -> pd.DataFrame:
    """The probabilistic cells of `done` as if training had ended after the epochs that greedy selection has there."""
    probabilistic = done[done["selection"] == "probabilistic"]
    early = [done[:0]]
    for _, greedy in done[done["selection"] == "greedy"].groupby(NETWORK):
        epochs = int(greedy["epochs"].max())
        longer = same_network(probabilistic[probabilistic["epochs"] > epochs], greedy)
        stopped = stopped_at(collected, epochs)
        early.append(stopped[stopped["record"].isin(longer["record"])])
    return pd.concat(early).assign(stopped=True)


def _beside_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    means = rows.pivot_table(index="k", columns="selection", values="test_accuracy")
    gap = (means["greedy"] - means["probabilistic"]).mean()
    return f"{network}: greedy selection minus probabilistic sampling is {signed(gap)} points, the mean over K"


@figure(
    "greedy-vs-probabilistic",
    "Greedy selection beside probabilistic sampling",
    shows="Greedy selection and probabilistic sampling over K; they stand slightly apart at each K so that all can be "
    "seen. By the recipe, probabilistic sampling trains longer; dotted, it is stopped after as many epochs as greedy "
    f"selection has. {BASELINES} {PAPER}",
    needs="greedy and probabilistic cells at K ≥ 2",
    rows=_beside,
    also=_stopped,
    finding=_beside_finding,
)
def greedy_vs_probabilistic(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's comparison of its two selection rules, at the recipe's epochs and at equal ones."""
    stopped = done["stopped"].notna()
    picture, panels = panels_of(done[~stopped & done["selection"].eq("probabilistic")], NETWORK, abreast)
    own = look("probabilistic")
    for ax, rows in panels:
        labels: list[Label] = []
        early = same_network(done[stopped], rows)
        if not early.empty:
            means = summary(early, ["k"])
            with switch(ax, own.label):
                ax.plot(means["k"], means["mean"], ":", color=own.colour, zorder=2)
            labels.append((means["mean"].iloc[-1], f"{own.label}, {between(early['epochs'])} epochs", own.colour))
        draw_over_k(ax, same_network(done[~stopped], rows), ["greedy", "probabilistic"], drawn=labels)
    return picture


def _one_and_two(cells: pd.DataFrame) -> pd.DataFrame:
    cells = cells[
        cells["decides"] & (cells["finetune"] == "none") & (cells["selection"] == "greedy") & cells["k"].isin([1, 2])
    ]
    return cells[cells.groupby(NETWORK)["k"].transform("nunique") == 2]


def _second_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    single, two = (mean_of(rows, k=k) for k in (1, 2))
    return f"{network}: a second option per connection takes a random network from {single:.1f} to {two:.1f} %"


@figure(
    "random-vs-two",
    "A random network beside two options",
    shows=f"A random network (K = 1) and greedy selection among two options (K = 2). {PAPER}",
    needs="greedy cells at K = 1 and at K = 2 of one network",
    rows=_one_and_two,
    finding=_second_finding,
)
def random_vs_two(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's first figure: what a second option per connection is worth."""
    del abreast  # one panel
    groups = list(done.groupby(NETWORK, sort=False))
    picture = Figure(figsize=(2.2 + 1.1 * len(groups), 2.6), layout="constrained")
    ax = picture.subplots()
    for place, (_, rows) in enumerate(groups):
        means = summary(rows, ["k"]).set_index("k")["mean"]
        ax.plot([place, place], means, color=GREY, linewidth=0.6, zorder=0)
        for k, own in ((1, RANDOM), (2, look("greedy"))):
            paper = same_network(published.values(), rows)
            paper = paper[(paper["selection"] == "greedy") & (paper["k"] == k)]
            draw_published(ax, paper, paper["k"] * 0 + place - 0.12)
            draw_points(ax, rows[rows["k"] == k].assign(place=place), own, x="place", line="")
            with switch(ax, own.label):
                ax.annotate(
                    f"{means[k]:.1f}", (place, means[k]), xytext=(7, 0), textcoords="offset points",
                    va="center", fontsize=7, color=own.colour,
                )  # fmt: skip
    ax.set_xticks(range(len(groups)), [escape(names.network(*network).replace(" on ", "\n")) for network, _ in groups])
    ax.set_xlim(-0.5, len(groups) - 0.3)
    ax.set_ylim(0, 105)
    ax.set_ylabel("test accuracy (%)")
    for k, text, own in ((1, "random network (K = 1)", RANDOM), (2, "greedy, K = 2", look("greedy"))):
        ours = summary(done[done["k"] == k], NETWORK)
        draw_labels(ax, [(ours["mean"].iloc[-1], f"{text}, {n_of(ours)}", own.colour)])
    return picture


def _of_recipes(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells at K that two recipes have, and learned ones of the same networks, of every recipe."""
    cells = cells[cells["decides"] | cells["recipe"].isin(SOURCES)]
    rows = selected_by(cells.assign(decides=True), ["greedy", "learned"]).assign(decides=cells["decides"])
    greedy = rows[rows["selection"] == "greedy"]
    several = greedy.groupby([*NETWORK, "k"])["recipe"].nunique().reset_index(name="recipes").query("recipes > 1")
    learned = rows[rows["selection"] == "learned"].merge(several[NETWORK].drop_duplicates(), on=NETWORK)
    return pd.concat([greedy.merge(several[[*NETWORK, "k"]], on=[*NETWORK, "k"]), learned])


def _recipes_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    greedy = rows[rows["selection"] == "greedy"].pivot_table(index="k", columns="recipe", values="test_accuracy")
    widest = (greedy.max(axis=1) - greedy.min(axis=1)).dropna()
    return f"{network}: recipes differ by up to {widest.max():.2f} points, at K = {widest.idxmax()}"


@figure(
    "recipes",
    "The recipes beside each other",
    shows="Greedy selection over K, and learned weights as horizontal lines, under each recipe; solid is the recipe "
    "that decides.",
    needs="greedy cells at K ≥ 2 of two or more recipes",
    rows=_of_recipes,
    finding=_recipes_finding,
)
def recipes(done: pd.DataFrame, abreast: int) -> Figure:
    """How far the numbers depend on which source's hyper-parameters are used."""
    order = done.sort_values("decides", ascending=False, kind="stable")["recipe"].unique()
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        labels: list[Label] = []
        for place, (name, line) in enumerate(zip(order, itertools.cycle(LINES), strict=False)):
            own = rows[rows["recipe"] == name]
            greedy = own[own["selection"] == "greedy"]
            if not greedy.empty:
                means = draw_points(ax, greedy, look("greedy"), shift=1 + 0.05 * place, line=line)
                labels.append(
                    (last_height(means, greedy), f"greedy, {escape(name)}, {n_of(means)}", look("greedy").colour)
                )
            height = mean_of(own, selection="learned")
            if not np.isnan(height):
                with switch(ax, look("learned").label):
                    ax.axhline(height, color=look("learned").colour, linewidth=1, linestyle=line, zorder=1)
                n = between([int((own["selection"] == "learned").sum())])
                labels.append((height, f"learned, {escape(name)}, n = {n}", look("learned").colour))
        k_axis(ax, list(rows.loc[rows["selection"] == "greedy", "k"]))
        draw_labels(ax, labels)
    return picture
