"""Which cells of a run are due, why, and in which order: for the workflow, `slotbench run` and `slotbench status`."""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path

from slotbench.cells import Cell
from slotbench.config import Run
from slotbench.errors import InputError
from slotbench.results import records
from slotbench.results.standing import Standing, standing


class Plan:
    """What is left to train of `run`, by the records below `results`, as they are when they are first looked at."""

    def __init__(self, run: Run, results: Path) -> None:
        self.run, self.results = run, results
        self.children: dict[Cell, list[Cell]] = defaultdict(list)
        for cell in run.cells():
            if cell.parent is not None:
                self.children[cell.parent].append(cell)

    def record(self, cell: Cell) -> Path:
        return self.results / self.run.run / "cells" / cell.path

    @functools.cache  # noqa: B019 - a plan lives as long as the command that asks for it
    def reason(self, cell: Cell) -> str | None:
        """Why `cell` is to be trained; None if its record stands.

        A parent whose record stands must yet be trained if a child will be and the checkpoint is not there to start
        from: weights are not committed, so a clone lacks them.
        """
        if cell.parent is not None and cell not in self.children[cell.parent]:  # one that the run does not have
            self.children[cell.parent].append(cell)
        if own := self.standing(cell).reason:
            return own
        if cell.parent is not None:
            # A parent whose record is gone is trained to the same bits: its children stand until it turns out otherwise
            again = self.record(cell.parent).exists() and self.standing(cell.parent).reason
            return f"{cell.parent} is trained again" if again else None
        for child in self.children[cell]:
            if self.reason(child) and self._lost(cell, child.finetune):
                return f"checkpoint {child.finetune} is not there, from which {child} starts"
        return None

    @functools.cache  # noqa: B019
    def standing(self, cell: Cell) -> Standing:
        path = self.record(cell)
        return standing(cell, path) if path.exists() else Standing("no record yet")

    def due(self) -> list[Cell]:
        """The cells that are to be trained, in order."""
        return sorted((cell for cell in self.run.cells() if self.reason(cell)), key=order)

    def _lost(self, cell: Cell, checkpoint: str) -> bool:
        path = self.record(cell)
        try:
            return checkpoint in records.read(path).weights and not records.weights_path(path, checkpoint).exists()
        except InputError:  # no such record: it is due anyway
            return False


def order(cell: Cell) -> tuple[int, bool, Cell]:
    """Seed 0 of every comparison first, then seed 1; a parent before the cells that start from it."""
    return cell.seed, cell.parent is not None, cell
