"""What a claim is held to: its margin, and the paper's own numbers of it."""

from __future__ import annotations

from slotbench.errors import InputError
from slotbench.report.claims import Claim, Group
from slotbench.report.quantities import QUANTITIES, Floats
from slotbench.report.tables import Number
from slotbench.results import published
from slotbench.results.table import DIGITS


def published_value(claim: Claim, architecture: str, dataset: str) -> float | None:
    """The quantity by the paper's own numbers; None where one of them is not known."""
    quantity = QUANTITIES[claim.quantity]
    if quantity.published == "nowhere":
        return None
    if quantity.published == "figure":
        return published_in(claim.published[0], claim.first, architecture, dataset)[0]
    frame = published.values().set_index(["dataset", "architecture", "selection", "k"])["mean"]
    sides = []
    for group in claim.groups:
        keys = [(dataset, architecture, group.selection, k) for k in group.k]
        if group.finetune != "none" or any(key not in frame.index for key in keys):
            return None
        sides.append(frame.loc[keys].to_numpy(float)[None])
    samples = quantity.sample(sides[0], sides[-1])
    return float(samples.min() if claim.side == "above" else samples.max())


def published_in(figure: str, group: Group, architecture: str, dataset: str) -> tuple[float, float]:
    """The accuracy of `group` in one figure or text of the paper, and the uncertainty of reading it."""
    frame = published.every_value()
    rows = frame[
        frame["figure"].eq(figure) & frame["architecture"].eq(architecture) & frame["dataset"].eq(dataset)
        & frame["selection"].eq(group.selection) & frame["k"].isin(group.k)
    ]  # fmt: skip
    if len(rows) != 1:
        raise InputError(f"{published.PUBLISHED}: figure '{figure}' should have {architecture}, {group.label}, once")
    return float(rows["mean"].iloc[0]), float(rows["uncertainty"].iloc[0])


def margin_of(claim: Claim, second: Floats, number: float | None) -> float:
    """What the quantity is held to: 97.9, not 97.89999999999999."""
    quantity = QUANTITIES[claim.quantity]
    margin = claim.margin + (number or 0.0 if quantity.counted_from_published else 0.0)
    if quantity.spread_of_second and len(second) > 1:
        margin = max(margin, claim.times * float(second.std(axis=0, ddof=1).max()))
    return round(margin, DIGITS)


def further(claim: Claim, architecture: str, dataset: str, mean: float) -> list[str]:
    """The distances to whatever else was published."""
    remarks = []
    for figure in claim.published[1:]:
        value, _ = published_in(figure, claim.first, architecture, dataset)
        remarks.append(f"published in {figure}: {shown(value)}, distance {shown(mean - value, signed=True)}")
    return remarks


def shown(value: float | None, signed: bool = False) -> str:
    """A number as text has it; "–" where there is none."""
    return str(Number(float("nan") if value is None else value, signed=signed))
