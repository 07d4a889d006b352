"""The staircase of docs/method.md's example as a figure: run, this script writes staircase.svg beside itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from slotbench.report.figures.style import GREY, METADATA, look, styled

WEIGHTS, SCORES = np.array([-1.0, 0.2, 1.0, 0.5]), np.array([0.1, 0.5, 0.3, 0.2])
CORNERS = (-1 / 3, 1 / 4)
"""Where the option on top changes: option 1, then 2, then 3; option 4 is nowhere on top."""


def draw() -> Figure:
    """Above, the scores of four options over θ; below, the weight that greedy selection takes."""
    picture = Figure(figsize=(5.4, 4.2), layout="constrained")
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    theta = np.linspace(-1, 1, 401)
    scores = SCORES[:, None] + WEIGHTS[:, None] * theta
    for k, (line, weight) in enumerate(zip(scores, WEIGHTS, strict=True), start=1):
        above.plot(theta, line, color=GREY, linewidth=0.9)
        above.annotate(f"k = {k}: w = {weight:g}", (-1.04, line[0]), ha="right", va="center")
    colour = look("greedy").colour
    above.plot(theta, scores.max(0), color=colour, linewidth=2.6)
    above.annotate("on top: the upper envelope", (-0.28, 1.02), color=colour)
    above.set_xlim(-1.5, 1.05)
    above.set_ylabel("score / a = s⁰ + w · θ")
    levels = WEIGHTS[scores.argmax(0)]
    below.step(theta, levels, color=colour, linewidth=2.6)
    for corner in CORNERS:
        for ax in (above, below):
            ax.axvline(corner, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    below.annotate("start", (0.0, -0.25), color=colour, ha="center")
    below.plot(0, 0.2, "o", color=colour)
    below.set_yticks(WEIGHTS[:3])
    below.set_xticks([-1, CORNERS[0], 0, CORNERS[1], 1], ["-1", "-1/3", "0", "1/4", "1"])
    below.set_ylabel("selected weight")
    below.set_xlabel("θ = b / a: how far training has pushed")
    return picture


if __name__ == "__main__":
    with styled():
        draw().savefig(Path(__file__).with_suffix(".svg"), metadata=METADATA["svg"])
