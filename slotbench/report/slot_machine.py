"""One connection to play with, as a part of a page: of the report, and of the docs."""

from __future__ import annotations

from typing import Any

from slotbench.report.figures.method import first_connections
from slotbench.report.tables import HTML

KS = (2, 4, 8, 16, 32)
SEEDS = tuple(range(5))
DIGITS = 4


def html() -> str:
    """The part: controls, an SVG and the script that draws it."""
    return HTML.get_template("slot-machine.html").render(machines=machines())


def machines() -> dict[str, Any]:
    """The real first connection of the first layer for each K and seed: its options and its initial scores, in units of
    the layer's Glorot deviation."""
    return {
        "ks": KS,
        "seeds": SEEDS,
        "options": {k: {seed: _connection(seed, k) for seed in SEEDS} for k in KS},
    }


def _connection(seed: int, k: int) -> list[list[float]]:
    options, scores = first_connections(seed, k, 1)
    return [[round(float(value), DIGITS) for value in values[0]] for values in (options, scores)]
