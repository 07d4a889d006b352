"""Learning curves: how fast each method gets where it ends."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    RANDOM_LABELS,
    Label,
    draw_labels,
    first_network,
    panels_of,
    y_label,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import LINES, look
from slotbench.report.figures.switches import switch
from slotbench.results.table import NETWORK
from slotbench.selection import SELECTIONS

SHOWN_K = 8


def _at_one_k(cells: pd.DataFrame) -> pd.DataFrame:
    """Every method that neither shares options nor is finetuned: at K = 8, or without K."""
    options = cells["selection"].map(lambda name: SELECTIONS[name].has_options)
    return cells[
        cells["decides"]
        & cells["finetune"].eq("none")
        & (cells["k"].eq(SHOWN_K) | ~options)
        & ~cells["dataset"].str.endswith(RANDOM_LABELS)
        & ~cells["selection"].str.startswith("greedy-shared")
    ]


def _finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    means = rows.groupby("selection", sort=False)[["best_epoch", "epochs"]].mean()
    told = [f"{best:.0f} of {epochs:.0f} of {look(str(name)).label}" for name, best, epochs in means.itertuples()]
    return f"{network}: validation accuracy is best, in the mean over seeds, at epoch {', '.join(told)}"


@figure(
    "learning-curves",
    "Validation accuracy over epochs",
    shows="Validation accuracy after each epoch, of every method at K = 8 or without K. A lottery ticket is pruned "
    "midway and begins again.",
    needs="cells at K = 8, or of a rule without options",
    rows=_at_one_k,
    finding=_finding,
    of="curves",
    value="validation_accuracy",
    points="validation accuracy at the best epoch",
    drawn="Lines are means over seeds.",
)
def learning_curves(done: pd.DataFrame, abreast: int) -> Figure:
    """A line for each method."""
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        labels: list[Label] = []
        own = [name for name in SELECTIONS if name in set(rows["selection"])]
        for name, line in zip(own, itertools.cycle(LINES), strict=False):
            epochs = rows[rows["selection"] == name].groupby("epoch")["validation_accuracy"].agg(["mean", "size"])
            seeds = epochs["size"].iloc[0]
            mean = epochs.loc[epochs["size"] == seeds, "mean"]  # as long as all of them were trained
            with switch(ax, look(name).label):
                ax.plot(mean.index, mean, line, color=look(name).colour, linewidth=1)
            labels.append((float(mean.iloc[-1]), f"{look(name).label}, n = {seeds}", look(name).colour))
        top = max(height for height, _, _ in labels)
        ax.set_ylim(top - 6, min(100, top + 0.8))  # the first epochs are far below
        ax.set_xlabel("epoch")
        y_label(ax, "validation accuracy (%)")
        draw_labels(ax, labels)
    return picture
