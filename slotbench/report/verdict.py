"""What a run's cells say about a claim for one network: the cells that it takes, its number, its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.report import names
from slotbench.report.claims import Claim, Claims, Group
from slotbench.report.margins import further, margin_of, published_value, shown
from slotbench.report.quantities import QUANTITIES, Estimate, Floats
from slotbench.results.table import AXES, DIGITS, Collected

DECIDING = ("paper", "authors-code")
"""The recipes whose cells decide: other hyper-parameters are other experiments."""

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN = "reproduced", "not reproduced", "undecided", "not run"
SHOWN = "shown"
"""of a claim that is not judged"""
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", UNDECIDED: "?", NOT_RUN: "–", SHOWN: "·"}
"""A verdict by its shape too, for who does not see its colour."""


class Reading(NamedTuple):
    """The same claim by other cells, another epoch or another margin: what a verdict may depend on."""

    name: str
    """"last epoch", "recipe paper", …"""
    on: str
    """what it varies: epoch, recipe, seeds, rounding, baseline"""
    verdict: str
    n: int
    mean: float | None
    low: float | None
    high: float | None
    margin: float | None
    settled: bool
    """whether enough of its cells are done"""


@dataclass(frozen=True)
class Verdict:
    """What a run says about a claim, for one network or for all together."""

    id: str
    statement: str
    source: str
    quantity: str
    architectures: tuple[str, ...]
    verdict: str
    """one of `SIGNS`"""
    reason: str = ""
    """why it is not decided, and whatever else belongs to it; empty if there is nothing to say"""
    n: int = 0
    """matched seeds: those with every cell that the claim needs"""
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    """mean over seeds and its two-sided 95 % interval; of a quantity that one seed decides, the range"""
    side: str = "above"
    margin: float | None = None
    """the claim holds where the quantity is at this value or on this side of it"""
    published: float | None = None
    distance: float | None = None
    """mean minus published"""
    p: float | None = None
    """how likely seeds so far from the margin are if the quantity is just there, two-sided"""
    p_holm: float | None = None
    """the same by Holm's correction for all claims of the run that have one; no verdict uses it"""
    settled: bool = False
    """whether enough of its cells are done: an interval that contains the margin is settled too"""
    readings: tuple[Reading, ...] = ()
    depends: tuple[str, ...] = ()
    """what readings vary that have another verdict"""
    values: dict[str, float] = field(default_factory=dict)
    """what was compared: mean accuracies in percent; of a memory, its multiples of learned's"""
    records: tuple[str, ...] = ()
    """the cells that it was judged from: paths below the results folder"""

    @property
    def asks(self) -> str:
        """What the quantity has to be."""
        if self.margin is None or self.verdict == SHOWN:
            return ""
        return f"at {'least' if self.side == 'above' else 'most'} {shown(self.margin)}{self.unit}"

    @property
    def unit(self) -> str:
        return QUANTITIES[self.quantity].unit

    @property
    def ours(self) -> str:
        """The mean with its interval."""
        if self.mean is None:
            return "–"
        several = self.low is not None and (self.n > 1 or self.low != self.high)
        return shown(self.mean) + (f" [{shown(self.low)}, {shown(self.high)}]" if several else "")

    @property
    def mark(self) -> str:
        """ "depends on epoch, baseline"; empty if every reading has the same verdict."""
        return f"depends on {', '.join(self.depends)}" if self.depends else ""


class Evidence(NamedTuple):
    """What a claim is judged by."""

    cells: pd.DataFrame
    """those that count, of all networks: at most one for each selection, K, finetune and seed of a network"""
    recipe: str
    """theirs; of a tuned baseline among them, not"""


def of_recipe(collected: Collected, recipe: str) -> Evidence:
    """The run's own cells of `recipe`."""
    return evidence_of(collected.cells[collected.cells["recipe"].eq(recipe)], recipe)


def evidence_of(cells: pd.DataFrame, recipe: str) -> Evidence:
    """`cells` as evidence; an `InputError` where one of them stands there twice."""
    cells = cells.fillna({"deviations": "", "stale": "", "problem": ""}).reset_index(drop=True)
    axes = [axis for axis in AXES if axis != "recipe"]
    twice = cells[cells.duplicated(axes)]
    if len(twice):
        raise InputError(f"{twice.iloc[0]['record']}: this cell stands in the table twice; collect the run again")
    parents = cells.loc[cells["finetune"].eq("none") & _usable(cells), [*_PARENT, "flops", "epochs"]]
    origin = cells[_PARENT].merge(parents, on=_PARENT, how="left").set_index(cells.index)
    # Of the parent's epochs, those that it had trained at the checkpoint; no number without a parent that is done
    before = origin["flops"].astype(float) * cells["start_epoch"].astype(float) / origin["epochs"].astype(float)
    return Evidence(
        cells.assign(flops_in_all=cells["flops"].astype(float) + before.where(cells["finetune"] != "none", 0.0)), recipe
    )


_PARENT = ["dataset", "architecture", "selection", "k", "seed"]


def _usable(cells: pd.DataFrame) -> pd.Series[bool]:
    return cells["status"].eq("done") & cells["deviations"].eq("")


