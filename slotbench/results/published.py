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


AUTHORS_CODE = Path(__file__).with_name("authors-code-here.csv")
"""What the authors' own code gives on a machine like ours, epoch by epoch; its first lines say how it was run."""


@functools.cache
def authors_code() -> pd.DataFrame:
    """A row for each network that the authors' own code trained: dataset, architecture, selection, k, seed, epochs, and
    of its last epoch, which is the one that this code reports, test_accuracy (percent) and train_loss."""
    frame = pd.read_csv(AUTHORS_CODE, comment="#").sort_values("epoch")
    last = frame.drop_duplicates(["k", "seed"], keep="last").sort_values(["k", "seed"], ignore_index=True)
    named = {"dataset": "mnist", "architecture": "lenet", "selection": "greedy"}
    return last.assign(**named, epochs=last["epoch"])[[*named, "k", "seed", "epochs", "test_accuracy", "train_loss"]]


def undecided(cells: pd.DataFrame) -> pd.DataFrame:
    """Those of a run's `cells`, done and not finetuned, whose network the paper has numbers of and the run's deciding
    recipe has not trained: they are shown beside what was published, and decide no claim."""
    done = cells[(cells["status"] == "done") & (cells["finetune"] == "none")]
    decided = set(done.loc[done["decides"], NETWORK].itertuples(index=False, name=None))
    known = set(values()[NETWORK].itertuples(index=False, name=None)) - decided
    return done[[network in known for network in done[NETWORK].itertuples(index=False, name=None)]]
