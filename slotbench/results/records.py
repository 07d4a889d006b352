"""The record of one cell: a JSON file with a published schema, written atomically, and its collection.

Accuracies in records are fractions; in tables they are percent. The schema is
`workflow/schemas/record.schema.json`, written by `slotbench schemas`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slotbench.cells import LIMIT, Cell
from slotbench.errors import InputError, told
from slotbench.files import atomic, open_plain

SCHEMA_VERSION: Final = 3
"""The present form of records. A new one needs a migration from this one, in `MIGRATIONS`."""
MAX_BYTES = 16 * 2**20
"""A larger record is refused unread: the longest real ones have some hundred KiB."""
BINS = 40
"""Equal parts of -1 to 1, in the histograms of a layer."""
MAX_VALUES = 200_000
"""A record of more values is refused unparsed: one of 10,000 epochs, the most there can be, has half as many."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CellName(Part):
    """`slotbench.cells.Cell`, as JSON."""

    recipe: str
    """how it was trained: a file in slotbench/recipes"""
    dataset: str
    """what it was trained on"""
    architecture: str
    """the network whose connections were given their weights"""
    selection: str
    """the rule by which connections got their weights"""
    k: int = Field(ge=1, lt=LIMIT)
    """the number of options per connection; 1 for a rule without options"""
    finetune: str
    """none, or e100: trained ordinarily from the checkpoint of epoch 100 of the cell without finetuning"""
    seed: int = Field(ge=0, lt=LIMIT)
    """what every random draw was made from"""


class TestAccuracy(Part):
    """Accuracy on the test set at one epoch, as fractions."""

    epoch: int = Field(ge=0)
    """after which the test set was read, counted from the parent's first epoch"""
    accuracy: float = Field(ge=0, le=1)
    """with the weights that the recipe counts"""
    sampled: float | None = Field(None, ge=0, le=1)
    """of a rule that draws: with weights drawn anew at every batch"""
    highest: float | None = Field(None, ge=0, le=1)
    """of a rule that draws: with the likeliest weights"""


class Curves(Part):
    """One value an epoch, from the first epoch that this cell trained."""

    train_loss: list[float | None]
    """mean cross-entropy over the epoch's images; null where it was not finite"""
    validation_accuracy: list[float]
    """fraction of the validation images that are classified rightly, with the weights that the recipe counts"""
    changed: list[float]
    """the fraction of connections whose weight differs from that of one epoch before; of a subnetwork, those that are
    kept and were not, or the other way round"""


class Layer(Part):
    """What one layer has selected at the last epoch, of what it was offered. Values are in units of the layer's bound
    of options, and histograms are shares of equal parts of -1 to 1."""

    connections: int = Field(ge=1)
    """weights of the layer"""
    selected_magnitude: float = Field(ge=0, le=1)
    """mean of abs(selected weight)"""
    offered_magnitude: float = Field(gt=0, le=1)
    """mean of abs(option), over all options"""
    selected: list[float] = Field(min_length=BINS, max_length=BINS)
    """histogram of the selected weights"""
    offered: list[float] = Field(min_length=BINS, max_length=BINS)
    """histogram of all options"""
    levels: list[float] = Field(min_length=1)
    """the shares of connections that can reach 1, 2, 3, … of their options at all: the levels of their staircases"""
    bits_of_rank: float = Field(ge=0)
    """entropy of the selected option's rank by value among its connection's options, per connection"""
    bits_of_move: float = Field(ge=0)
    """entropy of the number of levels between where a connection started and where it is: what a selected network
    costs to send to someone who has the seed, per connection"""


class Results(Part):
    """What training came to: accuracies as fractions, epochs counted from the parent's first."""

    start_epoch: int = Field(ge=0)
    """0, or the epoch of the parent's checkpoint: epochs are counted from the parent's first"""
    epochs: int = Field(ge=0)
    """the last epoch that was trained"""
    unchanging: bool = False
    """whether training ended after one epoch because it had shown that nothing changes: there is one option to select
    from, so that the weights of every later epoch are those of the first"""
    best_epoch: int = Field(ge=0)
    """where validation accuracy was highest (the first such epoch); of a lottery ticket, since it was last pruned"""
    validation_accuracy: float = Field(ge=0, le=1)
    """at `best_epoch`"""
    test_accuracy: float = Field(ge=0, le=1)
    """at `best_epoch`"""
    test_accuracy_last: float = Field(ge=0, le=1)
    """at the last epoch"""
    train_accuracy: float = Field(ge=0, le=1)
    """with the last weights, of the training images with the labels that were trained"""
    test: list[TestAccuracy]
    """every reading of the test set: where validation was at a new best, and at the last epoch"""
    curves: Curves
    """what was seen epoch by epoch"""
    connections: int = Field(ge=1)
    """weights of the network, each of which is one connection's"""
    flops_per_epoch: int = Field(ge=0)
    """forward and backward of all training images, by torch's counter"""
    layers: list[Layer] | None = Field(min_length=1)
    """what each layer has selected, from the input on; null for a rule without options"""


class Costs(Part):
    """What may differ between two runs of one cell."""

    wall_seconds: float = Field(ge=0)
    """of all sessions that trained the cell, evaluation included, start-up excluded"""
    peak_bytes: int = Field(ge=0)
    """of the process on a CPU, of the allocator on a GPU"""
    state_bytes: int = Field(ge=0)
    """of the weights and all that the rule keeps to train them: scores, momentum, options, breakpoints; no gradients"""


