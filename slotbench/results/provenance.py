"""Which code, versions and machine made a record, and which records a change of code or recipe concerns.

A record carries a fingerprint: each module of slotbench that its cell can execute, with a hash of the module's syntax
tree. Comments, docstrings and formatting are not in the tree, and modules that the cell cannot reach are not listed.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError
from slotbench.results import records
from slotbench.selection import SELECTIONS

PACKAGE = Path(__file__).parents[1]
TABLES = {"ARCHITECTURES", "SELECTIONS", "DATASETS"}
"""Tables of entries: a cell's fingerprint has its own entry of each, not the others'."""
VERSIONED = ("torch", "numpy", "safetensors")


def fingerprint(cell: Cell) -> dict[str, str]:
    """Module → hash, for every module that training `cell` can execute, and the cell's entries in the tables."""
    selection = "learned" if cell.parent is not None else cell.selection
    modules = {
        "slotbench.training.session",
        "slotbench.architectures." + ARCHITECTURES[cell.architecture].builder.partition(":")[0],
        "slotbench.selection." + SELECTIONS[selection].optimizer.partition(":")[0],
        *(["slotbench.training.layer_statistics"] if SELECTIONS[selection].has_options else []),
    }
    entries = (DATASETS[cell.dataset], ARCHITECTURES[cell.architecture], SELECTIONS[selection])
    return {name: module_hash(name) for name in sorted(reached(frozenset(modules)))} | {
        "entries": digest(repr(entries))
    }


@functools.cache
def reached(modules: frozenset[str]) -> frozenset[str]:
    """The modules of slotbench that `modules` import, however indirectly, with themselves."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= imports(module) - found
    return frozenset(found)


def source(module: str) -> Path:
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@functools.cache
def imports(module: str) -> frozenset[str]:
    """The modules of slotbench that a module's text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source(module).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {name for name in names if name.startswith("slotbench.") and source(name).exists()}
    return frozenset(found)


@functools.cache
def module_hash(module: str) -> str:
    """Of the module's syntax tree without docstrings, and of the C source that lies beside it under its name."""
    tree = ast.parse(source(module).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            # Docstrings, and the strings that document attributes
            node.body = [
                child
                for child in node.body
                if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
            ]
    tree.body = [
        child
        for child in tree.body
        if not (isinstance(child, ast.Assign) and {getattr(name, "id", None) for name in child.targets} & TABLES)
    ]
    text = ast.dump(tree)
    if module == "slotbench.selection.kernel":
        text += source(module).with_name("step.c").read_text()
    return digest(text)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stale(cell: Cell, record: Path) -> str | None:
    """Why the cell would be trained again although `record` exists; None if the record still stands."""
    try:
        old = records.read(record)
    except InputError as error:
        return str(error)
    now = json.loads(recipes.of(cell).model_dump_json())
    for setting in now.keys() | old.recipe.keys():
        if old.recipe.get(setting) != now.get(setting):
            return f"recipe '{cell.recipe}' changed: {setting} was {old.recipe.get(setting)} and is {now.get(setting)}"
    if cell.parent is not None:
        kept = parent_of(record)
        with contextlib.suppress(InputError):  # a parent that cannot be read runs first
            if records.read(kept).weights.get(cell.finetune) != old.provenance.started_from:
                return f"{kept} was trained again since, to another checkpoint {cell.finetune}"
    current = fingerprint(cell)
    made_by = old.provenance.fingerprint
    changed = sorted(name for name in current.keys() | made_by.keys() if current.get(name) != made_by.get(name))
    return f"code changed: {', '.join(changed)}" if changed else None


def parent_of(record: Path) -> Path:
    """Where the record of the cell lies that a finetuned cell starts from, in the layout of `Cell.path`."""
    return record.parent.parent / "none" / record.name


def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether tracked files differ from it; (None, None) outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != PACKAGE.parent.resolve():
            return None, None
        # Only code and recipes make a record; results and pages that change meanwhile do not.
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "slotbench", "config/recipes"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def versions() -> dict[str, Any]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONED}}
