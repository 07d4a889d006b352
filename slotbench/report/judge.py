"""The claims and a collected run → a verdict on every claim (docs/claims.md says how).

"Reproduced" means that the claim holds here, not that the published number came out. Intervals are over seeds, with
one split of the training images and one test set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from slotbench.report.claims import Claim, Claims
from slotbench.report.quantities import QUANTITIES
from slotbench.report.readings import sources, with_readings
from slotbench.report.verdict import (
    DECIDING,
    NOT_REPRODUCED,
    NOT_RUN,
    SHOWN,
    UNDECIDED,
    Verdict,
    finite,
    joined,
    of_network,
)
from slotbench.results.table import Collected


def judge(collected: Collected, claims: Claims) -> list[Verdict]:
    """The verdicts on every claim by a collected run, in the order of the file.

    A claim over several networks has one verdict for all of them, then one for each that has been run.
    """
    of = sources(collected)
    verdicts: list[Verdict] = []
    for name, claim in claims.claims.items():
        named = claim.architectures or tuple(claims.networks)
        blank = Verdict(name, claim.statement, claim.source, claim.quantity, named, NOT_RUN, side=claim.side)
        if collected.recipe not in DECIDING:
            reason = f"recipe {collected.recipe} decides no claim: it is not one of the paper's"
            verdicts.append(replace(blank, reason=reason))
            continue
        each = {}
        for architecture in (*named, *claim.shown):
            verdict, sample = of_network(claim, claims, architecture, of.own, blank)
            each[architecture] = with_readings(verdict, claim, claims, of), sample
        if len(each) > 1:
            verdicts.append(_of_all(claim, {architecture: each[architecture] for architecture in named}, blank))
            verdicts += [verdict for verdict, _ in each.values() if verdict.verdict != NOT_RUN]
        else:
            verdicts += [verdict for verdict, _ in each.values()]
    return _with_holm(verdicts)


# ---- all networks, and all claims ------------------------------------------------------------------------


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
        return replace(blank, reason=joined(*(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())))
    outcome = NOT_REPRODUCED if NOT_REPRODUCED in by else next(iter(by)) if len(by) == 1 else UNDECIDED
    quantity = QUANTITIES[claim.quantity]
    of_network_only = quantity.counted_from_published or quantity.spread_of_second
    blank = replace(
        blank,
        verdict=outcome if claim.judged else SHOWN,
        reason=joined(*(f"{verdict}: {', '.join(names)}" for verdict, names in by.items())),
        n=min(verdict.n for verdict in run),
        margin=None if of_network_only else claim.margin,
        records=tuple(dict.fromkeys(record for verdict in run for record in verdict.records)),
        depends=tuple(dict.fromkeys(on for verdict in run for on in verdict.depends)),
    )
    pool = pd.concat([sample for verdict, sample in each.values() if verdict.verdict != NOT_RUN], axis=1).dropna()
    if quantity.spread_of_second or pool.empty:
        return blank
    mean, low, high = quantity.estimate(pool.mean(axis=1).to_numpy())
    known = [verdict.published for verdict in run if verdict.published is not None]
    number = float(np.mean(known)) if len(known) == len(run) else None
    return replace(
        blank, n=len(pool), mean=mean, low=finite(low), high=finite(high), published=number,
        distance=None if number is None else mean - number,
    )  # fmt: skip


def _with_holm(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """With Holm's correction of every p over all that have one: the i-th smallest of m times m - i, never falling."""
    order = sorted((place for place, verdict in enumerate(verdicts) if verdict.p is not None),
                   key=lambda place: verdicts[place].p or 0.0)  # fmt: skip
    corrected, highest = list(verdicts), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * (verdicts[place].p or 0.0)))
        corrected[place] = replace(verdicts[place], p_holm=highest)
    return corrected


# ---- for people and programs -----------------------------------------------------------------------------


def as_json(verdicts: Sequence[Verdict]) -> str:
    """A list of objects with the fields of `Verdict`; what there is no number for is null."""
    objects = [
        asdict(verdict) | {"readings": [reading._asdict() for reading in verdict.readings]} for verdict in verdicts
    ]
    return json.dumps(objects, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


MEANING = (
    "Reproduced: the claim holds here, not: the published number came out. Intervals are over seeds, with one split of "
    "the training images and one test set; no correction for many claims."
)