class Provenance(Part):
    """Which code, versions and machine made a record."""

    commit: str | None
    """of the checkout that the code was imported from; null outside one"""
    dirty: bool | None
    """whether files of that checkout differed from the commit; null outside one"""
    versions: dict[str, str]
    """of Python and the packages that compute, by name"""
    device: str
    """the processor or GPU, by name"""
    threads: int = Field(ge=1)
    """of the CPU that training used"""
    data: dict[str, str]
    """the dataset's arrays and their SHA-256, from data/hashes.csv"""
    fingerprint: dict[str, str]
    """each module that the cell can execute, and the hash of its syntax tree"""
    started_from: str | None
    """the SHA-256 of the checkpoint that a finetuned cell started from"""
    numerics: dict[str, str] | None = None
    """what else decides bits: kernels, instruction sets, limits of threads; null where it is not known"""
    finished: str
    """UTC, ISO 8601"""
    sha256: str | None = None
    """of all the rest of the record: `text` adds it, `read` checks it"""


class Record(Part):
    """One trained cell: which it is, what came of it, what it took, and what made it."""

    schema_version: Literal[3] = SCHEMA_VERSION
    """the form of the record; older ones are read as this one"""
    cell: CellName
    """which cell of a grid was trained"""
    status: Literal["done", "diverged"]
    """diverged: the loss was not finite, and training ended at that epoch"""
    recipe: dict[str, Any]
    """every hyper-parameter, resolved for this cell"""
    results: Results
    """what training came to; equal in every run of the cell on one kind of machine"""
    weights: dict[str, str]
    """the safetensors files beside the record ("best", "last", "e100") and their SHA-256"""
    costs: Costs
    """what training took"""
    provenance: Provenance
    """which code, versions and machine made it"""


def cell_name(cell: Cell) -> CellName:
    return CellName(**{field: getattr(cell, field) for field in CellName.model_fields})


def weights_path(record_path: Path, name: str) -> Path:
    """Where the weights `name` ("best", "last", "e100") of the record at `record_path` lie."""
    return record_path.with_suffix("") / f"{name}.safetensors"


def text(record: Record) -> str:
    """The record's file, with the checksum of the rest: a changed digit is still a number."""
    provenance = record.provenance.model_copy(update={"sha256": None})
    content = record.model_copy(update={"provenance": provenance}).model_dump_json(indent=1)
    sealed = provenance.model_copy(update={"sha256": checksum(content)})
    return record.model_copy(update={"provenance": sealed}).model_dump_json(indent=1) + "\n"


def write(record: Record, path: Path) -> None:
    with atomic(path) as file:
        file.write(text(record))


def read(path: Path) -> Record:
    """The record at `path`, as it was before it was written; an `InputError` names what is wrong with the file.

    Records of earlier forms (`schema_version`) are read as ones of the present form.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(told(error, path)) from error
    # A file that was written just now can be written again within one tick of the clock
    reader = _read if time.time_ns() - stat.st_mtime_ns > 10**9 else _read.__wrapped__
    return reader(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=20_000)
def _read(path: Path, size: int, _time: int) -> Record:
    """A record that has not changed since the last look is not read again: `status`, plans and tables look often."""
    try:
        if size > MAX_BYTES:
            raise InputError(f"{path}: larger than any record; not read")
        with open_plain(path) as file:
            content = file.read(MAX_BYTES).decode()
        # Each takes some hundred bytes when it is parsed, a list of lists a thousandth of that on disk
        if sum(map(content.count, ",[{")) > MAX_VALUES:
            raise InputError(f"{path}: more values than any record has; not read")
        record = Record.model_validate_json(migrated(content))
    except OSError as error:
        raise InputError(told(error, path)) from error
    except (ValueError, RecursionError) as error:  # of which pydantic's and the decoders' errors are kinds
        raise InputError(f"{path}: not a record: {first_problem(error)}; train its cell again") from error
    if record.provenance.sha256 != checksum(content):
        raise InputError(f"{path}: not as it was written (SHA-256 differs); train its cell again")
    return record.model_copy(update={"provenance": record.provenance.model_copy(update={"sha256": None})})


def migrated(content: str) -> str:
    """The record's file in the present form; unchanged if it has that, or none that is known."""
    document = json.loads(content)
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version not in MIGRATIONS:
        return content
    for step in range(version, SCHEMA_VERSION):
        document = MIGRATIONS[step](document)
    return json.dumps(document)


def _without_numerics(document: dict[str, Any]) -> dict[str, Any]:
    """2 → 3: `provenance.numerics` came; of earlier records it is not known."""
    provenance = document.get("provenance")
    known = provenance | {"numerics": None} if isinstance(provenance, dict) else provenance
    return document | {"schema_version": 3, "provenance": known}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: _without_numerics}
"""From each earlier form of records to the next."""


class _Token(str):
    """A number as it stands in a file: 1e-05 and 0.00001 are two texts of one number."""

    __slots__ = ()


def checksum(content: str) -> str:
    """The SHA-256 of a record's own JSON: its keys, texts and numbers as they stand in the file, without white space
    and without the checksum itself. So a field that `Record` gets later changes the checksum of no earlier file."""
    document = json.loads(content, parse_float=_Token, parse_int=_Token)
    document["provenance"].pop("sha256", None)
    return hashlib.sha256(_compact(document).encode()).hexdigest()


def _compact(value: Any) -> str:
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(key)}:{_compact(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def first_problem(error: Exception) -> str:
    """The first of a validation's complaints, with the key that it is about."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place + ': ' if place else ''}{problem['msg'].lower()}"
