"""Attestations: code has changed since a run's records were made, and the numbers have not.

`results/<run>/vouched.json` says so, for each pair of a record's fingerprint and a later one. `slotbench vouch` writes
it, after replaying a sample of the run in which every bit agreed; records themselves are never written again.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.results import records
from slotbench.results.fingerprint import digest
from slotbench.selection import SELECTIONS

FILE = "vouched.json"
MAX_BYTES = 16 * 2**20


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Replayed(Part):
    """A cell that was trained again."""

    cell: str
    epochs: int = Field(ge=0)
    """how many of its epochs"""
    full: bool
    """whether those are all, so that its weights' hashes were compared too"""
    against: str
    """"record": what the record says; a commit: what the record's own code gives on the machine that vouches, where
    that machine's processor rounds in another way than the record's"""


class Attestation(Part):
    """That records of some fingerprints say what the code of other fingerprints gives."""

    equal: tuple[tuple[str, str], ...]
    """(`summary` of the fingerprint in a record, `summary` of the later one)"""
    replayed: tuple[Replayed, ...]
    commit: str | None
    """of the later code"""
    device: str
    numerics: dict[str, str] | None
    """of the machine that vouches, as in a record"""
    versions: dict[str, str]
    date: str
    """UTC, ISO 8601"""

    def sentence(self, made_by: str | None) -> str:
        """Such as "made by 11afa20; at 9c0ffee, 24 cells were replayed and every bit agreed"."""
        beside = (
            " with that code's on the same machine" if any(cell.against != "record" for cell in self.replayed) else ""
        )
        return (
            f"made by {short(made_by)}; at {short(self.commit)}, {len(self.replayed)} cells were replayed "
            f"and every bit agreed{beside}"
        )


class Vouched(Part):
    """The file."""

    schema_version: Literal[1] = 1
    attestations: tuple[Attestation, ...]
    """the latest last"""
    sha256: str
    """of all the rest"""


def short(commit: str | None) -> str:
    return "code outside a checkout" if commit is None else commit[:7]


def summary(fingerprint: Mapping[str, str]) -> str:
    """One hash for a whole fingerprint."""
    return digest(json.dumps(dict(sorted(fingerprint.items()))))


def attested(run_folder: Path, made_by: Mapping[str, str], today: Mapping[str, str]) -> Attestation | None:
    """The latest attestation that a record made by one fingerprint says what another gives; None without one."""
    path = run_folder / FILE
    try:
        attestations = _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None
    pair = summary(made_by), summary(today)
    return next((attestation for attestation in reversed(attestations) if pair in attestation.equal), None)


@functools.cache
def _read(path: Path, _time: int) -> tuple[Attestation, ...]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than any list of attestations; not read")
        vouched = Vouched.model_validate_json(path.read_bytes())
    except (ValidationError, RecursionError) as error:
        raise InputError(f"{path}: not a list of attestations; vouch again, or restore it from its commit") from error
    if vouched.sha256 != _checksum(vouched.attestations):
        raise InputError(f"{path}: not as it was written (SHA-256 differs); vouch again, or restore it from its commit")
    return vouched.attestations


def attestations(run_folder: Path) -> tuple[Attestation, ...]:
    """What `run_folder` has, the latest last."""
    path = run_folder / FILE
    return _read(path, path.stat().st_mtime_ns) if path.exists() else ()


def write(run_folder: Path, attestation: Attestation) -> Path:
    """Adds `attestation` to what `run_folder` has."""
    path = run_folder / FILE
    known = (*attestations(run_folder), attestation)
    with atomic(path) as file:
        file.write(Vouched(attestations=known, sha256=_checksum(known)).model_dump_json(indent=1) + "\n")
    return path


class Trial(NamedTuple):
    """A cell of the sample that stands for its run."""

    cell: Cell
    epochs: int
    """how many of its epochs are trained again"""
    full: bool


FIRST_EPOCHS = 2


def sample(files: Mapping[Cell, Path]) -> list[Trial]:
    """Of a run's cells, with the files of their records, those that stand for all.

    One of each recipe, rules of it that hold, selection, architecture, dataset and fingerprint for its first epochs,
    and the shortest one of each selection for all of its epochs.
    """
    kinds: dict[tuple[Any, ...], list[Cell]] = {}
    rules: dict[str, list[Cell]] = {}
    for cell, path in files.items():
        if not path.exists():
            continue
        made_by = summary(records.read(path).provenance.fingerprint)
        rule = "learned" if cell.parent is not None else cell.selection
        matching = tuple(rule.when.matches(cell) for rule in recipes.load(cell.recipe)[0].rules)
        kinds.setdefault((cell.recipe, matching, rule, cell.architecture, cell.dataset, made_by), []).append(cell)
        rules.setdefault(rule, []).append(cell)
    whole = {min(cells, key=_cost) for cells in rules.values()}
    chosen = whole | {min(cells, key=_cost) for cells in kinds.values() if not whole & set(cells)}
    return [
        Trial(cell, _epochs(cell) if cell in whole else min(FIRST_EPOCHS, _epochs(cell)), cell in whole)
        for cell in sorted(chosen, key=lambda cell: (cell not in whole, cell))
    ]


def _epochs(cell: Cell) -> int:
    return recipes.of(cell).epochs - cell.start_epoch


def _cost(cell: Cell) -> tuple[bool, int, int, Cell]:
    """A network with one option a connection is trained in vain, and a finetuned one after its parent."""
    idle = SELECTIONS[cell.selection].has_options and cell.k == 1
    return idle or cell.parent is not None, _epochs(cell), cell.k, cell


def _checksum(known: tuple[Attestation, ...]) -> str:
    content = json.dumps([attestation.model_dump(mode="json") for attestation in known], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
