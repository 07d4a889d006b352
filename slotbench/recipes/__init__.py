"""Recipes: how a cell is trained. A recipe is a file; a `Recipe` is every hyper-parameter that it gives one cell.

A file has settings for all cells (`base`) and rules: each rule says `when` it holds and what it `set`s, and
a later rule overrides an earlier one. README.md beside this file lists the settings.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, create_model, model_validator

from slotbench import yaml_files
from slotbench.cells import Cell
from slotbench.errors import InputError, unknown
from slotbench.selection import SELECTIONS
from slotbench.yaml_files import Mistake, Place

FOLDER = Path(__file__).parent

MAX_EPOCHS = 10_000
"""A record holds every epoch, and a state is named by its epoch."""
MAX_RATE = 1e30
"""A learning rate is a float32 in the steps that use it."""

Precision = Literal["float32", "tf32", "bf16"]
Epoch = Annotated[int, Field(strict=True, ge=1, le=MAX_EPOCHS)]
Epochs = Annotated[tuple[Epoch, ...], Field(max_length=1000)]
Number = Annotated[float, Field(strict=True)]
Bound = Annotated[Number, Field(ge=1e-6, le=1e6)]
Pixels = Annotated[int, Field(strict=True, ge=0, le=8)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Schedule(Part):
    """How the learning rate moves, epoch by epoch, from the cell's own first epoch."""

    kind: Literal["constant", "steps", "warm-restarts"] = "constant"
    """constant; steps: multiplied after given epochs; warm-restarts: down a cosine to 0, and from the top again"""
    epochs: Annotated[list[Epoch], Field(max_length=1000)] = []
    """steps: after which epochs the rate is multiplied by `factor`; warm-restarts: the length of the first period"""
    factor: Number = Field(default=1.0, gt=0, le=1000)
    """steps: what the rate is multiplied by; warm-restarts: how much longer each next period is"""

    @model_validator(mode="after")
    def whole(self) -> Schedule:
        if self.kind == "warm-restarts" and (len(self.epochs) != 1 or self.factor != int(self.factor)):
            raise ValueError("warm-restarts need one period in epochs and a whole factor")
        return self

    def highest(self, rate: float) -> float:
        """The highest learning rate of a schedule that begins with `rate`."""
        if self.kind != "steps" or self.factor <= 1:
            return rate
        return rate and math.exp(min(700, math.log(rate) + len(self.epochs) * math.log(self.factor)))


class Recipe(Part):
    """Every hyper-parameter of one cell."""

    epochs: Epoch
    """the last epoch; a finetuned cell counts from its parent's first"""
    batch: int = Field(128, strict=True, ge=1, le=2**20)
    """images a step"""
    learning_rate: Number = Field(ge=0, le=MAX_RATE)
    """of SGD at the first epoch: on scores for a selection, on weights for learned ones and finetuning"""
    momentum: Number = Field(0.9, ge=0, lt=1)
    """of SGD, as torch defines it"""
    nesterov: StrictBool = False
    """whether the momentum is Nesterov's"""
    weight_decay: Number = Field(0.0, ge=0, le=1000)
    """of SGD: in each step, this times the learning rate is the share of what is trained that is taken away"""
    schedule: Schedule = Schedule()
    """how the learning rate moves"""
    option_bound: Bound
    """options are uniform in ± this, in units of the layer's Glorot deviation"""
    score_bounds: tuple[Bound, Bound]
    """initial scores are uniform in [0, this), for convolutions and for fully-connected layers, in the same unit"""
    evaluate_by: Literal["sampling", "highest"]
    """which accuracy of probabilistic selection counts"""
    padding: tuple[Pixels, Pixels, Pixels] = (1, 1, 1)
    """pixels around each pair of CONV-N's convolutions"""
    dropout: Number = Field(0.5, ge=0, le=0.99)
    """before each of the first two fully-connected layers of CONV-N"""
    flip: StrictBool = False
    """horizontal flips at random"""
    normalise: StrictBool = False
    """per channel, by the training images' mean and deviation; otherwise pixels are scaled to [0, 1]"""
    checkpoints: Epochs = ()
    """epochs after which the selected weights are kept, for finetuning"""
    threads: int = Field(1, strict=True, ge=1, le=1024)
    """of the CPU: they change how sums are rounded, so a result names them"""
    precision: Precision = "float32"
    """of matrix products and convolutions; weights, scores and their training are float32 in all"""
    deterministic: StrictBool = False
    """whether to refuse operations that torch knows not to repeat themselves to the bit"""

    @model_validator(mode="after")
    def consistent(self) -> Recipe:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum")
        highest = self.schedule.highest(self.learning_rate)
        if highest > MAX_RATE:
            raise ValueError(f"schedule brings the learning rate to {highest:g}; it may be {MAX_RATE:g}")
        if highest * self.weight_decay >= 1:
            raise ValueError("weight_decay times learning rate is the share that a step takes away; it must be below 1")
        side = 32
        for pixels in self.padding:
            side = (side + 4 * pixels - 4) // 2  # two convolutions of 3 × 3, and a pooling
        if side < 1:
            raise ValueError(
                "padding must leave a pixel of CONV-6's images after its last pair: 1 there, if nowhere else"
            )
        return self


SETTINGS_OF_RULES = {
    name: [rule for rule, other in SELECTIONS.items() if name in other.settings]
    for entry in SELECTIONS.values()
    for name in entry.settings
}
"""Settings that only some rules of selection have, and which these are."""


