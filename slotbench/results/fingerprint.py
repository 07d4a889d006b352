"""Which code decides a cell's numbers: the modules that compute them, each with a hash of what it says.

A fingerprint names each module of slotbench that training a cell executes and that can move one of its numbers. The
hash is of the module's syntax tree in a form of our own (`canonical`), which every version of Python writes alike, on
every system. Comments, docstrings, annotations, layout and the words of errors are not in it. What reads configs,
writes records or fetches data is no part of a fingerprint (`DECIDE_NOTHING`): recipes are compared by value, data by
hash.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.selection import SELECTIONS

PACKAGE = Path(__file__).parents[1]

DECIDE_NOTHING = (
    "slotbench.cells",  # names of cells
    "slotbench.cluster",
    "slotbench.config",
    "slotbench.data.formats",  # the arrays that they decode are pinned by hash
    "slotbench.data.sources",
    "slotbench.errors",
    "slotbench.files",
    "slotbench.locking",
    "slotbench.recipes",  # compared by value
    "slotbench.report",
    "slotbench.results",
    "slotbench.training.checkpoint",  # a cell goes on from a state to the same bits (tests/faults)
    "slotbench.training.numerics",
    "slotbench.training.packing",
    "slotbench.training.preemption",
    "slotbench.training.record_of_session",
    "slotbench.training.replay",
    "slotbench.training.train",
    "slotbench.yaml_files",
)
"""Modules and packages that cannot move a number of a cell, with all that only they import."""

TABLES = ("slotbench.architectures", "slotbench.selection", "slotbench.data.datasets")
"""Modules whose tables have an entry for each architecture, rule or dataset: of their entries only the cell's own
count, nothing of how an entry is declared or checked, and the function that builds a network from one."""
PRESENTED = {"label", "colour", "marker", "finetunable", "input_shape", "connections", "flops", "settings"}
"""Fields of entries that say how something is shown, asked for or planned, and not what is computed."""


ON_A_GPU_ALONE = ("slotbench.selection.kernel_gpu",)
"""Modules that compute nothing on a processor."""


def deciding(made_by: Mapping[str, str], numerics: Mapping[str, str] | None) -> dict[str, str]:
    """Of a fingerprint, what can have moved a number where a record's `numerics` say that it was made: the kernels of a
    GPU have computed nothing of a record that no GPU made."""
    gpu = on_a_gpu(numerics)
    return {name: value for name, value in made_by.items() if gpu or name not in ON_A_GPU_ALONE}


def on_a_gpu(numerics: Mapping[str, str] | None) -> bool:
    """Whether a record with these `numerics` was made on a GPU; no record without any was."""
    return "capability" in (numerics or {})


def fingerprint(cell: Cell) -> dict[str, str]:
    """Module → hash, for every module that decides a number of `cell`, and the cell's own entries in the tables."""
    selection = SELECTIONS["learned" if cell.parent is not None else cell.selection]
    architecture = ARCHITECTURES[cell.architecture]
    modules = {
        "slotbench.training.session",
        "slotbench.architectures." + architecture.builder.partition(":")[0],
        "slotbench.selection." + selection.optimizer.partition(":")[0],
        *(["slotbench.training.layer_statistics"] if selection.has_options else []),
    }
    entries = "; ".join(map(entry, (DATASETS[cell.dataset], architecture, selection)))
    return {name: module_hash(name) for name in sorted(reached(frozenset(modules)))} | {"entries": digest(entries)}


def entry(declared: Any) -> str:
    """What an entry of a table says of computing: its fields that differ from their defaults."""
    return ", ".join(
        f"{field.name}={getattr(declared, field.name)!r}"
        for field in dataclasses.fields(declared)
        if field.name not in PRESENTED and getattr(declared, field.name) != _default(field)
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@functools.cache
def reached(modules: frozenset[str], whole: bool = False) -> frozenset[str]:
    """The modules that decide numbers among those that `modules` import, however indirectly, with themselves; with
    `whole` those that decide none, too."""
    known: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        known.add(module)
        waiting |= {name for name in imports(module) if whole or not decides_nothing(name)} - known
    return frozenset(known)


def decides_nothing(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in DECIDE_NOTHING)


def source(module: str) -> Path:
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@functools.cache
def imports(module: str) -> frozenset[str]:
    """The modules of slotbench that a module's text imports, wherever in it."""
    names = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("slotbench.") and source(name).exists())


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(source(module).read_bytes())


@functools.cache
def module_hash(module: str) -> str:
    """Of what a module says, and of the C source that lies beside it."""
    body = parsed(module).body
    if module in TABLES:
        body = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "build"]
    text = "\n".join(map(canonical, kept(body)))
    if module == "slotbench.selection.kernel":
        text += "\n" + without_comments(source(module).with_name("step.c").read_text(encoding="utf-8"))
    return digest(text)


def canonical(node: Any) -> str:
    """A syntax tree as text that depends on neither Python's version nor anything that computes nothing."""
    if isinstance(node, list):
        return "[" + " ".join(map(canonical, kept(node))) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    match node:
        case ast.Raise():
            # Which error, not its words
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            fields = {"exc": error}
        case ast.Assert():
            fields = {"test": node.test}
        case ast.JoinedStr():
            fields = {"values": list(_merged(node.values))}
        case ast.AnnAssign():
            fields = {"target": node.target, "value": node.value}
        case ast.Constant():
            fields = {"value": node.value}
    for name in ("ctx", "annotation", "returns", "type_comment", "type_params"):
        fields.pop(name, None)
    # Python's versions differ in which empty fields a node has
    parts = [
        f"{name}={canonical(value)}" for name, value in sorted(fields.items()) if value is not None and value != []
    ]
    if isinstance(node, ast.Constant):
        parts = [repr(node.value)]
    return f"{type(node).__name__}({' '.join(parts)})"


def kept(nodes: list[Any]) -> Iterator[Any]:
    """Of a list of nodes those that can compute something; imports in one order, since theirs decides nothing."""
    imported = []
    others = []
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or a string that documents an attribute
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = getattr(node, "module", None) or ""
            imported += [
                (origin, alias.name, alias.asname or "")
                for alias in node.names
                if origin != "__future__"
                and not decides_nothing(origin)
                and not decides_nothing(f"{origin}.{alias.name}".lstrip("."))
            ]
        else:
            others.append(node)
    yield from (repr(name) for name in sorted(imported))
    yield from others


def _merged(values: list[ast.expr]) -> Iterator[ast.expr]:
    """The parts of an f-string, neighbouring texts as one: Python's versions cut them differently."""
    text = ""
    for value in values:
        if isinstance(value, ast.Constant):
            text += str(value.value)
            continue
        if text:
            yield ast.Constant(text)
        text = ""
        yield value
    if text:
        yield ast.Constant(text)


def without_comments(c_source: str) -> str:
    """C without comments, empty lines and the layout within lines. The file has no text that looks like a comment."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", c_source.replace("\r\n", "\n"), flags=re.S)
    lines = (" ".join(line.split()) for line in re.sub(r"\\\n", " ", text).splitlines())
    return "\n".join(line for line in lines if line)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
