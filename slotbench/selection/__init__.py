"""Selection: how each connection gets its weight. Every rule is a `torch.optim.Optimizer`.

Adding one: a file in this folder and its entry below. torch is imported only when a rule is built.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """whether a recipe can have it prune its weights and start again, by `prune()`"""


SELECTIONS = {
    "greedy": Selection("greedy:Greedy"),
    "greedy-shared-layer": Selection("shared:SharedByLayer"),
    "greedy-shared-network": Selection("shared:SharedByNetwork"),
    "probabilistic": Selection("probabilistic:Probabilistic", draws=True),
    "learned": Selection("learned:Learned", has_options=False, finetunable=False),
    "lottery-ticket": Selection("lottery_ticket:LotteryTicket", has_options=False, finetunable=False, prunes=True),
    "edge-popup": Selection("edge_popup:EdgePopup", has_options=False, finetunable=False, subnetwork=True),
    "supermask": Selection("supermask:Supermask", has_options=False, finetunable=False, draws=True, subnetwork=True),
}
