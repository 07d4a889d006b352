"""How far selection memorises labels drawn at random."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import RANDOM_LABELS, Label, draw_labels, draw_points, n_of, panels_of, y_label
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import LOOKS
from slotbench.results.table import NETWORK, summary


@figure(
    "random-labels",
    "Random labels: what can be memorised",
    shows="Accuracy on the training images at the last epoch, with their own labels and with labels drawn at random, "
    "for greedy selection and for learned weights.",
    needs="cells of a dataset with random labels",
    rows=lambda cells: _with_random_labels(cells),
    value="train_accuracy",
    points="accuracy on the training images at the last epoch",
)
def random_labels(done: pd.DataFrame) -> Figure | None:
    """How far selection alone memorises (after Maennel et al. 2020)."""
    done = done.assign(
        random=done["dataset"].str.endswith(RANDOM_LABELS), dataset=done["dataset"].str.removesuffix(RANDOM_LABELS)
    )
    done = done[done.groupby(NETWORK)["random"].transform("any")]
    if done.empty:
        return None
    picture, panels = panels_of(done, NETWORK)
    for ax, rows in panels:
        labels: list[Label] = []
        for (selection, k), some in rows.groupby(["selection", "k"], sort=False):
            look = LOOKS[str(selection)]
            means = summary(some, ["random"], "train_accuracy")
            draw_points(ax, means.assign(k=means["random"].astype(float)), look)
            text = f"{look.label}, K = {k}" if selection == "greedy" else look.label
            labels.append((means["mean"].iloc[-1], f"{text}, {n_of(means)}", look.ink))
        ax.set_xticks([0, 1], ["own labels", "random labels"])
        ax.set_xlim(-0.3, 1.3)
        ax.set_ylim(0, 105)
        ax.set_xlabel("")
        y_label(ax, "training accuracy (%)")
        draw_labels(ax, labels)
    return picture


def _with_random_labels(cells: pd.DataFrame) -> pd.DataFrame:
    """Greedy and learned cells with random labels, and the same ones with their own."""
    cells = cells[cells["decides"] & cells["finetune"].eq("none") & cells["selection"].isin(["greedy", "learned"])]
    axes = [*NETWORK, "selection", "k"]
    random = cells.loc[cells["dataset"].str.endswith(RANDOM_LABELS), axes].drop_duplicates()
    both = pd.concat([random, random.assign(dataset=random["dataset"].str.removesuffix(RANDOM_LABELS))])
    return cells.merge(both, on=axes)
