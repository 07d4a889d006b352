"""Selection beside other ways to a network: shared options, subnetworks, pruned weights."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import RANDOM_LABELS, at_eight, draw_points, over_k, panels_of, selected_by
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import LOOKS
from slotbench.results.table import NETWORK, summary

SHARING = ["greedy", "greedy-shared-layer", "greedy-shared-network"]


SUBNETWORKS = ["edge-popup", "supermask", "lottery-ticket"]


@figure(
    "sharing",
    "Options that connections share",
    shows="Greedy selection over K where each connection has options of its own, where all connections of a layer have "
    "the same, and where all connections of the network have.",
    needs="greedy cells with shared options, per layer and per network, and without",
    rows=lambda cells: selected_by(cells, SHARING),
)
def sharing(done: pd.DataFrame) -> Figure | None:
    """The paper's experiment on sharing."""
    shared = done.loc[done["selection"] != "greedy", [*NETWORK, "k"]].drop_duplicates()
    return over_k(done.merge(shared), SHARING)


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
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        names = [name for name in ("greedy", *SUBNETWORKS, "learned") if name in set(rows["selection"])]
        for place, name in enumerate(names):
            means = summary(rows[rows["selection"] == name], ["selection"])
            draw_points(ax, means.assign(k=place), LOOKS[name], line="")
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
    return cells[cells["decides"] & cells["finetune"].eq("none") & (without | at_eight(cells))]
