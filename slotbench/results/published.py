"""The published numbers: published.csv, under the table's names."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd

from slotbench.results.table import NETWORK

PUBLISHED = Path(__file__).with_name("published.csv")
"""Every number that could be read from the paper's text and figures, with uncertainty and source."""


@functools.cache
def every_value() -> pd.DataFrame:
    """published.csv under the table's names: architecture, selection, k (1: no K), mean, uncertainty."""
    frame = pd.read_csv(PUBLISHED).rename(
        columns={
            "arch": "architecture",
            "method": "selection",
            "test_accuracy_pct": "mean",
            "uncertainty_pct": "uncertainty",
        }
    )
    frame["architecture"] = frame["architecture"].replace({"lenet-300-100": "lenet"})
    frame["k"] = frame["k"].fillna(1).astype(int)
    return frame


@functools.cache
def values() -> pd.DataFrame:
    """`every_value`, one value a cell: where the sources give several, the least uncertain, then the latest."""
    frame = every_value().iloc[::-1].sort_values("uncertainty", kind="stable")
    return frame.drop_duplicates([*NETWORK, "selection", "k"]).sort_index()
