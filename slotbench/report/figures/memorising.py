"""How far selection memorises labels drawn at random."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    RANDOM_LABELS,
    Label,
    draw_labels,
    draw_points,
    first_network,
    mean_of,
    n_of,
    panels_of,
    y_label,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import look
from slotbench.results.table import NETWORK
from slotbench.selection import SELECTIONS


def _with_random_labels(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with random labels, of the recipe that trains them longest; of the deciding one, those with their own."""
    cells = cells[cells["finetune"].eq("none")]
    axes = [*NETWORK, "selection", "k"]
    random = cells[cells["dataset"].str.endswith(RANDOM_LABELS)]
    longest = random[random["epochs"].eq(random.groupby(axes)["epochs"].transform("max"))]
    own = longest[axes].assign(dataset=longest["dataset"].str.removesuffix(RANDOM_LABELS)).drop_duplicates()
    return pd.concat([cells[cells["decides"]].merge(own, on=axes), longest])


def _finding(done: pd.DataFrame) -> str:
    _, rows = first_network(done[done["dataset"].str.endswith(RANDOM_LABELS)])
    shares = [
        f"{look(name).label} {mean_of(rows, 'train_accuracy', selection=name):.1f} %"
        for name in SELECTIONS
        if name in set(rows["selection"])
    ]
    return f"Of labels drawn at random, these shares of the training images are memorised: {', '.join(shares)}"


@figure(
    "random-labels",
    "Random labels: what can be memorised",
    shows="Accuracy on the training images at the last epoch, with their own labels and with labels drawn at random. "
    "The epochs in the labels are those of random labels; with their own, cells are trained as the recipe says.",
    needs="cells of a dataset with random labels",
    rows=_with_random_labels,
    finding=_finding,
    value="train_accuracy",
    points="accuracy on the training images at the last epoch",
)
def random_labels(done: pd.DataFrame, abreast: int) -> Figure:
    """How far selection alone memorises (after Maennel et al. 2020)."""
    done = done.assign(
        random=done["dataset"].str.endswith(RANDOM_LABELS).astype(float),
        dataset=done["dataset"].str.removesuffix(RANDOM_LABELS),
    )
    picture, panels = panels_of(done, NETWORK, abreast)
    for ax, rows in panels:
        labels: list[Label] = []
        for (selection, k), own in rows.groupby(["selection", "k"], sort=False):
            mark = look(str(selection))
            means = draw_points(ax, own, mark, value="train_accuracy", x="random")
            text = f"{mark.label}, K = {k}" if SELECTIONS[str(selection)].has_options else mark.label
            text += f", {int(own.loc[own['random'] == 1, 'epochs'].max())} epochs"
            labels.append((means["mean"].iloc[-1], f"{text}, {n_of(means)}", mark.colour))
        ax.set_xticks([0, 1], ["own labels", "random labels"])
        ax.set_xlim(-0.3, 1.3)
        ax.set_ylim(0, 105)
        ax.set_xlabel("")
        y_label(ax, "training accuracy (%)")
        draw_labels(ax, labels)
    return picture