# ---- one network -----------------------------------------------------------------------------------------

Point = tuple[str, int, str]
"""selection, K, finetune"""


class Compared(NamedTuple):
    """The cells that a claim needs of one network."""

    points: list[list[Point]]
    """of each group"""
    needed: pd.DataFrame
    """the cells at these points, whatever became of them, with `group` and `point`"""
    wide: pd.DataFrame
    """the quantity's column: a row for each seed that has every point, a column for each point"""

    @property
    def first(self) -> Floats:
        return self.wide.iloc[:, : len(self.points[0])].to_numpy(float)

    @property
    def second(self) -> Floats:
        return self.wide.iloc[:, len(self.points[0]) :].to_numpy(float)


def of_network(
    claim: Claim, claims: Claims, architecture: str, evidence: Evidence, blank: Verdict
) -> tuple[Verdict, pd.Series[float]]:
    """The verdict for one network, and the quantity by seed."""
    dataset, nothing = claims.networks[architecture], pd.Series(dtype=float)
    blank = replace(blank, architectures=(architecture,))
    cells = evidence.cells
    cells = cells[cells["architecture"].eq(architecture) & cells["dataset"].eq(dataset)]
    if cells.empty:
        return replace(blank, reason=f"the run has no {architecture} on {dataset} by recipe {evidence.recipe}"), nothing
    try:
        network = Cell(evidence.recipe, dataset, architecture, "", 1, "none", 0)
        points = [[*_points(group, network)] for group in claim.groups]
    except InputError as error:
        return replace(blank, reason=str(error)), nothing
    quantity = QUANTITIES[claim.quantity]
    compared = _compared(points, cells, quantity.column)
    blank = replace(blank, n=len(compared.wide), records=_records(compared, cells))
    missing = _not_done(compared)
    if compared.wide.empty:
        verdict, lacking = _without_seeds(compared)
        return replace(blank, verdict=verdict, reason=joined(lacking, *missing)), nothing

    first, second = compared.first, compared.second
    number = published_value(claim, architecture, dataset)
    samples = quantity.sample(first, second)
    margin = margin_of(claim, second, number)
    worst, verdict = _worst([quantity.estimate(sample) for sample in samples.T], margin, claim.side)
    estimate, sample = quantity.estimate(samples[:, worst]), samples[:, worst]
    remarks = _open(compared, missing, quantity.fewest)
    settled = not remarks
    verdict = (verdict if settled else UNDECIDED) if claim.judged else SHOWN
    if verdict == UNDECIDED and settled:
        remarks.append("the interval contains the margin")
    values = _implementations(claims, claim.first.k, samples) if quantity.implementations else _means(claim, compared)
    verdict_here = replace(
        blank, verdict=verdict, mean=finite(estimate.value), low=finite(estimate.low), high=finite(estimate.high),
        margin=margin, published=number, distance=None if number is None else estimate.value - number, settled=settled,
        p=finite(quantity.p_value(sample, margin)) if claim.judged else None, values=values,
        reason=joined(*remarks, *missing, *further(claim, architecture, dataset, estimate.value), claim.note,
                       *_still(compared), *_stale(compared), *_only_shown(claim, architecture)),
    )  # fmt: skip
    return verdict_here, pd.Series(sample, index=compared.wide.index)


def _points(group: Group, network: Cell) -> Iterator[Point]:
    for k in group.k:
        start, parent = group.finetune, replace(network, selection=group.selection, k=k)
        if start == "last":
            recipe = recipes.of(parent)
            kept = [epoch for epoch in recipe.checkpoints if epoch <= recipe.epochs]
            if not kept:
                raise InputError(f"recipe '{parent.recipe}' keeps no checkpoint of {parent}")
            start = f"e{max(kept)}"
            recipes.of(replace(parent, finetune=start))
        yield group.selection, k, start


def _compared(points: list[list[Point]], cells: pd.DataFrame, column: str) -> Compared:
    places = [(group, point) for group, group_points in enumerate(points) for point in group_points]
    parts = []
    for group, (selection, k, start) in places:
        rows = cells[cells["selection"].eq(selection) & cells["k"].eq(k) & cells["finetune"].eq(start)]
        parts.append(rows.assign(group=group, value=rows[column].where(_usable(rows)).astype(float)))
    wide = pd.concat([part.set_index("seed")["value"] for part in parts], axis=1, keys=range(len(parts))).dropna()
    return Compared(points, pd.concat(parts, keys=range(len(parts)), names=["point"]).reset_index("point"), wide)


def _records(compared: Compared, cells: pd.DataFrame) -> tuple[str, ...]:
    """The cells that count, those that they started from, and those that diverged."""
    needed = compared.needed
    behind = needed[needed["seed"].isin(compared.wide.index) & needed["value"].notna()]
    tuned = behind.loc[behind["finetune"] != "none", ["selection", "k", "seed"]].drop_duplicates()
    parents = cells[cells["finetune"].eq("none")].merge(tuned, on=["selection", "k", "seed"])
    diverged = needed[needed["status"].eq("diverged")]
    return tuple(dict.fromkeys([*behind["record"], *parents["record"], *diverged["record"]]))


