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

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictStr,
    model_validator,
)

from slotbench import recipes, yaml_files
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import LIMIT, Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, unknown
from slotbench.selection import SELECTIONS
from slotbench.yaml_files import Mistake, Place

MAX_CELLS = 1_000_000
LONGEST_NAME = 100
"""Letters of a run's name: a name of a file, of 255 bytes on most systems, has more than the run's in it."""


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Number = Annotated[int, Field(strict=True, ge=0, lt=LIMIT)]
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

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    recipe: Names = ()
    """how the cell is trained: a file in slotbench/recipes"""
    dataset: Names = ()
    """what it is trained on; `-random-labels` after a name: the same images with labels drawn at random"""
    architecture: Names = ()
    """the network whose connections are given their weights"""
    selection: Names = ()
    """the rule by which connections get their weights"""
    k: Numbers = ()
    """K, the number of options per connection; 1 for a rule without options"""
    finetune: Names = ()
    """none, or e100: ordinary training from the checkpoint of epoch 100 of the cell without finetuning"""
    seed: Numbers = ()
    """what every random draw of the cell is made from"""

    def items(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The axes that it names, with their values."""
        return ((axis, values) for axis in Pattern.model_fields if (values := getattr(self, axis)))

    def matches(self, cell: Cell) -> bool:
        return all(getattr(cell, axis) in values for axis, values in self.items())


class Grid(Pattern):
    """All combinations of its axes' values; `recipe` is the run's where it is not named."""

    dataset: Names
    """what the cells are trained on; `-random-labels` after a name: the same images with labels drawn at random"""
    architecture: Names
    """the network whose connections are given their weights"""
    selection: Names
    """the rule by which connections get their weights"""
    k: Numbers = ()
    """K, the number of options per connection; to be named where a selection has options"""
    finetune: Names = ("none",)
    """none, or e100: ordinary training from the checkpoint of epoch 100 of the cell without finetuning"""
    seed: Numbers
    """what every random draw of a cell is made from; cells that differ in it alone are repetitions"""

    def cells(self, recipe: str) -> Iterator[Cell]:
        """Its cells; a selection without options has them under k = 1, whatever the list of k."""
        axes = (self.recipe or (recipe,), self.dataset, self.architecture, self.selection)
        for recipe, dataset, architecture, selection in product(*axes):
            ks = self.k if SELECTIONS[selection].has_options else (1,)
            for k, finetune, seed in product(ks, self.finetune, self.seed):
                yield Cell(recipe, dataset, architecture, selection, k, finetune, seed)


class Run(BaseModel):
    """A run: its grids' cells, without the excluded ones. Whatever is wrong with one raises `Mistake`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: StrictStr
    """names the folders below results and report"""
    recipe: StrictStr
    """the recipe that decides claims, and that of every grid that names none"""
    grids: tuple[Grid, ...] = Field(min_length=1)
    """the cells of the run: those of all its grids, each cell once"""
    exclude: tuple[Pattern, ...] = ()
    """a cell that matches every axis of one of these is dropped"""
    beside: Names = ()
    """other runs, by the names of their config files in the same folder: their cells are shown, and decide nothing"""
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", self.run):
            name = repr(self.run[:40])
            raise Mistake(
                ("run",),
                f"run {name}: it names a folder; use letters, digits and . _ - only, the first a letter, a digit or _",
            )
        if len(self.run) > LONGEST_NAME:
            raise Mistake(
                ("run",),
                f"run '{self.run[:20]}…': {len(self.run)} letters; it names a folder, and may have {LONGEST_NAME}",
            )
        known = {axis: names() for axis, names in KNOWN.items()}
        if self.recipe not in known["recipe"]:
            raise Mistake(("recipe",), unknown("recipe", self.recipe, known["recipe"]))
        patterns: dict[str, tuple[Pattern, ...]] = {"grids": self.grids, "exclude": self.exclude}
        for key, axis in product(patterns, KNOWN):
            for i, pattern in enumerate(patterns[key]):
                for j, name in enumerate(getattr(pattern, axis)):
                    if name not in known[axis]:
                        raise Mistake((key, i, axis, j), unknown(axis, name, known[axis]))
        for i, grid in enumerate(self.grids):
            for j, selection in enumerate(grid.selection):
                if SELECTIONS[selection].has_options and not grid.k:
                    raise Mistake(
                        ("grids", i, "selection", j),
                        f"k: missing; selection '{selection}' has options, so say how many per connection: k: 8",
                    )
        count = sum(math.prod(len(values) for _, values in grid.items()) for grid in self.grids)
        if count > MAX_CELLS:
            raise Mistake(("grids",), f"grids: {count:,} cells; a run may have {MAX_CELLS:,}")
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
                raise Mistake(("exclude", i), "exclude: this pattern drops no cell; mend or remove it")
            for cell in dropped:
                del origin[cell]
        if not origin:
            raise Mistake(("exclude",), "exclude: no cell is left")
        # Whether a cell can be trained does not depend on its seed.
        for cell, i in {replace(cell, seed=0): i for cell, i in origin.items()}.items():
            try:
                recipes.of(cell.checked())
            except InputError as error:
                axis = str(error).split()[0]
                if axis not in Grid.model_fields:  # a mistake in the recipe, told with its place there
                    raise
                raise Mistake(self._place(i, axis, cell), str(error)) from None
        for cell, i in origin.items():
            if cell.parent is not None and cell.parent not in origin:
                raise Mistake(
                    self._place(i, "finetune", cell),
                    f"finetune '{cell.finetune}': starts from {cell.parent}, which is not in the grid; "
                    "add 'none' to finetune",
                )
        return tuple(sorted(origin))

    @cached_property
    def others(self) -> tuple[Run, ...]:
        """The runs that stand beside it."""
        return tuple(load(self._folder / f"{name}.yaml") for name in self.beside)

    def _place(self, i: int, axis: str, cell: Cell) -> Place:
        values, value = getattr(self.grids[i], axis), getattr(cell, axis)
        return ("grids", i, axis, *([values.index(value)] if value in values else []))


def load(path: Path) -> Run:
    """The run that the config file at `path` describes; an `InputError` tells what is wrong in which line."""
    run = yaml_files.validated(yaml_files.read(path), Run, {"grids": Grid, "exclude": Pattern})
    run._folder = path.parent
    return run


def schema() -> dict[str, Any]:
    """The JSON schema of a config, as it stands in workflow/schemas/config.schema.json."""
    return Run.model_json_schema()
