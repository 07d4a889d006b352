"""Selection beside other ways to a network: shared options, other rules, pruned weights."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    RANDOM_LABELS,
    draw_points,
    first_network,
    mean_of,
    over_k,
    panels_of,
    selected_by,
    tuned_of,
    with_all,
    with_tuned,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import TUNED, Look, look
from slotbench.report.figures.switches import switch
from slotbench.results.table import NETWORK
from slotbench.selection import SELECTIONS

SHARED = ["greedy-shared-layer", "greedy-shared-network"]


def _shared(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy cells with shared options, and those without at the same K."""
    cells = with_all(selected_by(cells, ["greedy", *SHARED]), ["greedy", *SHARED])
    return cells.merge(cells.loc[cells["selection"] != "greedy", [*NETWORK, "k"]].drop_duplicates())


def never_moved(done: pd.DataFrame) -> pd.Series[bool]:
    """Which cells selected the same weights in their last epoch as before, with the accuracy of a guess."""
    return done["changed"].eq(0) & done["test_accuracy"].lt(20)


def _sharing_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    shared = rows[rows["selection"] != "greedy"]
    most, fewest = shared["k"].max(), shared["k"].min()
    stuck = shared[shared["k"] == fewest]
    gap = mean_of(shared, k=most, selection=SHARED[0]) - mean_of(rows, k=most, selection="greedy")
    return (
        f"{network}: at K = {most}, options shared per layer cost {-gap:.2f} points; at K = {fewest}, "
        f"{int(never_moved(stuck).sum())} of {len(stuck)} networks with shared options never moved"
    )


@figure(
    "sharing",
    "Options that connections share",
    shows="Greedy selection over K where each connection has options of its own, where all connections of a layer have "
    "the same, and where all connections of the network have. Where seeds disagree by more than a mean could say, "
    "they stand alone. A network that guesses after training never moved: its choice did not change.",
    needs="greedy cells with shared options, per layer and per network, and without",
    rows=_shared,
    finding=_sharing_finding,
)
def sharing(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's experiment on sharing."""
    return over_k(done, ["greedy", *SHARED], abreast, beside=False)


def _comparators(cells: pd.DataFrame) -> pd.DataFrame:
    """At K = 8, or without K: all rules but those that share, where there is one that is not of the paper's figures."""
    eight = cells["k"].eq(8) | ~cells["selection"].map(lambda name: SELECTIONS[name].has_options)
    own = cells[
        cells["decides"]
        & cells["finetune"].eq("none")
        & eight
        & ~cells["dataset"].str.endswith(RANDOM_LABELS)
        & ~cells["selection"].isin([*SHARED, "probabilistic"])
    ]
    other = own.groupby(NETWORK)["selection"].transform(lambda rules: bool(set(rules) - {"greedy", "learned"}))
    return with_tuned(own[other.astype(bool)], cells)


def _ways(rows: pd.DataFrame) -> Iterator[tuple[Look, pd.DataFrame]]:
    """How each way to a network looks, and its cells: the rules in their order, learned weights at either rate."""
    for name in SELECTIONS:
        own = rows[rows["decides"] & (rows["selection"] == name)]
        if not own.empty:
            yield look(name), own
        if name == "learned" and not (tuned := tuned_of(rows)).empty:
            yield TUNED, tuned


def _comparators_finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    means = sorted(((mean_of(cells), own.label) for own, cells in _ways(rows)), reverse=True)
    return f"{network}: {'; '.join(f'{label} {mean:.2f}' for mean, label in means)} %"


@figure(
    "comparators",
    "Beside other ways to a network",
    shows="Greedy selection at K = 8, and the other ways to a network: subnetworks of random weights (as their "
    "authors train them, untuned here), learned weights pruned and learned again (lottery ticket), and "
    "learned weights, at the recipe's learning rate and at a tuned one, where it was trained.",
    needs="greedy cells at K = 8, and one of edge-popup, supermask and lottery ticket",
    rows=_comparators,
    finding=_comparators_finding,
)
def comparators(done: pd.DataFrame, abreast: int) -> Figure:
    """The paper's table of other methods."""
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        ways = list(_ways(rows))
        for place, (own, cells) in enumerate(ways):
            means = draw_points(ax, cells.assign(place=place), own, x="place", line="")
            with switch(ax, own.label):
                ax.annotate(
                    f"{means['mean'].iloc[0]:.2f}", (place, means["mean"].iloc[0]), xytext=(6, 0),
                    textcoords="offset points", va="center", fontsize=7, color=own.colour,
                )  # fmt: skip
        ax.set_xticks(range(len(ways)), [own.label.replace("-", "-\n").replace(" ", "\n") for own, _ in ways])
        ax.tick_params(axis="x", labelsize=6.5)
        ax.set_xlim(-0.4, len(ways) - 0.2)
        ax.set_ylim(top=min(ax.get_ylim()[1], 100))
        ax.set_xlabel("")
    return picture
