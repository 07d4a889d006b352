"""The method at a glance: staircases of single connections. Drawn from a seed, without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slotbench.report.figures.parts import draw_labels, greedy_cells
from slotbench.report.figures.registry import figure
from slotbench.report.figures.style import GREY, PANEL, look, shades

if TYPE_CHECKING:  # torch is imported only where a staircase is drawn
    from slotbench.selection.options import Options

Floats = npt.NDArray[np.float32]

REACH = 2.0
"""The trained number is drawn from -REACH to REACH, in units of the layer's Glorot deviation."""
CONNECTIONS = 3
BOUND = 3**0.5
"""of options and initial scores, in the same units, as in recipe `authors-code`"""


def _known_ks(cells: pd.DataFrame) -> pd.DataFrame:
    return greedy_cells(cells[cells["k"].isin([8, 64])])


@figure(
    "staircases",
    "The staircases of three connections",
    shows="What greedy selection makes of three connections of the first layer, by b, the one number of a connection "
    "that is trained (a = 1): steps are its levels, a dot is where training starts, grey bars at the right are the "
    "options that no b selects. In units of the layer's Glorot deviation. Drawn from seed 0; no training is in it.",
    needs="greedy cells at K = 8 or 64",
    rows=_known_ks,
    finding=lambda _: "A connection climbs a staircase of a few of its options; most are never reached",
    counted=False,
)
def staircases(done: pd.DataFrame, abreast: int) -> Figure:
    """The method at a glance."""
    ks = sorted(set(done["k"]))
    columns = min(len(ks), abreast)
    lines = -(-len(ks) // columns)
    picture = Figure(figsize=(PANEL[0] * columns + 0.7, (PANEL[1] + 0.2) * lines), layout="constrained")
    axes = picture.subplots(lines, columns, squeeze=False, sharey=True).flat
    for place, (ax, k) in enumerate(zip(axes, ks, strict=True)):
        draw_staircases(ax, int(k))
        ax.set_title(f"K = {k}")
        ax.set_xlabel("b")
        if place % columns == 0:
            ax.set_ylabel("selected weight")
    return picture


def draw_slot(lines: Axes, stairs: Axes, k: int) -> None:
    """The second connection of seed 0, whose steps are wide enough to be seen: on `lines` the K scores over θ and which
    is on top, on `stairs` what is selected."""
    options, scores = (values[1].astype(float) for values in first_connections(0, k, 2))
    theta = np.linspace(-REACH, REACH, 2001)
    heights = scores[:, None] + options[:, None] * theta
    top, own = heights.argmax(0), look("greedy")
    for height in heights:
        lines.plot(theta, height, color=GREY, linewidth=0.7)
    lines.plot(theta, heights.max(0), color=own.colour, linewidth=2.2)
    stairs.plot(theta, options[top], color=own.colour, linewidth=1.6)
    for ax, value in ((lines, heights.max(0)), (stairs, options[top])):
        ax.plot(0, value[len(theta) // 2], "o", color=own.colour, markersize=4.5)
        ax.set_xlim(-REACH, REACH)
    lines.set_ylabel("score")
    lines.tick_params(labelbottom=False)
    stairs.set_ylabel("weight")
    stairs.set_xlabel("θ, what is trained; dot: the start")


def first_connections(seed: int, k: int, connections: int) -> tuple[Floats, Floats]:
    """Options and initial scores of the first connections of the first layer, each [connections, K], in units of the
    layer's Glorot deviation."""
    return _first_options(seed, k, connections).whole()


def _first_options(seed: int, k: int, connections: int) -> Options:
    from slotbench.selection.options import Options

    return Options(connections, k, seed=seed, layer=0, option_bound=BOUND, score_bound=BOUND)


def draw_staircases(ax: Axes, k: int, connections: int = CONNECTIONS) -> None:
    """The staircases of the first connections of seed 0's first layer, labelled, with the options never selected."""
    from slotbench.selection.staircase import build

    options = _first_options(0, k, connections)
    offered, _ = options.whole()
    stairs = build(options, np.float64)
    labels = []
    for place, (colour, line) in shades(list(range(connections))).items():
        own = slice(stairs.first[place], stairs.first[place + 1])
        climbs, corners = stairs.levels[own], stairs.breakpoints[own][1:]
        low, high = np.searchsorted(corners, [-REACH, REACH])
        ax.stairs(
            climbs[low : high + 1], [-REACH, *corners[low:high], REACH], baseline=None, color=colour, linewidth=1.3,
            linestyle=line,
        )  # fmt: skip
        ax.plot(0, climbs[np.searchsorted(corners, 0.0)], "o", color=colour, markersize=4)
        never = np.setdiff1d(offered[place], climbs)
        ax.plot(np.full(len(never), REACH * (1.04 + 0.04 * place)), never, "_", color=GREY, markersize=3)
        labels.append((float(climbs[high]), f"connection {place + 1}", colour))
    ax.set_xlim(-REACH, REACH * 1.16)
    ax.set_ylim(-BOUND * 1.1, BOUND * 1.1)
    draw_labels(ax, labels)
