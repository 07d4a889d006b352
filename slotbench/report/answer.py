"""What verdicts add up to: one sentence, and a matrix of claims and networks; for report, README, paper and terminal.

A verdict that is open is told apart here: too close to call (the interval contains the margin), open (cells are
missing), or reproduced by each network that was run while others were not.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from slotbench.report import names
from slotbench.report.claims import Claims
from slotbench.report.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, SHOWN, SIGNS, UNDECIDED, Verdict
from slotbench.results.table import NETWORK, summary

WHERE_RUN = "holds where run, the rest not run"
TOO_CLOSE = "too close to call"
OPEN = "open, cells missing"
KINDS = {REPRODUCED: "✓", WHERE_RUN: "◐", NOT_REPRODUCED: "✗", TOO_CLOSE: "≈", OPEN: "…", NOT_RUN: "–"}
"""What can become of a claim, by its shape too, in the order in which it is counted."""
KINDS |= {SHOWN: SIGNS[SHOWN]}


def grouped(verdicts: Sequence[Verdict]) -> list[list[Verdict]]:
    """For each claim its verdicts: of all its networks first, where there are several."""
    return [list(rows) for _, rows in itertools.groupby(verdicts, key=lambda verdict: verdict.id)]


def kind(verdict: Verdict) -> str:
    """What became of a claim for one network."""
    if verdict.verdict != UNDECIDED:
        return verdict.verdict
    return TOO_CLOSE if "the interval contains the margin" in verdict.reason else OPEN


def kind_of_all(group: Sequence[Verdict]) -> str:
    """What became of a claim, by its verdict for all networks and those for each."""
    first, *each = group
    if first.verdict != UNDECIDED or not each:
        return kind(first)
    kinds = {kind(verdict) for verdict in each}
    return WHERE_RUN if kinds == {REPRODUCED} else next(word for word in (TOO_CLOSE, OPEN) if word in {*kinds, OPEN})


def kinds(group: Sequence[Verdict]) -> list[str]:
    """What became of a claim by each of its verdicts."""
    return [kind_of_all(group), *map(kind, group[1:])]


@dataclass(frozen=True)
class Matrix:
    """Claims × networks: what became of each."""

    networks: Mapping[str, str]
    """architecture → dataset"""
    rows: Sequence[tuple[Verdict, Mapping[str, str]]]
    """of each claim its first verdict, and for each network that it is about, a kind"""

    def counts(self, architecture: str) -> Counter[str]:
        return Counter(kinds[architecture] for _, kinds in self.rows if architecture in kinds)


def matrix(verdicts: Sequence[Verdict], claims: Claims) -> Matrix:
    rows = []
    for group in grouped(verdicts):
        by_network = {verdict.architectures[0]: kind(verdict) for verdict in group if len(verdict.architectures) == 1}
        rows.append((group[0], {name: by_network.get(name, NOT_RUN) for name in group[0].architectures} | by_network))
    return Matrix(claims.networks, rows)


def sentence(verdicts: Sequence[Verdict], claims: Claims) -> str:
    """The answer: of each network that was run how many claims hold, and which networks were not run."""
    whole = matrix(verdicts, claims)
    counts = {name: whole.counts(name) for name in whole.networks}
    run = [name for name, count in counts.items() if set(count) - {NOT_RUN}]
    if not run:
        reasons = Counter(verdict.reason for verdict in verdicts if verdict.reason)
        return "No claim of the paper is decided by this run: " + next(iter(reasons), "none of its cells is done") + "."
    labels = {name: names.network(dataset, name) for name, dataset in whole.networks.items()}
    sentences = [f"On {labels[name].replace(' on ', ' and ')} {_told(counts[name])}." for name in run]
    rest = [name for name in whole.networks if name not in run]
    if rest:
        alone = sum(kind_of_all(group) == NOT_RUN for group in grouped(verdicts))
        sentences.append(
            f"Of {_listed([labels[name] for name in rest])} nothing is decided yet: {alone} claims are about them "
            "alone, and what the paper says of all its networks is open."
        )
    return " ".join(sentences)


def _told(counts: Counter[str]) -> str:
    words = {REPRODUCED: ("holds", "hold"), NOT_REPRODUCED: ("does not", "do not")}
    words |= {TOO_CLOSE: ("is too close to call", "are too close to call"), OPEN: ("is open", "are open")}
    words |= {NOT_RUN: ("was not run", "were not run")}
    judged = sum(counts[name] for name in words)
    parts = [f"{counts[name]} {words[name][counts[name] != 1]}" for name in words if counts[name] or name == REPRODUCED]
    first = parts[0].replace(" ", f" of {judged} claims ", 1)
    return _listed([first, *parts[1:]])


def _listed(parts: Sequence[str]) -> str:
    """ "a, b and c"; of networks on one dataset, the dataset once."""
    ends = {part.partition(" on ")[2] for part in parts}
    if len(parts) > 1 and len(ends) == 1 and "" not in ends:
        return f"{_listed([part.partition(' on ')[0] for part in parts])} on {ends.pop()}"
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def why(verdict: Verdict, study: pd.DataFrame) -> str:
    """Why a claim is not reproduced for a network: how far off it is, and what `study`'s recipes make of it.

    `study` has cells that change one setting of the deciding recipe; it may be empty.
    """
    if kind(verdict) not in (NOT_REPRODUCED, TOO_CLOSE) or verdict.mean is None or verdict.margin is None:
        return ""
    if verdict.low is None or verdict.high is None:
        return ""
    gap = verdict.mean - verdict.margin
    if kind(verdict) == TOO_CLOSE:
        half = (verdict.high - verdict.low) / 2
        more = math.ceil(verdict.n * (half / abs(gap)) ** 2) if gap else 0
        text = f"The mean is {_signed(gap)} from the margin, and its interval reaches past it on either side"
        enough = verdict.n < more <= 100
        return text + (f"; about {more} seeds would tell, if the mean stayed." if enough else ".") + _by(verdict, study)
    text = f"The mean is {_signed(gap)} from the margin, and all of its interval lies on the wrong side."
    return text + _by(verdict, study)


def _by(verdict: Verdict, study: pd.DataFrame) -> str:
    """Which other settings of the recipe reach the margin of a claim on an accuracy, by the study's records."""
    if verdict.quantity != "accuracy" or study.empty or verdict.margin is None:
        return ""
    label = next(iter(verdict.values), "")
    rows = study[(study["status"] == "done") & (study["architecture"] == verdict.architectures[0])]
    points = zip(rows["selection"], rows["k"], rows["finetune"], strict=True)
    rows = rows[[names.method(*point) == label for point in points]]
    if rows.empty:
        return ""
    means = summary(rows, [*NETWORK, "recipe"])
    reached = means[means["mean"] >= verdict.margin]
    if reached.empty:
        return " No setting of the recipe that the study changed reaches the margin."
    recipes = ", ".join(f"{row['recipe']} {row['mean']:.2f} (n = {row['n']})" for row in reached.to_dict("records"))
    return f" With other settings of the recipe the study does reach the margin: {recipes} %."


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def markdown(verdicts: Sequence[Verdict], claims: Claims) -> str:
    """The answer and the matrix for README: rows that were run nowhere are counted, not listed."""
    whole = matrix(verdicts, claims)
    run = [name for name in whole.networks if set(whole.counts(name)) - {NOT_RUN}]
    heads = ["claim", *(names.architecture_label(name) for name in run), "all its networks"]
    overall = {group[0].id: kind_of_all(group) for group in grouped(verdicts)}
    rows = [
        [verdict.statement, *(_cell(kinds.get(name)) for name in run), _cell(overall[verdict.id])]
        for verdict, kinds in whole.rows
        if overall[verdict.id] != NOT_RUN
    ]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join([sentence(verdicts, claims), "", *(f"| {' | '.join(line)} |" for line in lines)])


def _cell(name: str | None) -> str:
    return "" if name is None else f"{KINDS[name]} {name}"
