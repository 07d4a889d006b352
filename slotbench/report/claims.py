"""claims.yaml and the table → a verdict on every claim of the paper (docs/claims.md says how).

Claims are data: cells, a quantity, and a margin that was set before any run. Nothing here knows a claim by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, StrictStr, model_validator
from scipy import stats

from slotbench import recipes, yaml_files
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.config import Names, Numbers
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError, unknown
from slotbench.recipes import Part
from slotbench.report.tables import Number
from slotbench.results import published
from slotbench.results.table import CONFIDENCE, Collected
from slotbench.selection import SELECTIONS
from slotbench.yaml_files import Mistake, Place

CLAIMS = Path(__file__).with_name("claims.yaml")

DECIDING = ("paper", "authors-code")
"""The recipes whose cells decide: other hyper-parameters are other experiments."""

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN = "reproduced", "not reproduced", "undecided", "not run"
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", UNDECIDED: "?", NOT_RUN: "–"}
"""A verdict by its shape too, for who does not see its colour."""

UNITS = {"accuracy": " %", "difference": " points", "spread": " points", "largest gain": " points"}
DETERMINISTIC = {"cost": "flops", "memory": "state_bytes", "magnitude": "magnitude"}
"""Quantities of which one seed decides, and the range stands for the interval; with the table's column of each."""
FEWEST = {"spread": 5} | dict.fromkeys(DETERMINISTIC, 1)
"""Matched seeds that a quantity needs before it may decide; any other needs 3."""

Floats = npt.NDArray[np.float64]


class Group(Part):
    """Cells that differ only in network, K and seed."""

    selection: StrictStr
    k: Numbers = (1,)
    finetune: StrictStr = "none"
    """as in a grid, or "last": from the last checkpoint that the recipe keeps of the selection"""

    @property
    def label(self) -> str:
        """In words: "greedy at K = 8 finetuned from the last checkpoint"."""
        chosen = self.k != (1,) or SELECTIONS[self.selection].has_options
        start = "the last checkpoint" if self.finetune == "last" else f"epoch {self.finetune[1:]}"
        return (
            self.selection
            + (f" at K = {', '.join(map(str, self.k))}" if chosen else "")
            + ("" if self.finetune == "none" else f" finetuned from {start}")
        )


class Claim(Part):
    """A statement of the paper and what decides it."""

    statement: StrictStr
    source: StrictStr
    quantity: Literal["accuracy", "difference", "spread", "largest gain", "cost", "memory", "magnitude"]
    """accuracy: test accuracy of `first`, percent; its margin is counted from the published value.
    difference: accuracy of `first` minus that of `second`, seed by seed, the mean over K.
    spread: standard deviation over seeds of the accuracy of `first`.
    largest gain: the gain of accuracy from the first to the second K, minus each later gain.
    cost: FLOPs of `first`, with what it started from, over those of `second`.
    memory: bytes of training state of `first` over those of `second`, at the K where it is smallest.
    magnitude: mean magnitude of the selected weights of `first` over that of all their options, of the layer where it
    is smallest."""
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
            if claim.quantity in ("difference", "spread", "cost", "memory") and claim.second is None:
                raise Mistake(place, f"{key}: {claim.quantity} needs a second group of cells")
            if claim.quantity == "accuracy" and not claim.published:
                raise Mistake(place, f"{key}: accuracy needs the published figure that its margin is counted from")
            if claim.quantity == "largest gain" and len(claim.first.k) < 3:
                raise Mistake((*place, "first"), f"{key}: a largest gain needs three K or more")
            if claim.second and len(claim.second.k) not in (1, len(claim.first.k)):
                raise Mistake((*place, "second"), f"{key}: second needs one K, or as many as first")
        return self


def _check(place: Place, kind: str, name: str, known: Any) -> None:
    if name not in known:
        raise Mistake(place, unknown(kind, name, sorted(known)))


