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


def rising_before_the_last(epochs: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    """Of a recipe's epochs, those after which something happens in training."""
    if list(epochs) != sorted({epoch for epoch in epochs if epoch < info.data.get("epochs", epoch + 1)}):
        raise ValueError("needs rising epochs before the last one")
    return epochs


SELECTIONS = {
    "greedy": Selection("greedy:Greedy"),
    "greedy-shared-layer": Selection("shared:SharedByLayer"),
    "greedy-shared-network": Selection("shared:SharedByNetwork"),
    "probabilistic": Selection("probabilistic:Probabilistic", draws=True),
    "learned": Selection("learned:Learned", has_options=False, finetunable=False),
    "lottery-ticket": Selection(
        "lottery_ticket:LotteryTicket",
        has_options=False,
        finetunable=False,
        prunes=True,
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
        settings={
            "kept": (
                Annotated[float, Field(strict=True)],
                Field(0.5, gt=0, le=1, description="share of each layer's weights that is kept, rounded up"),
            ),
        },
    ),
    "supermask": Selection("supermask:Supermask", has_options=False, finetunable=False, draws=True, subnetwork=True),
}
