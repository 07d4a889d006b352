"""Figures of synthetic runs, drawn without being saved."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from slotbench.cells import Cell
from slotbench.report import figures
from slotbench.report.figures import style
from slotbench.results import table
from tests.support import synthetic


def collected(folder: Path, cells: tuple[Cell, ...], without: tuple[Cell, ...] = ()) -> pd.DataFrame:
    """The table of a synthetic run of `cells`."""
    run = synthetic.SyntheticRun("made-up", "authors-code", cells)
    synthetic.train(folder, run, without=without)
    return table.collect(run, folder)


def draw(name: str, cells: pd.DataFrame) -> Figure:
    """The figure `name`, of those rows of a table that it shows."""
    with mpl.rc_context(style.STYLE):
        entry = figures.FIGURES[name]
        rows = entry.rows(cells)
        return entry.draw(rows[rows["status"] == "done"])
