"""Whether a record still stands: whether today's code and recipe would make it again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.results import records, vouching
from slotbench.results.fingerprint import deciding, fingerprint


class Standing(NamedTuple):
    reason: str | None
    """why the cell would be trained again; None if its record stands"""
    vouched: str | None = None
    """by which attestation it stands although code has changed, in a sentence"""


def standing(cell: Cell, path: Path) -> Standing:
    """Whether the record at `path` stands, in the layout of a run."""
    try:
        record = records.read(path)
    except InputError as error:
        return Standing(str(error))
    try:
        changed = changed_setting(cell.checked(), record.recipe)
    except InputError as error:  # a dataset, an architecture or a recipe that is no more
        return Standing(str(error))
    if changed:
        return Standing(changed)
    if cell.parent is not None:
        parent = parent_of(path)
        with contextlib.suppress(InputError):  # a parent that cannot be read is trained first
            if records.read(parent).weights.get(cell.finetune) != record.provenance.started_from:
                return Standing(f"{parent} was trained again since, to another checkpoint {cell.finetune}")
    whole = record.provenance.fingerprint, fingerprint(cell)
    made_by, today = (deciding(code, record.provenance.numerics) for code in whole)
    if today == made_by:
        return Standing(None)
    for pair in ((made_by, today), whole):  # what was attested before there was `deciding` is of whole fingerprints
        if attestation := vouching.attested(run_folder(path), *pair):
            return Standing(None, attestation.sentence(record.provenance.commit))
    changed_modules = sorted(name for name in today.keys() | made_by.keys() if today.get(name) != made_by.get(name))
    names = ", ".join(name.removeprefix("slotbench.").replace(".", "/") for name in changed_modules)
    return Standing(f"code changed: {names}")


def stale(cell: Cell, path: Path) -> str | None:
    """Why the cell would be trained again although there is a record at `path`; None if the record stands."""
    return standing(cell, path).reason


def changed_setting(cell: Cell, recorded: dict[str, Any]) -> str | None:
    """Which setting of a record is not its recipe's today, in a sentence (`recipes.differences`)."""
    for setting, before, today in recipes.differences(cell, recorded):
        return f"recipe '{cell.recipe}' changed: {setting} was {before} and is {today}"
    return None


def parent_of(path: Path) -> Path:
    """Where the record of the cell lies that a finetuned cell starts from, in the layout of `Cell.path`."""
    return path.parent.parent / "none" / path.name


def run_folder(path: Path) -> Path:
    """The folder of the run to which a record belongs, in the layout of `Cell.path`: results/<run>."""
    parents = path.absolute().parents
    return parents[min(7, len(parents) - 1)]
