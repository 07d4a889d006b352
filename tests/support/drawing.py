"""Figures of synthetic runs, drawn without being saved."""

from pathlib import Path

from matplotlib.figure import Figure

from slotbench.cells import Cell
from slotbench.report import figures
from slotbench.report.figures import registry, style
from slotbench.results import table
from tests.support import synthetic


def collected(folder: Path, cells: tuple[Cell, ...], without: tuple[Cell, ...] = ()) -> table.Collected:
    """The collected tables of a synthetic run of `cells`."""
    run = synthetic.SyntheticRun("made-up", "authors-code", cells)
    synthetic.train(folder, run, without=without)
    return table.collect(run, folder)  # type: ignore[arg-type]  # as much of a run as it asks for


def draw(name: str, run: table.Collected) -> Figure:
    """The figure `name`, of what it shows of a run."""
    with style.styled():
        entry = figures.FIGURES[name]
        return entry.draw(entry.drawn_rows(run), registry.ABREAST)
