"""What ordinary training adds to a selected network."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import (
    BASELINES,
    Label,
    draw_labels,
    draw_points,
    first_network,
    k_axis,
    last_height,
    learned_line,
    mean_of,
    n_of,
    panels_of,
    same_network,
    signed,
    with_tuned,
)
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import FINETUNED, LINES, look
from slotbench.results.table import NETWORK


def _finetuned(cells: pd.DataFrame) -> pd.DataFrame:
    """Finetuned cells of the deciding recipe, the cells they start from, and both baselines of the same networks."""
    own = cells[cells["decides"]]
    finetuned = own[own["finetune"] != "none"]
    parents = own.merge(finetuned[[*NETWORK, "selection", "k", "seed"]].drop_duplicates())
    learned = own[own["selection"] == "learned"].merge(finetuned[NETWORK].drop_duplicates())
    return with_tuned(pd.concat([parents, learned]), cells)


def _finding(done: pd.DataFrame) -> str:
    network, rows = first_network(done)
    finetuned, plain = rows[rows["finetune"] != "none"], rows[rows["finetune"] == "none"]
    k = 8 if 8 in set(finetuned["k"]) else finetuned["k"].iloc[0]
    gain = mean_of(finetuned, k=k) - mean_of(plain, k=k)
    beyond = mean_of(finetuned, k=k) - mean_of(plain, selection="learned", decides=True)
    text = f"{network}: finetuning adds {signed(gain)} points at K = {k}"
    return text + ("" if np.isnan(beyond) else f", and ends {signed(beyond)} from learned weights")


@figure(
    "finetuning",
    "Finetuning the selected network",
    shows="The selected network, and the same after ordinary training from its checkpoint (e100: of epoch 100), over "
    f"K. {BASELINES}",
    needs="finetuned cells and the cells that they start from",
    rows=_finetuned,
    finding=_finding,
)
def finetuning(done: pd.DataFrame, abreast: int) -> Figure:
    """Selected → finetuned at each K; a line for each checkpoint that finetuning started from."""
    picture, panels = panels_of(done[done["finetune"] != "none"], [*NETWORK, "selection"], abreast)
    for ax, rows in panels:
        name = rows["selection"].iloc[0]
        network = same_network(done, rows)
        selected = network[
            (network["selection"] == name) & (network["finetune"] == "none") & network["k"].isin(rows["k"])
        ]
        labels: list[Label] = learned_line(ax, network)
        if not selected.empty:
            means = draw_points(ax, selected, look(name), shift=0.96)
            text = f"{look(name).label}, selected, {n_of(means)}"
            labels.append((last_height(means, selected), text, look(name).colour))
        starts = sorted(rows["finetune"].unique(), key=lambda start: int(start[1:]))
        for place, (start, line) in enumerate(zip(starts, itertools.cycle(LINES), strict=False)):
            own = rows[rows["finetune"] == start]
            means = draw_points(ax, own, FINETUNED, shift=1.04 + 0.06 * place, line=line)
            labels.append((last_height(means, own), f"finetuned ({start}), {n_of(means)}", FINETUNED.colour))
        k_axis(ax, list(rows["k"]))
        draw_labels(ax, labels)
    return picture
