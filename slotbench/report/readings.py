"""How far a verdict depends on how it is read: the same claim by another epoch, recipe, number of seeds, margin within
the rounding of what was published, or baseline. The main reading decides; these stand beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from slotbench.report.answer import KINDS, OPEN, TOO_CLOSE
from slotbench.report.claims import Claim, Claims
from slotbench.report.margins import published_in
from slotbench.report.quantities import QUANTITIES
from slotbench.report.tables import Column, Number, Shown, Table
from slotbench.report.verdict import (
    DECIDING,
    NOT_RUN,
    SIGNS,
    UNDECIDED,
    Evidence,
    Reading,
    Verdict,
    evidence_of,
    of_network,
    of_recipe,
)
from slotbench.results.table import AXES, Collected

Way = tuple[str, str, Claim, Evidence]
"""A reading's name, what it varies, and the claim and the cells that it takes."""


class Sources(NamedTuple):
    """The cells of every reading, of all claims."""

    own: Evidence
    """those that decide"""
    last: Evidence
    """the same at the last epoch"""
    recipes: dict[str, Evidence]
    """of the other deciding recipes"""
    more: Evidence
    """those that decide, and those of the same recipe in runs beside, but for cells that the run has itself"""
    beside: pd.DataFrame
    """the latter alone"""
    tuned: Evidence | None
    """those that decide, but for learned weights, which are of the tuned learning rate"""


def sources(collected: Collected) -> Sources:
    """The cells of every reading of a run."""
    own = of_recipe(collected, collected.recipe)
    own_cells = pd.MultiIndex.from_frame(collected.cells[list(AXES)])
    new = ~pd.MultiIndex.from_frame(collected.beside[list(AXES)]).isin(own_cells)
    beside = collected.beside[collected.beside["recipe"].eq(collected.recipe) & new]
    both = pd.concat([collected.cells, collected.beside])
    tuned = both[both["tuned"]]
    others = collected.cells[collected.cells["decides"] & ~_learned(collected.cells)]
    return Sources(
        own=own,
        last=own._replace(cells=own.cells.assign(test_accuracy=own.cells["test_accuracy_last"])),
        recipes={recipe: of_recipe(collected, recipe) for recipe in DECIDING if recipe != collected.recipe},
        more=evidence_of(pd.concat([collected.cells[collected.cells["decides"]], beside]), own.recipe),
        beside=beside,
        tuned=evidence_of(pd.concat([others, tuned]), own.recipe) if len(tuned) else None,
    )


def with_readings(verdict: Verdict, claim: Claim, claims: Claims, of: Sources) -> Verdict:
    """`verdict`, of one network, with every reading that its cells allow, and what it depends on."""
    if verdict.verdict == NOT_RUN or not claim.judged:
        return verdict
    (architecture,) = verdict.architectures
    blank = Verdict(verdict.id, verdict.statement, verdict.source, verdict.quantity, (architecture,), NOT_RUN,
                    side=verdict.side)  # fmt: skip
    readings = []
    for name, on, its_claim, evidence in _ways(claim, claims, architecture, of):
        other, _ = of_network(its_claim, claims, architecture, evidence, blank)
        if other.verdict != NOT_RUN:
            interval = (other.mean, other.low, other.high)
            readings.append(Reading(name, on, other.verdict, other.n, *interval, other.margin, other.settled))
    differing = [
        reading.on for reading in readings if reading.settled and verdict.settled and reading.verdict != verdict.verdict
    ]
    return replace(verdict, readings=tuple(readings), depends=tuple(dict.fromkeys(differing)))


def _ways(claim: Claim, claims: Claims, architecture: str, of: Sources) -> Iterator[Way]:
    quantity = QUANTITIES[claim.quantity]
    if quantity.column == "test_accuracy":
        yield "last epoch", "epoch", claim, of.last
    for recipe, evidence in of.recipes.items():
        yield f"recipe {recipe}", "recipe", claim, evidence
    if _more_seeds(of.beside, claim):
        yield "more seeds", "seeds", claim, of.more
    if quantity.counted_from_published:
        _, uncertainty = published_in(claim.published[0], claim.first, architecture, claims.networks[architecture])
        for name, sign in (("lowest rounding", -1), ("highest rounding", 1)):
            yield name, "rounding", claim.model_copy(update={"margin": claim.margin + sign * uncertainty}), of.own
    against_learned = claim.second is not None and claim.second.selection == "learned"
    if of.tuned is not None and against_learned and quantity.column == "test_accuracy":
        yield "tuned baseline", "baseline", claim, of.tuned


def _learned(cells: pd.DataFrame) -> pd.Series[bool]:
    return cells["selection"].eq("learned") & cells["finetune"].eq("none")


def _more_seeds(cells: pd.DataFrame, claim: Claim) -> bool:
    """Whether `cells` plan more seeds of all that the claim compares, and have trained some."""
    of_claim = pd.Series(False, index=cells.index)
    for group in claim.groups:
        own = cells["selection"].eq(group.selection) & cells["finetune"].ne("none").eq(group.finetune != "none")
        if not set(group.k) <= set(cells.loc[own, "k"]):
            return False
        of_claim |= own & cells["k"].isin(group.k)
    return bool(cells.loc[of_claim, "status"].eq("done").any())


HEADS = (
    "last epoch",
    *(f"recipe {recipe}" for recipe in DECIDING),
    "more seeds",
    "lowest rounding",
    "highest rounding",
    "tuned baseline",
)


def robustness(verdicts: Sequence[Verdict]) -> Table:
    """One table: each claim, network by network, in every reading, and what its verdict depends on."""
    rows: list[list[Shown]] = []
    judged = [verdict for verdict in verdicts if verdict.readings]
    for verdict in judged:
        by = {reading.name: reading for reading in verdict.readings}
        rows.append(
            [
                verdict.statement,
                verdict.architectures[0],
                _in_brief(verdict),
                *(_in_brief(by[head]) if head in by else "–" for head in HEADS),
                ", ".join(verdict.depends) or "nothing",
                Number(math.nan if verdict.p_holm is None else verdict.p_holm, places=3),
            ]
        )
    return Table(
        "robustness",
        "How far each verdict depends on how it is read: sign, mean and number of seeds, by best validation (which "
        "decides), at the last epoch, by the other recipe, with the seeds of runs beside this one, within the rounding "
        "of the published value, and against learned weights at the learning rate that validation chooses. "
        "✓ reproduced, ✗ not reproduced, ≈ too close to call; in brackets and … open a reading whose planned "
        "cells are not all done, or of too few seeds: nothing depends on it. Last, p of the main reading, corrected "
        "for many claims after Holm; no verdict uses it.",
        [
            Column("claim"),
            Column("network"),
            Column("decides"),
            *(Column(head) for head in HEADS),
            Column("depends on"),
            Column("p (Holm)", numeric=True),
        ],
        rows,
    )


def _in_brief(reading: Verdict | Reading) -> str:
    mean = str(Number(math.nan if reading.mean is None else reading.mean))
    signs = SIGNS | {UNDECIDED: KINDS[TOO_CLOSE if reading.settled else OPEN]}
    text = f"{signs[reading.verdict]} {mean} (n = {reading.n})"
    return text if reading.settled else f"({text})"