def _without_seeds(compared: Compared) -> tuple[str, str]:
    """The verdict and the reason where no seed has all that it takes."""
    needed = compared.needed
    flat = [point for group in compared.points for point in group]
    there = set(needed.loc[needed["value"].notna(), "point"])
    absent = list(dict.fromkeys(names.method(selection, k, start) for place, (selection, k, start) in enumerate(flat)
                                if place not in there))  # fmt: skip
    lacking = f"not done: {' and '.join(absent)}" if absent else "no seed has all the cells that it needs"
    return (NOT_RUN if absent and not needed["status"].eq("diverged").any() else UNDECIDED), lacking


def _not_done(compared: Compared) -> list[str]:
    """What became of the planned cells that do not count, a remark for each reason."""
    needed = compared.needed.drop_duplicates("record")
    done = needed["status"].eq("done")
    odd = done & needed["deviations"].ne("")
    remarks = [
        f"{count} cell{'s' * (count > 1)} {status}"
        for status in ("diverged", "failed", "missing")
        if (count := int(needed["status"].eq(status).sum()))
    ]
    remarks += [problem for problem in needed.loc[needed["status"].eq("failed"), "problem"].head(1) if problem]
    for count, text in (
        (int(odd.sum()), "not trained as the recipe says"),
        (int((done & ~odd & needed["value"].isna()).sum()), "done without a number"),
    ):
        remarks += [f"{count} cell{'s' * (count > 1)} {text}"] if count else []
    return remarks


def _open(compared: Compared, missing: Sequence[str], fewest: int) -> list[str]:
    """Why no interval may decide: planned cells that do not count, or too few seeds; nothing if it may."""
    n, remarks = len(compared.wide), []
    if missing:
        needed = compared.needed
        each = [set(rows["seed"]) for _, rows in needed.groupby("point")]
        planned = set.intersection(*each) | set(needed.loc[needed["value"].isna(), "seed"])
        remarks.append(f"{n} of {len(planned)} planned seeds")
    if n < fewest:
        remarks.append(f"{n} matched seed{'s' * (n > 1)}; {fewest} are the fewest that may decide")
    return remarks


def _worst(comparisons: Sequence[Estimate], margin: float, side: str) -> tuple[int, str]:
    """Which comparison stands worst, and its verdict: all of them have to hold, and one that fails is enough."""
    outcomes = [_decide(estimate, margin, side) for estimate in comparisons]
    verdict = next((outcome for outcome in (NOT_REPRODUCED, UNDECIDED) if outcome in outcomes), REPRODUCED)
    sign = 1 if side == "above" else -1
    return min(
        (place for place, outcome in enumerate(outcomes) if outcome == verdict),
        key=lambda place: sign * comparisons[place].value,
    ), verdict


def _decide(estimate: Estimate, margin: float, side: str) -> str:
    """The verdict by an interval; an end that is at the margin has reached it."""
    low, high = (round(end, DIGITS) if np.isfinite(end) else end for end in estimate[1:])
    if side == "below":
        low, high, margin = -high, -low, -margin
    return REPRODUCED if low >= margin else NOT_REPRODUCED if high < margin else UNDECIDED


def _means(claim: Claim, compared: Compared) -> dict[str, float]:
    """The mean test accuracy of each group, over the matched seeds."""
    rows = compared.needed[compared.needed["seed"].isin(compared.wide.index)]
    return {
        group.label: float(rows.loc[rows["group"].eq(place), "test_accuracy"].mean())
        for place, group in enumerate(claim.groups)
    }


def _implementations(claims: Claims, ks: Sequence[int], ours: Floats) -> dict[str, float]:
    """Bytes of training state over learned's: of those that keep K scores, and of `ours`, [seeds, K], as measured."""
    ratios = {
        f"K = {k}, {name}": k * floats / claims.learned_floats for k in ks for name, floats in claims.floats.items()
    }
    return ratios | {f"K = {k}, the staircase": float(ratio) for k, ratio in zip(ks, ours.mean(axis=0), strict=True)}


def _still(compared: Compared) -> list[str]:
    """Networks of several options that no epoch has changed: their accuracy is that of a random network."""
    rows = compared.needed[compared.needed["value"].notna() & compared.needed["k"].gt(1)].drop_duplicates("record")
    count = int(rows["moved"].eq(False).sum())
    return [f"{count} of its {len(rows)} networks with options never moved"] if count else []


def _stale(compared: Compared) -> list[str]:
    rows = compared.needed.drop_duplicates("record")
    count = int((rows["value"].notna() & rows["stale"].ne("")).sum())
    return [f"today's code or recipes would train {count} of its cells again"] if count else []


def _only_shown(claim: Claim, architecture: str) -> list[str]:
    return ["shown; does not count towards the verdict for all"] if architecture in claim.shown else []


def joined(*parts: str) -> str:
    """The parts that say something, in one line."""
    return "; ".join(part for part in parts if part)


def finite(value: float) -> float | None:
    """None for NaN and for what has no end."""
    return value if np.isfinite(value) else None