def load(path: Path = CLAIMS) -> Claims:
    """The claims of the file at `path`; an `InputError` tells what is wrong in which line."""
    return yaml_files.validated(yaml_files.read(path), Claims, {"claims": Claim, "first": Group, "second": Group})


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
    """mean over seeds and its two-sided 95 % interval; of a deterministic quantity, the range"""
    side: str = "above"
    margin: float | None = None
    """the claim holds where the quantity is on this side of this value"""
    published: float | None = None
    distance: float | None = None
    """mean minus published"""
    values: dict[str, float] = field(default_factory=dict)
    """what was compared: mean accuracies in percent; of a memory, its multiples of learned's"""
    records: tuple[str, ...] = ()
    """the cells behind it: paths below the results folder"""

    @property
    def asks(self) -> str:
        """What the quantity has to be."""
        return "" if self.margin is None else f"{self.side} {_number(self.margin)}{self.unit}"

    @property
    def unit(self) -> str:
        return UNITS.get(self.quantity, " ×")

    @property
    def found(self) -> str:
        """The mean with its interval."""
        if self.mean is None:
            return "–"
        several = self.low is not None and (self.n > 1 or self.low != self.high)
        return _number(self.mean) + (f" [{_number(self.low)}, {_number(self.high)}]" if several else "")


def _number(value: float | None, signed: bool = False) -> str:
    return str(Number(float("nan") if value is None else value, signed=signed))


def judge(collected: Collected, claims: Claims) -> list[Verdict]:
    """The verdicts on every claim by a run's table, in the order of the file.

    A claim over several networks has one verdict for all of them, then one for each that has been run.
    """
    verdicts: list[Verdict] = []
    cells = collected.cells[collected.cells["decides"]].fillna({"deviations": ""})
    for name, claim in claims.claims.items():
        named = claim.architectures or tuple(claims.networks)
        blank = Verdict(name, claim.statement, claim.source, claim.quantity, named, NOT_RUN, side=claim.side)
        recipe = collected.recipe
        if recipe not in DECIDING:
            verdicts.append(replace(blank, reason=f"recipe {recipe} decides no claim: it is not one of the paper's"))
        else:
            networks = {one: claims.networks[one] for one in (*named, *claim.shown)}
            each = {
                one: _of_network(claim, claims, one, dataset, recipe, cells, blank) for one, dataset in networks.items()
            }
            if len(networks) > 1:
                verdicts.append(_of_all(claim, {one: each[one] for one in named}, blank))
                verdicts += [verdict for verdict, _ in each.values() if verdict.verdict != NOT_RUN]
            else:
                verdicts += [verdict for verdict, _ in each.values()]
    return verdicts


# ---- one network -----------------------------------------------------------------------------------------


