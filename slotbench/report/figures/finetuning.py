"""What ordinary training adds to a selected network."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.figure import Figure

from slotbench.report.figures.parts import draw_labels, draw_points, k_axis, learned_line, n_of, panels_of, same_network
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import LINES, LOOKS
from slotbench.results.table import NETWORK, summary


@figure(
    "finetuning",
    "Finetuning the selected network",
    shows="The selected network, and the same after ordinary training from its checkpoint (e100: of epoch "
    "100), over K, beside weights learned from scratch (line and band).",
    needs="finetuned cells and the cells that they start from",
    rows=lambda cells: _finetuned(cells),
)
def finetuning(done: pd.DataFrame) -> Figure | None:
    """Selected → finetuned at each K; a line for each checkpoint that finetuning started from."""
    tuned = done[done["finetune"] != "none"]
    if tuned.empty:
        return None
    picture, panels = panels_of(tuned, [*NETWORK, "selection"])
    for ax, rows in panels:
        name = rows["selection"].iloc[0]
        network = same_network(done, rows)
        selected = summary(network[(network["selection"] == name) & (network["finetune"] == "none")], ["k"])
        selected = selected[selected["k"].isin(rows["k"])]
        labels = learned_line(ax, network)
        if not selected.empty:
            draw_points(ax, selected, LOOKS[name], shift=0.96)
            labels.append((selected["mean"].iloc[-1], f"selected ({name}), {n_of(selected)}", LOOKS[name].ink))
        look = LOOKS["finetuned"]
        starts = sorted(rows["finetune"].unique(), key=lambda start: int(start[1:]))
        for place, (start, line) in enumerate(zip(starts, itertools.cycle(LINES), strict=False)):
            means = summary(rows[rows["finetune"] == start], ["k"])
            draw_points(ax, means, look, shift=1.04 + 0.06 * place, line=line)
            labels.append((means["mean"].iloc[-1], f"finetuned ({start}), {n_of(means)}", look.ink))
        k_axis(ax, list(rows["k"]))
        draw_labels(ax, labels)
    return picture


def _finetuned(cells: pd.DataFrame) -> pd.DataFrame:
    """Finetuned cells of the deciding recipe, the cells they start from, and learned of the same networks."""
    cells = cells[cells["decides"]]
    tuned = cells[cells["finetune"] != "none"]
    parents = cells.merge(tuned[[*NETWORK, "selection", "k", "seed"]].drop_duplicates())
    learned = cells[cells["selection"] == "learned"].merge(tuned[NETWORK].drop_duplicates())
    return pd.concat([parents, learned])
