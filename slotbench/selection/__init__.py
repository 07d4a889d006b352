"""Selection: how each connection gets its weight. Every rule is a `torch.optim.Optimizer`.

Adding one: a file in this folder and its entry below. torch is imported only when a rule is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo


@dataclass(frozen=True)
class Selection:
    """An entry of the table: which optimizer it is, and what a grid may ask of it."""

    optimizer: str
    """module:class in this folder"""
    has_options: bool = True
    """whether K is an axis of it"""
    finetunable: bool = True
    draws: bool = False
    """whether it can draw its weights anew, by `draw()`"""
    subnetwork: bool = False
    """whether it selects by keeping weights or not, so that what changes is which ones are not 0"""
    prunes: bool = False
    """whether it prunes its weights and starts again: it has `begin_epoch` and `last_rewind`"""
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """what recipes may set for it alone: name → (type, pydantic's Field), and an argument of its optimizer"""
    label: str = ""
    """what figures and tables call it; its name, if empty"""
    colour: str = ""
    """of its marks and letters in figures, #rrggbb, with a contrast of 4.5 on white; one of a cycle, if empty"""
    marker: str = ""
    """of its points, as matplotlib names them; one of a cycle, if empty"""


def rising_before_the_last(epochs: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    """Of a recipe's epochs, those after which something happens in training."""
    if list(epochs) != sorted({epoch for epoch in epochs if epoch < info.data.get("epochs", epoch + 1)}):
        raise ValueError("needs rising epochs before the last one")
    return epochs


SELECTIONS = {
    "greedy": Selection("greedy:Greedy", colour="#0173b2", marker="o"),
    "greedy-shared-layer": Selection(
        "shared:SharedByLayer", label="greedy, shared per layer", colour="#b0305c", marker="<"
    ),
    "greedy-shared-network": Selection(
        "shared:SharedByNetwork", label="greedy, shared by all layers", colour="#5b4fc4", marker=">"
    ),
    "probabilistic": Selection("probabilistic:Probabilistic", draws=True, colour="#c8500a", marker="s"),
    "learned": Selection("learned:Learned", has_options=False, finetunable=False, colour="#02835f", marker="D"),
    "lottery-ticket": Selection(
        "lottery_ticket:LotteryTicket",
        has_options=False,
        finetunable=False,
        prunes=True,
        label="lottery ticket",
        colour="#222222",
        marker="*",
        settings={
            "prune_after": (
                Annotated[tuple[Annotated[int, Field(strict=True, ge=1)], ...], AfterValidator(rising_before_the_last)],
                Field(
                    min_length=1,
                    description="epochs after which weights are pruned and the others go back to the start, and the "
                    "schedule with them",
                ),
            ),
            "pruned": (
                Annotated[float, Field(strict=True)],
                Field(0.8, gt=0, lt=1, description="share of each layer's remaining weights that is then pruned"),
            ),
        },
    ),
    "edge-popup": Selection(
        "edge_popup:EdgePopup",
        has_options=False,
        finetunable=False,
        subnetwork=True,
        colour="#9b6234",
        marker="P",
        settings={
            "kept": (
                Annotated[float, Field(strict=True)],
                Field(0.5, gt=0, le=1, description="share of each layer's weights that is kept, rounded up"),
            ),
        },
    ),
    "supermask": Selection(
        "supermask:Supermask",
        has_options=False,
        finetunable=False,
        draws=True,
        subnetwork=True,
        colour="#7d7500",
        marker="X",
    ),
}