def _of_network(
    claim: Claim, claims: Claims, architecture: str, dataset: str, recipe: str, cells: pd.DataFrame, blank: Verdict
) -> tuple[Verdict, pd.Series[float]]:
    """The verdict for one network, and the quantity by seed."""
    blank = replace(blank, architectures=(architecture,))
    nothing = pd.Series(dtype=float)
    cells = cells[cells["architecture"].eq(architecture) & cells["dataset"].eq(dataset)]
    if cells.empty:
        return replace(blank, reason=f"the run has no {architecture} on {dataset}"), nothing
    column = DETERMINISTIC.get(claim.quantity, "test_accuracy")
    try:
        points = [[*_points(group, Cell(recipe, dataset, architecture, "", 1, "none", 0))] for group in claim.groups]
    except InputError as error:
        return replace(blank, reason=str(error)), nothing
    parts = [[_rows(cells, point) for point in some] for some in points]
    needed = pd.concat([rows for some in parts for rows in some])
    needed = needed[~needed.index.duplicated()]
    counts = needed[needed["status"].eq("done") & needed["deviations"].eq("")]
    if claim.quantity == "cost":
        counts = counts.assign(flops=_with_parents(counts, cells))
    # One column a point, one row a seed that has every point.
    wide = pd.concat(
        [counts.loc[counts.index.isin(rows.index)].set_index("seed")[column] for some in parts for rows in some],
        axis=1,
        keys=range(sum(map(len, parts))),
    ).dropna()
    n, split = len(wide), len(parts[0])
    first, second = (side.to_numpy(float) for side in (wide.iloc[:, :split], wide.iloc[:, split:]))

    said = _remarks(needed)
    diverged = needed[needed["status"].eq("diverged")]
    absent = [
        _label(point)
        for some, of in zip(parts, points, strict=True)
        for rows, point in zip(some, of, strict=True)
        if not rows.index.isin(counts.index).any()
    ]
    behind = needed[needed["seed"].isin(wide.index) & needed.index.isin(counts.index)]
    if claim.quantity == "cost":
        behind = pd.concat([behind, _parents(behind, cells)])
    blank = replace(blank, n=n, records=tuple(dict.fromkeys([*behind["record"], *diverged["record"]])))
    if n == 0:
        lacking = f"not done: {' and '.join(absent)}" if absent else "no seed has all the cells that it needs"
        verdict = NOT_RUN if absent and diverged.empty else UNDECIDED
        return replace(blank, verdict=verdict, reason=_joined(lacking, *said)), nothing

    margin, published = _margin(claim, architecture, dataset, second), _published(claim, architecture, dataset)
    samples = _samples(claim.quantity, first, second)
    comparisons = [_estimate(claim.quantity, sample) for sample in samples.T]
    outcomes = [_decide(low, high, margin, claim.side) for _, low, high in comparisons]
    # All comparisons have to hold, and one that fails is enough; shown is the one that stands worst.
    verdict = next((one for one in (NOT_REPRODUCED, UNDECIDED) if one in outcomes), REPRODUCED)
    worst = min((place for place, one in enumerate(outcomes) if one == verdict), key=lambda place: comparisons[place])
    mean, low, high = comparisons[worst]
    if verdict == UNDECIDED and n > 1:
        said.insert(0, "the interval contains the margin")
    if n < (fewest := FEWEST.get(claim.quantity, 3)):
        verdict = UNDECIDED
        said.insert(0, f"{n} matched seed{'s' * (n > 1)}; {fewest} are the fewest that may decide")
    if not diverged.empty:
        verdict = UNDECIDED
    said += [*_further(claim, architecture, dataset, mean), claim.note]
    if architecture in claim.shown:
        said.append("shown; does not count towards the verdict for all")
    values = {
        group.label: _mean_accuracy(counts, some, wide.index) for group, some in zip(claim.groups, parts, strict=True)
    }
    if claim.quantity == "memory":
        values = _implementations(claims, claim.first.k, samples)
    found = replace(
        blank, verdict=verdict, reason=_joined(*said), mean=_finite(mean), low=_finite(low), high=_finite(high),
        margin=margin, published=published, distance=None if published is None else mean - published, values=values,
    )  # fmt: skip
    return found, pd.Series(samples[:, worst], index=wide.index)


Point = tuple[str, int, str]
"""selection, K, finetune"""


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


def _label(point: Point) -> str:
    selection, k, start = point
    return Group(selection=selection, k=(k,), finetune=start).label


def _rows(cells: pd.DataFrame, point: Point) -> pd.DataFrame:
    selection, k, start = point
    return cells[cells["selection"].eq(selection) & cells["k"].eq(k) & cells["finetune"].eq(start)]


def _mean_accuracy(counts: pd.DataFrame, parts: Sequence[pd.DataFrame], seeds: pd.Index[Any]) -> float:
    rows = counts[counts.index.isin(pd.concat(parts).index) & counts["seed"].isin(seeds)]
    return float(rows["test_accuracy"].mean())


