"""claims.yaml: the paper's claims as data: cells, a quantity, and a margin (docs/claims.md).

Nothing here knows a claim by name; `slotbench.report.judge` gives the verdicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, StrictStr, model_validator

from slotbench import yaml_files
from slotbench.architectures import ARCHITECTURES
from slotbench.config import Names, Numbers
from slotbench.data.datasets import DATASETS
from slotbench.errors import unknown
from slotbench.recipes import Part
from slotbench.report import names
from slotbench.report.quantities import QUANTITIES
from slotbench.results import published
from slotbench.selection import SELECTIONS
from slotbench.yaml_files import Mistake, Place

CLAIMS = Path(__file__).with_name("claims.yaml")


class Group(Part):
    """Cells that differ only in network, K and seed."""

    selection: StrictStr
    k: Numbers = (1,)
    finetune: StrictStr = "none"
    """as in a grid, or "last": from the last checkpoint that the recipe keeps of the selection"""

    @property
    def label(self) -> str:
        """In words: "greedy at K = 8, finetuned from the last checkpoint"."""
        return names.method(self.selection, ", ".join(map(str, self.k)), self.finetune)


class Claim(Part):
    """A statement of the paper and what decides it."""

    statement: StrictStr
    source: StrictStr
    quantity: StrictStr
    """one of `QUANTITIES`"""
    architectures: Names = ()
    """all networks of the file, if not named"""
    shown: Names = ()
    """networks that get a verdict which does not count towards the one for all"""
    first: Group
    second: Group | None = None
    side: Literal["above", "below"] = "above"
    margin: float = 0
    times: float = 0
    """spread: the margin is the larger of `margin` and so many times the spread of `second`"""
    published: Names = ()
    """accuracy: names of published.csv's column `figure`; the margin is counted from the first one's value"""
    note: StrictStr = ""
    judged: bool = True
    """otherwise it is shown without a verdict"""

    @property
    def groups(self) -> tuple[Group, ...]:
        return (self.first,) if self.second is None else (self.first, self.second)


class Claims(Part):
    """claims.yaml."""

    networks: dict[str, StrictStr] = Field(min_length=1)
    """architecture → the dataset on which the paper's claims are about it"""
    floats: dict[str, int]
    """numbers of training state that an implementation with K scores keeps for each option"""
    learned_floats: int = Field(ge=1)
    """the same of learned weights, for each connection"""
    claims: dict[str, Claim]

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, dataset in self.networks.items():
            _check(("networks", name), "architecture", name, ARCHITECTURES)
            _check(("networks", name), "dataset", dataset, DATASETS)
        figure_names = set(published.every_value()["figure"])
        for key, claim in self.claims.items():
            place: Place = ("claims", key)
            for axis in ("architectures", "shown"):
                for name in getattr(claim, axis):
                    _check((*place, axis), "architecture", name, self.networks)
            for name in claim.published:
                _check((*place, "published"), "figure", name, figure_names)
            for part in ("first", "second"):
                if group := getattr(claim, part):
                    _check((*place, part, "selection"), "selection", group.selection, SELECTIONS)
            _check((*place, "quantity"), "quantity", claim.quantity, QUANTITIES)
            quantity = QUANTITIES[claim.quantity]
            if len(claim.groups) < quantity.groups:
                raise Mistake(place, f"{key}: {claim.quantity} needs a second group of cells")
            if quantity.published == "figure" and not claim.published:
                raise Mistake(
                    place, f"{key}: {claim.quantity} needs the published figure that its margin is counted from"
                )
            if len(claim.first.k) < quantity.fewest_k:
                raise Mistake((*place, "first"), f"{key}: a {claim.quantity} needs three K or more")
            if claim.second and len(claim.second.k) not in (1, len(claim.first.k)):
                raise Mistake((*place, "second"), f"{key}: second needs one K, or as many as first")
        return self


def _check(place: Place, kind: str, name: str, known: Any) -> None:
    if name not in known:
        raise Mistake(place, unknown(kind, name, sorted(known)))


def load(path: Path = CLAIMS) -> Claims:
    """The claims of the file at `path`; an `InputError` tells what is wrong in which line."""
    return yaml_files.validated(yaml_files.read(path), Claims, {"claims": Claim, "first": Group, "second": Group})
