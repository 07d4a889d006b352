"""A claim judged anew: the cells of its verdict are trained again in full, and judged beside what was committed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.config import Run
from slotbench.errors import InputError, unknown
from slotbench.report import claims
from slotbench.report.judge import judge
from slotbench.report.verdict import Verdict
from slotbench.results import records, table
from slotbench.results.plan import order
from slotbench.results.standing import parent_of
from slotbench.training.replay import Trained, difference, pool
from slotbench.training.train import train_cell


def judged_anew(claim: str, run: Run, results: Path, data_dir: Path, say: Callable[[str], None]) -> str:
    """Trains the cells of `claim` again and returns its verdict by them beside the one by the records of `run`.

    `say` is told of each cell that is done: whether its record has come out again.
    """
    known = claims.load()
    if claim not in known.claims:
        raise InputError(unknown("claim", claim, known.claims))
    before = _verdicts(claim, run, results)
    cells = {Cell.from_path(path) for verdict in before for path in verdict.records}
    cells |= {cell.parent for cell in cells if cell.parent is not None}
    if not cells:
        raise InputError(f"claim '{claim}': run '{run.run}' has no records that decide it")
    with tempfile.TemporaryDirectory() as folder:
        anew = Path(folder)
        shutil.copytree(
            results / run.run,
            anew / run.run,
            ignore=shutil.ignore_patterns("*.safetensors", "lock", "cells.*", "*.part"),
        )
        _retrain(sorted(cells, key=order), run, results, anew, data_dir, say)
        after = _verdicts(claim, run, anew)
    return "\n".join(
        f"{claim}, {', '.join(theirs.architectures)}: {theirs.verdict} by the committed records ({theirs.ours}), "
        f"{ours.verdict} by cells trained here ({ours.ours})"
        for theirs, ours in zip(before, after, strict=True)
    )


def _verdicts(claim: str, run: Run, results: Path) -> list[Verdict]:
    verdicts = judge(table.collect(run, results), claims.load())
    return [verdict for verdict in verdicts if verdict.id == claim]


def _retrain(
    cells: Sequence[Cell], run: Run, results: Path, anew: Path, data_dir: Path, say: Callable[[str], None]
) -> None:
    """Puts new records in the place of old ones: parents first, as many at a time as there are cores for."""
    for generation in ([cell for cell in cells if cell.parent is None], [cell for cell in cells if cell.parent]):
        with pool(recipes.of(cell).threads for cell in generation) as processes:
            waiting = [
                processes.submit(_train_one, cell, anew / run.run / "cells" / cell.path, data_dir)
                for cell in generation
            ]
            for done in as_completed(waiting):
                cell, trained = done.result()
                first = difference(trained, Trained.of(records.read(results / run.run / "cells" / cell.path)))
                say(f"{cell}: {'every bit as in its record' if first is None else f'trained anew; {first}'}")


def _train_one(cell: Cell, out: Path, data_dir: Path) -> tuple[Cell, Trained]:
    out.unlink(missing_ok=True)
    record = train_cell(cell, out, data_dir, parent_of(out) if cell.parent else None, lambda *_: None)
    return cell, Trained.of(record)