def rule_of(cell: Cell) -> str:
    """The rule that trains `cell`: finetuning is ordinary training."""
    return cell.selection if cell.parent is None else "learned"


@functools.cache
def model(rule: str) -> type[Recipe]:
    """The settings of a cell that `rule` trains: what every cell has, and the rule's own."""
    own = SELECTIONS[rule].settings
    return create_model("Recipe", __base__=Recipe, **own) if own else Recipe  # type: ignore[call-overload]


class When(Part):
    """Which cells a rule is for: every axis that it names must match."""

    dataset: str | list[str] | None = None
    """a name, or several of which the cell has one"""
    architecture: str | list[str] | None = None
    """a name, or several of which the cell has one"""
    selection: str | list[str] | None = None
    """a name, or several of which the cell has one"""
    k_up_to: Annotated[int, Field(strict=True, ge=1)] | None = None
    """the largest K that it is for"""
    finetuned: StrictBool | None = None
    """true: only cells that are finetuned; false: only those that are not"""

    def matches(self, cell: Cell) -> bool:
        for axis in ("dataset", "architecture", "selection"):
            wanted = getattr(self, axis)
            if wanted is not None and getattr(cell, axis) not in ([wanted] if isinstance(wanted, str) else wanted):
                return False
        if self.k_up_to is not None and cell.k > self.k_up_to:
            return False
        return self.finetuned is None or self.finetuned == (cell.parent is not None)


class Rule(Part):
    when: When
    """which cells it is for"""
    set: dict[str, Any]
    """settings of those cells, by name"""


class RecipeFile(Part):
    about: str
    """what this recipe is and where it comes from, for the report"""
    base: dict[str, Any]
    """settings of all cells, by name"""
    rules: list[Rule] = []
    """settings of some cells; a later rule overrides an earlier one"""

    @model_validator(mode="after")
    def known_settings(self) -> RecipeFile:
        known = [*Recipe.model_fields, *SETTINGS_OF_RULES]
        for place, settings in self.settings():
            for name in settings:
                if name not in known:
                    raise Mistake((*place, name), unknown("setting", name, known))
        return self

    def settings(self, cell: Cell | None = None) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The settings for `cell` (without one, all there are), and their place in the file; later ones count."""
        yield ("base",), self.base
        for number, rule in enumerate(self.rules):
            if cell is None or rule.when.matches(cell):
                yield ("rules", number, "set"), rule.set


def names() -> list[str]:
    """The recipes there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@functools.cache
def load(name: str) -> tuple[RecipeFile, yaml_files.Document]:
    """The recipe `name`, and the document that it stands in."""
    if name not in names():
        raise InputError(unknown("recipe", name, names()))
    document = yaml_files.read(FOLDER / f"{name}.yaml")
    return yaml_files.validated(document, RecipeFile, {"rules": Rule, "when": When}), document


@functools.cache
def of(cell: Cell) -> Recipe:
    """Every hyper-parameter of `cell`; an `InputError` if its recipe does not say, or the cell cannot be so trained."""
    file, document = load(cell.recipe)
    settings: dict[str, Any] = {}
    places: dict[str, Place] = {}
    for place, given in file.settings(cell):
        settings |= given
        places |= {name: (*place, name) for name in given}
    rule = rule_of(cell)
    for name in settings.keys() & SETTINGS_OF_RULES.keys() - SELECTIONS[rule].settings.keys():
        owners = SETTINGS_OF_RULES[name]
        if cell.selection not in owners:
            words = f"{name} of {cell}: is for selection {' and '.join(map(repr, owners))} and nothing else"
            raise document.at(Mistake(places[name], words))
        del settings[name]  # this cell is finetuned: the rule that it starts from has done its work
    try:
        recipe = model(rule).model_validate(settings)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else "recipe"
        missing = f"recipe '{cell.recipe}' does not set it"
        words = missing if problem["type"] == "missing" else yaml_files.in_words(problem)
        mistake = Mistake(places.get(name, ()), f"{name} of {cell}: {words}")
        raise document.at(mistake) from None
    if (parent := cell.parent) is not None:
        kept = [epoch for epoch in of(parent).checkpoints if epoch <= of(parent).epochs]
        if cell.start_epoch not in kept:
            raise InputError(
                f"finetune '{cell.finetune}': recipe '{cell.recipe}' keeps no checkpoint of epoch {cell.start_epoch} "
                f"for {parent}; it keeps {', '.join(f'e{epoch}' for epoch in kept) or 'none'}"
            )
        if cell.start_epoch >= recipe.epochs:
            raise InputError(
                f"finetune '{cell.finetune}': recipe '{cell.recipe}' ends at epoch {recipe.epochs}, so nothing is left"
            )
    return recipe


def differences(cell: Cell, recorded: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Settings of `cell` that are not as a record has them: (name, as recorded, today), as JSON has them.

    A setting that the record lacks is newer, and counts as its default; one that the cell does not have today is no
    difference: where it mattered, code has changed.
    """
    recipe = of(cell)
    today = recipe.model_dump(mode="json")
    named = {name: value for name, value in recorded.items() if name in today}
    before = type(recipe).model_construct(**named).model_dump(mode="json", warnings=False)
    return [(name, before.get(name), value) for name, value in today.items() if before.get(name) != value]