def _parents(children: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that finetuned `children` started from."""
    axes = ["selection", "k", "seed"]
    tuned = children.loc[children["finetune"] != "none", axes].drop_duplicates()
    return cells[cells["finetune"].eq("none")].merge(tuned, on=axes)


def _with_parents(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.Series[float]:
    """FLOPs of each row, and of the epochs that its parent had trained at the checkpoint; NaN without the parent."""
    axes = ["selection", "k", "seed"]
    origins = cells[cells["finetune"].eq("none") & cells["status"].eq("done") & cells["deviations"].eq("")]
    origin = rows[axes].merge(origins[[*axes, "flops", "epochs"]], on=axes, how="left").set_index(rows.index)
    before = origin["flops"].astype(float) * rows["start_epoch"].astype(float) / origin["epochs"].astype(float)
    return rows["flops"].astype(float) + before.where(rows["finetune"] != "none", 0.0)


def _remarks(needed: pd.DataFrame) -> list[str]:
    """What became of the cells that do not count, a remark for each reason."""
    odd = int((needed["deviations"].ne("") & needed["status"].eq("done")).sum())
    counts = needed["status"].value_counts()
    said = [f"{count} cell{'s' * (count > 1)} {status}" for status in ("diverged", "failed", "missing")
            if (count := int(counts.get(status, 0)))]  # fmt: skip
    return said + ([f"{odd} cell{'s' * (odd > 1)} not trained as the recipe says"] if odd else [])


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


# ---- quantities and their intervals ----------------------------------------------------------------------


def _samples(quantity: str, first: Floats, second: Floats) -> Floats:
    """[seeds, comparisons]: the quantity by seed, from [seeds, K] of each group."""
    if quantity == "largest gain":
        gains = np.diff(first, axis=1)
        return gains[:, :1] - gains[:, 1:]
    compared = {"difference": np.subtract, "cost": np.divide, "memory": np.divide}
    by_k: Floats = compared[quantity](first, second) if quantity in compared else first
    if quantity == "memory":
        return by_k
    # FLOPs are whole numbers: what rounding adds to their ratio is not there.
    return np.asarray(by_k.mean(axis=1, keepdims=True).round(9))


def _estimate(quantity: str, sample: Floats) -> tuple[float, float, float]:
    """The quantity and the ends of its two-sided 95 % interval; infinite ends where there is one seed."""
    n = len(sample)
    if quantity in DETERMINISTIC:
        return float(sample.mean()), float(sample.min()), float(sample.max())
    if n < 2:
        return (np.nan, 0.0, np.inf) if quantity == "spread" else (float(sample[0]), -np.inf, np.inf)
    deviation = float(sample.std(ddof=1))
    if quantity == "spread":
        tails = stats.chi2.ppf([0.5 + CONFIDENCE / 2, 0.5 - CONFIDENCE / 2], n - 1)
        low, high = deviation * np.sqrt((n - 1) / tails)
        return deviation, float(low), float(high)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * deviation / np.sqrt(n)
    mean = float(sample.mean())
    return mean, mean - half, mean + half


def _decide(low: float, high: float, margin: float, side: str) -> str:
    """The verdict by an interval; a value that has none and is not past the margin fails."""
    if side == "below":
        low, high, margin = -high, -low, -margin
    if low > margin:
        return REPRODUCED
    return NOT_REPRODUCED if high < margin or low == high else UNDECIDED


# ---- what was published ----------------------------------------------------------------------------------


def _published(claim: Claim, architecture: str, dataset: str) -> float | None:
    """The quantity by the paper's own numbers; None where one of them is not known."""
    if claim.quantity == "spread" or claim.quantity in DETERMINISTIC:
        return None
    if claim.quantity == "accuracy":
        return _published_by(claim.published[0], claim.first, architecture, dataset)
    frame = published.values().set_index(["dataset", "architecture", "selection", "k"])["mean"]
    sides = []
    for group in claim.groups:
        keys = [(dataset, architecture, group.selection, k) for k in group.k]
        if group.finetune != "none" or any(key not in frame.index for key in keys):
            return None
        sides.append(frame.loc[keys].to_numpy(float)[None])
    return float(_samples(claim.quantity, sides[0], sides[-1]).min())


def _published_by(figure: str, group: Group, architecture: str, dataset: str) -> float:
    """The accuracy of `group` in one figure or text of the paper."""
    frame = published.every_value()
    rows = frame[
        frame["figure"].eq(figure) & frame["architecture"].eq(architecture) & frame["dataset"].eq(dataset)
        & frame["selection"].eq(group.selection) & frame["k"].isin(group.k)
    ]  # fmt: skip
    if len(rows) != 1:
        raise InputError(f"{published.PUBLISHED}: figure '{figure}' should have {architecture}, {group.label}, once")
    return float(rows["mean"].iloc[0])


def _margin(claim: Claim, architecture: str, dataset: str, second: Floats) -> float:
    """What the quantity is held to."""
    if claim.quantity == "accuracy":
        return _published_by(claim.published[0], claim.first, architecture, dataset) + claim.margin
    if claim.quantity == "spread" and len(second) > 1:
        return max(claim.margin, claim.times * float(second.std(axis=0, ddof=1).max()))
    return claim.margin


def _further(claim: Claim, architecture: str, dataset: str, mean: float) -> list[str]:
    """The distances to whatever else was published."""
    said = []
    for figure in claim.published[1:]:
        value = _published_by(figure, claim.first, architecture, dataset)
        said.append(f"published in {figure}: {_number(value)}, distance {_number(mean - value, signed=True)}")
    return said


# ---- all networks, and none ------------------------------------------------------------------------------


def _of_all(claim: Claim, each: Mapping[str, tuple[Verdict, pd.Series[float]]], blank: Verdict) -> Verdict:
    """The verdict for all networks: reproduced if each one is, not reproduced if one is not.

    Its numbers are the mean over the networks that have been run, by the seeds that all of these have.
    """
    by: dict[str, list[str]] = {}
    for architecture, (verdict, _) in each.items():
        by.setdefault(verdict.verdict, []).append(architecture)
    run = [verdict for verdict, _ in each.values() if verdict.verdict != NOT_RUN]
    if not run:
        reasons: dict[str, list[str]] = {}
        for architecture, (verdict, _) in each.items():
            reasons.setdefault(verdict.reason, []).append(architecture)
        return replace(blank, reason=_joined(*(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())))
    outcome = NOT_REPRODUCED if NOT_REPRODUCED in by else next(iter(by)) if len(by) == 1 else UNDECIDED
    blank = replace(
        blank,
        verdict=outcome,
        reason=_joined(*(f"{said}: {', '.join(names)}" for said, names in by.items())),
        n=min(verdict.n for verdict in run),
        margin=None if claim.quantity in ("accuracy", "spread") else claim.margin,
        records=tuple(dict.fromkeys(record for verdict in run for record in verdict.records)),
    )
    pool = pd.concat([series for verdict, series in each.values() if verdict.verdict != NOT_RUN], axis=1).dropna()
    if claim.quantity == "spread" or pool.empty:
        return blank
    mean, low, high = _estimate(claim.quantity, pool.mean(axis=1).to_numpy())
    known = [verdict.published for verdict in run if verdict.published is not None]
    published = float(np.mean(known)) if len(known) == len(run) else None
    return replace(
        blank, n=len(pool), mean=mean, low=_finite(low), high=_finite(high), published=published,
        distance=None if published is None else mean - published,
    )  # fmt: skip


def _implementations(claims: Claims, ks: Sequence[int], ours: Floats) -> dict[str, float]:
    """Bytes of training state over learned's: of those that keep K scores, and of `ours`, [seeds, K], as measured."""
    ratios = {
        f"K = {k}, {name}": k * floats / claims.learned_floats for k in ks for name, floats in claims.floats.items()
    }
    return ratios | {f"K = {k}, the staircase": float(ratio) for k, ratio in zip(ks, ours.mean(axis=0), strict=True)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


# ---- for people and programs -----------------------------------------------------------------------------


def as_json(verdicts: Sequence[Verdict]) -> str:
    """A list of objects with the fields of `Verdict`; what there is no number for is null."""
    return json.dumps([asdict(one) for one in verdicts], indent=1, allow_nan=False) + "\n"
