"""Which records have to be made again: what Snakemake, which sees file times only, cannot know."""

from __future__ import annotations

from pathlib import Path

from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.results import provenance, records


def outdated(cell: Cell, record: Path) -> set[Path]:
    """What must be trained for `cell`'s record to stand: it, its parent's, both, or nothing.

    A record stands if it exists and neither its recipe nor its code, nor its parent's, has changed since. A parent
    whose record stands must yet be trained if a child will be, and the checkpoint is not there to start from: weights
    are not committed, so a clone lacks them.
    """
    parent = provenance.parent_of(record) if cell.parent else None
    again = {record} if not record.exists() or provenance.stale(cell, record) else set()
    if cell.parent is None or parent is None:
        return again
    if parent.exists() and provenance.stale(cell.parent, parent):
        return {record, parent}
    if again and lost(parent, cell.finetune):
        again.add(parent)
    return again


def lost(record: Path, name: str) -> bool:
    """Whether a record tells of weights that are not there."""
    try:
        return name in records.read(record).weights and not records.weights_path(record, name).exists()
    except InputError:  # there is no such record: it will be trained anyway
        return False
