"""A config file: which cells a run has. Reading it, checking it, and telling every mistake with its line.

How a cell is trained is not here but in its recipe (`slotbench.recipes`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    model_validator,
)

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, unknown
from slotbench.selection import SELECTIONS

MAX_BYTES = 2**18
MAX_DEPTH = 8
MAX_CELLS = 1_000_000

Place = tuple[str | int, ...]
"""The keys and list positions that lead from the top of a config to one of its values."""


class ConfigError(InputError):
    """What is wrong with a run, and at which place of its config."""

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(sentence)
        self.place = place


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Number = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
AtLeastOne = Field(min_length=1)
Names = Annotated[
    tuple[StrictStr, ...],
    AtLeastOne,
    BeforeValidator(_listed, json_schema_input_type=str | Annotated[list[str], AtLeastOne]),
]
Numbers = Annotated[
    tuple[Number, ...],
    AtLeastOne,
    BeforeValidator(_listed, json_schema_input_type=Number | Annotated[list[Number], AtLeastOne]),
]

KNOWN: dict[str, Callable[[], Any]] = {
    "recipe": recipes.names,
    "dataset": lambda: DATASETS,
    "architecture": lambda: ARCHITECTURES,
    "selection": lambda: SELECTIONS,
}


class Pattern(BaseModel):
    """Values of some axes, one or a list each; an axis that is not named matches anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Names = ()
    dataset: Names = ()
    architecture: Names = ()
    selection: Names = ()
    k: Numbers = ()
    finetune: Names = ()
    seed: Numbers = ()

    def items(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The axes that it names, with their values."""
        return ((axis, values) for axis in Pattern.model_fields if (values := getattr(self, axis)))

    def matches(self, cell: Cell) -> bool:
        return all(getattr(cell, axis) in values for axis, values in self.items())


class Grid(Pattern):
    """All combinations of its axes' values; `recipe` is the run's where it is not named."""

    dataset: Names
    architecture: Names
    selection: Names
    k: Numbers = (1,)
    finetune: Names = ("none",)
    seed: Numbers

    def cells(self, recipe: str) -> Iterator[Cell]:
        """Its cells; a selection without options has them under k = 1, whatever the list of k."""
        axes = (self.recipe or (recipe,), self.dataset, self.architecture, self.selection)
        for recipe, dataset, architecture, selection in product(*axes):
            ks = self.k if SELECTIONS[selection].has_options else (1,)
            for k, finetune, seed in product(ks, self.finetune, self.seed):
                yield Cell(recipe, dataset, architecture, selection, k, finetune, seed)


class Run(BaseModel):
    """A run: its grids' cells, without the excluded ones. Whatever is wrong with one raises `ConfigError`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: StrictStr
    """names the folders below results and report"""
    recipe: StrictStr
    """the recipe that decides claims, and that of every grid that names none"""
    grids: tuple[Grid, ...] = Field(min_length=1)
    exclude: tuple[Pattern, ...] = ()
    """a cell that matches every axis of one of these is dropped"""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", self.run):
            name = repr(self.run[:40])
            raise ConfigError(("run",), f"run {name}: it names a folder; use letters, digits and . _ - only")
        known = {axis: names() for axis, names in KNOWN.items()}
        if self.recipe not in known["recipe"]:
            raise ConfigError(("recipe",), unknown("recipe", self.recipe, known["recipe"]))
        patterns: dict[str, tuple[Pattern, ...]] = {"grids": self.grids, "exclude": self.exclude}
        for key, axis in product(patterns, KNOWN):
            for i, pattern in enumerate(patterns[key]):
                for j, name in enumerate(getattr(pattern, axis)):
                    if name not in known[axis]:
                        raise ConfigError((key, i, axis, j), unknown(axis, name, known[axis]))
        count = sum(math.prod(len(values) for _, values in grid.items()) for grid in self.grids)
        if count > MAX_CELLS:
            raise ConfigError(("grids",), f"grids: {count:,} cells; a run may have {MAX_CELLS:,}")
        self.cells()
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Each cell once, sorted; all of them can be trained, and each one's parent is among them."""
        return self._cells

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        origin = {cell: i for i, grid in enumerate(self.grids) for cell in grid.cells(self.recipe)}
        for i, pattern in enumerate(self.exclude):
            dropped = [cell for cell in origin if pattern.matches(cell)]
            if not dropped or not any(pattern.items()):
                raise ConfigError(("exclude", i), "exclude: this pattern drops no cell; mend or remove it")
            for cell in dropped:
                del origin[cell]
        if not origin:
            raise ConfigError(("exclude",), "exclude: no cell is left")
        # Whether a cell can be trained does not depend on its seed.
        for cell, i in {replace(cell, seed=0): i for cell, i in origin.items()}.items():
            try:
                recipes.of(cell.checked())
            except InputError as error:
                axis = str(error).split()[0]
                raise ConfigError(self._place(i, axis, cell), str(error)) from None
        for cell, i in origin.items():
            if cell.parent is not None and cell.parent not in origin:
                raise ConfigError(
                    self._place(i, "finetune", cell),
                    f"finetune '{cell.finetune}': starts from {cell.parent}, which is not in the grid; "
                    "add 'none' to finetune",
                )
        return tuple(sorted(origin))

    def _place(self, i: int, axis: str, cell: Cell) -> Place:
        values, value = getattr(self.grids[i], axis), getattr(cell, axis)
        return ("grids", i, axis, *([values.index(value)] if value in values else []))


def load(path: Path) -> Run:
    """The run that the config file at `path` describes; an `InputError` tells what is wrong in which line."""
    try:
        top = _Loader.top(_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{error.problem} ({path}, line {line})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{str(error).splitlines()[0]} ({path})") from None
    if top is None:
        raise InputError(f"{path}: empty; a config names a run, a recipe and grids")
    try:
        return Run.model_validate(_plain(top))
    except ValidationError as error:
        mistake = _first(error)
    except ConfigError as error:
        mistake = error
    raise InputError(f"{mistake} ({path}, line {_line(top, mistake.place)})") from None


def schema() -> dict[str, Any]:
    """The JSON schema of a config, as it stands in workflow/schemas/config.schema.json."""
    return Run.model_json_schema()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB; not read")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


class _Loader(yaml.SafeLoader):
    """YAML to nodes, which know their lines. What no config needs is refused: aliases (with which a small
    file could unfold into a huge one), tags, deep nesting, a key given twice."""

    depth = 0

    @classmethod
    def top(cls, text: str) -> yaml.Node | None:
        loader = cls(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _error(f"alias '*{event.anchor}': write the value out instead", event)
        if event.tag:
            raise _error(f"tag '{event.tag}': a config has none; write the value alone", event)
        if self.depth == MAX_DEPTH:
            raise _error(f"nested more than {MAX_DEPTH} deep", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _error("a key must be a name", key)
                if key.value in seen:
                    raise _error(f"key '{key.value}': already given in line {seen[key.value]}", key)
                seen[key.value] = key.start_mark.line + 1
        elif isinstance(node, yaml.ScalarNode):
            try:
                node.value = self.construct_object(node)
            except ValueError:
                raise _error(f"'{node.value[:40]}': neither text nor a number", node) from None
        return node


def _error(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    return [_plain(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def _line(node: yaml.Node, place: Place) -> int:
    """Where `place` stands; as near as there is a node, since a single value stands for a list of one."""
    line = node.start_mark.line + 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if str(key.value) == step]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


WORDS = {
    "tuple_type": "should be a list",
    "model_type": "should have keys and values",
    "string_type": "should be a name",
    "int_type": "should be a whole number",
}


def _first(error: ValidationError) -> ConfigError:
    """The first of a validation's complaints; an unknown key before what is missing because of it."""
    problems = error.errors(include_url=False, include_context=False)
    problem = min(problems, key=lambda one: one["type"] != "extra_forbidden")
    place, kind = problem["loc"], problem["type"]
    names = [step for step in place if isinstance(step, str)]
    models: dict[str, type[BaseModel]] = {"grids": Grid, "exclude": Pattern}
    if kind == "extra_forbidden":
        model = models[names[0]] if names[1:] else Run
        return ConfigError(place, unknown("key", names[-1], model.model_fields))
    if kind == "missing":
        return ConfigError(place, f"key '{names[-1]}': missing")
    key = names[-1] if names else "a config"
    if kind == "too_short":
        return ConfigError(place, f"{key}: an empty list")
    words = WORDS.get(kind) or problem["msg"].removeprefix("Input ")
    return ConfigError(place, f"{key}: {words}, not {str(problem['input'])[:40]!r}")
