"""The verdicts as figures: method and result in one, and all claims as one forest plot. Drawn from a run's verdicts."""

from __future__ import annotations

import functools
import itertools
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from slotbench.report import answer, names
from slotbench.report.figures.method import draw_slot
from slotbench.report.figures.parts import (
    draw_over_k,
    draw_points,
    draw_published,
    first_network,
    mean_of,
    published_for,
)
from slotbench.report.figures.registry import FIGURES, Drawn, Words, remove, save_one
from slotbench.report.figures.style import GREY, INK, KIND_COLOURS, look
from slotbench.report.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, SHOWN, Verdict
from slotbench.results import published
from slotbench.results.table import NETWORK, Collected

HERO, CLAIMS = "method-and-result", "claims"
SHOWN_K = 8
"""of the connection whose slot is drawn"""


def save(collected: Collected, verdicts: Sequence[Verdict], folder: Path) -> dict[str, Drawn | None]:
    """Draws both figures into `folder`; None, and no file, where there is nothing to draw."""
    cells = FIGURES["accuracy-over-k"].done(collected.shown)
    rows = judged(verdicts)
    pictures: dict[str, Drawn | None] = {HERO: None, CLAIMS: None}
    if cells.empty:
        remove(HERO, folder)
    else:
        cells = first_network(cells)[1]
        others = published.undecided(collected.shown)
        others = others[(others["selection"] == "greedy") & (others["k"] == SHOWN_K)]
        kinds = [answer.kind_of_all(group) for group in answer.grouped(verdicts)]
        draw = functools.partial(hero, cells, others, kinds)
        pictures[HERO] = save_one(HERO, _hero_words(cells, others, kinds), draw, folder)
    if rows:
        pictures[CLAIMS] = save_one(CLAIMS, _claims_words(rows), functools.partial(forest, rows), folder)
    else:
        remove(CLAIMS, folder)
    return pictures


# ---- method and result -----------------------------------------------------------------------------------


def hero(cells: pd.DataFrame, others: pd.DataFrame, kinds: Sequence[str], abreast: int) -> Figure:
    """A connection's slot and staircase; accuracy over K of one network, whose cells these are; that of `others` at
    `SHOWN_K`, if there are any; the claims by kind."""
    extra = not others.empty
    if abreast > 1:
        picture = Figure(figsize=(10.8 if extra else 9.0, 3.3), layout="constrained")
        widths = (1, 1.3, 0.75, 1.15) if extra else (1, 1.35, 1.1)
        grid = picture.add_gridspec(2, len(widths), width_ratios=widths, height_ratios=(3, 2))
        places = [grid[0, 0], grid[1, 0], *(grid[:, place] for place in range(1, len(widths)))]
    else:
        heights = (3, 2, 5, 3, 4) if extra else (3, 2, 5, 4)
        picture = Figure(figsize=(3.9, 10.0 if extra else 8.2), layout="constrained")
        grid = picture.add_gridspec(len(heights), 1, height_ratios=heights)
        places = [grid[place] for place in range(len(heights))]
    lines, stairs, accuracy, *rest, counts = (picture.add_subplot(place) for place in places)
    draw_slot(lines, stairs, SHOWN_K)
    lines.set_title("One connection: which weight?")
    draw_over_k(accuracy, cells, ["greedy"], authors_code=True)
    accuracy.set_title(names.network(*cells.iloc[0][NETWORK]))
    accuracy.set_ylabel("test accuracy (%)")
    accuracy.set_xlabel("K, options per connection")
    for ax in rest:
        _draw_undecided(ax, others)
    _draw_kinds(counts, kinds)
    counts.set_title("The paper's claims")
    return picture


def _draw_undecided(ax: Axes, cells: pd.DataFrame) -> None:
    """A network a place: our seeds with their mean, and what was published."""
    groups = list(cells.groupby(NETWORK, sort=False))
    for place, (_, rows) in enumerate(groups):
        paper = published_for(rows, "greedy")
        paper = paper[paper["k"] == SHOWN_K]
        draw_published(ax, paper, paper["k"] * 0 + place - 0.15)
        draw_points(ax, rows.assign(place=place), look("greedy"), x="place", line="")
    datasets = {names.dataset_label(dataset) for (dataset, _), _ in groups}
    ax.set_title(f"{', '.join(sorted(datasets))}, K = {SHOWN_K}")
    ax.set_xticks(range(len(groups)), [names.architecture_label(architecture) for (_, architecture), _ in groups])
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.set_xlabel("decides no claim")


def _draw_kinds(ax: Axes, kinds: Sequence[str]) -> None:
    """A line for each kind of verdict: a box for each claim, and what they are."""
    totals = Counter(kinds)
    present = [kind for kind in answer.KINDS if totals[kind]]
    longest = max(totals.values())
    for line, kind in enumerate(present):
        colour = KIND_COLOURS[kind]
        ax.text(0, line - 0.26, f"{totals[kind]} {kind}", color=colour, va="bottom", fontsize=7.5)
        for place in range(totals[kind]):
            ax.add_patch(Rectangle((place, line - 0.2), 0.8, 0.42, fill=False, edgecolor=colour, linewidth=0.9))
            ax.text(place + 0.4, line, answer.KINDS[kind], color=colour, ha="center", va="center", fontsize=7)
    ax.set_xlim(-0.1, max(longest, 8))
    ax.set_ylim(max(len(present), 4) - 0.6, -0.7)
    ax.set_axis_off()


def _hero_words(cells: pd.DataFrame, others: pd.DataFrame, kinds: Sequence[str]) -> Words:
    network = names.network(*cells.iloc[0][["dataset", "architecture"]])
    greedy = cells[cells["selection"] == "greedy"]
    k = SHOWN_K if SHOWN_K in set(greedy["k"]) else int(greedy["k"].max())
    paper = published_for(greedy, "greedy").set_index("k")["mean"]
    finding = f"One of K random weights, chosen by training: {mean_of(greedy, k=k):.2f} % at K = {k} ({network})"
    if k in paper.index:
        finding += f", where the paper has {paper[k]:.2f} %"
    beside = ""
    if not others.empty:
        networks = map(names.architecture_label, others["architecture"].unique())
        recipes = " and ".join(others["recipe"].unique())
        beside = f"Beside it, {' and '.join(networks)} at K = {SHOWN_K} by recipe {recipes}, which decides no claim. "
    shows = (
        "First, what training does to one connection, the second of seed 0: each line is the score of one of its "
        f"{SHOWN_K} random weights over θ, the one number that is trained; the highest is selected (thick), so that "
        "the selected weight climbs a staircase. Then, test accuracy over K (blue, 95 % intervals), beside learned "
        "weights at the recipe's rate (green, solid) and, where it was trained, at a tuned one (dash-dotted), the "
        "published values (grey diamonds) and the authors' own code run here (crosses). "
        f"{beside}Last, a box for each of the paper's {len(kinds)} claims, all networks that it is about together."
    )
    totals = Counter(kinds)
    told = ", ".join(f"{totals[kind]} {kind}" for kind in answer.KINDS if totals[kind])
    title = "Method and result"
    return Words(title, finding, shows, shows, f"Chart. {title}. {finding}. Claims: {told}.")


# ---- all claims ------------------------------------------------------------------------------------------


def judged(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those of one network that have a number and a margin, and are judged, in the claims' order; ratios last."""
    single = [
        verdict
        for verdict in verdicts
        if len(verdict.architectures) == 1
        and verdict.verdict not in (NOT_RUN, SHOWN)
        and None not in (verdict.mean, verdict.margin, verdict.low, verdict.high)
    ]
    return sorted(single, key=_ratio)


def forest(rows: Sequence[Verdict], abreast: int) -> Figure:
    """How far each claim lies from its margin, a row each: points of percent above, ratios below."""
    wide = abreast > 1
    several = len({verdict.architectures for verdict in rows}) > 1
    groups = [list(group) for _, group in itertools.groupby(rows, key=_ratio)]
    height = 0.21 if wide else 0.4
    picture = Figure(figsize=(7.4 if wide else 3.9, 1.2 + height * (len(rows) + 2 * len(groups))), layout="constrained")
    axes = picture.subplots(len(groups), 1, squeeze=False, height_ratios=[len(group) + 0.7 for group in groups])
    for ax, group in zip(axes.flat, groups, strict=True):
        for line, verdict in enumerate(group):
            _draw_row(ax, line, verdict)
        labels = [_label(verdict, several, 74 if wide else 26) for verdict in group]
        ax.set_yticks(range(len(group)), labels)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(group) - 0.4, -0.7)
        ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
        _distance_axis(ax, group)
    for text, away, side in (("← does not hold", -5, "right"), ("holds →", 5, "left")):
        axes.flat[0].annotate(text, (0, 1), xycoords=("data", "axes fraction"), xytext=(away, 2),
                              textcoords="offset points", ha=side, va="bottom", fontsize=7.5)  # fmt: skip
    return picture


def _draw_row(ax: Axes, line: int, verdict: Verdict) -> None:
    mean, low, high = (_distance(verdict, value) for value in (verdict.mean, verdict.low, verdict.high))
    colour = KIND_COLOURS[answer.kind(verdict)]
    ax.plot([low, high], [line, line], color=colour, linewidth=1.3, zorder=2)
    ax.plot(mean, line, "o", color=colour, markersize=4.5, zorder=3)
    if verdict.published is not None:
        ax.plot(_distance(verdict, verdict.published), line, "D", color=GREY, markerfacecolor="white", markersize=4.5,
                markeredgewidth=0.9, zorder=2)  # fmt: skip
    words = f"{answer.KINDS[answer.kind(verdict)]} n = {verdict.n}"
    ax.annotate(words, (1.01, line), xycoords=("axes fraction", "data"),
                va="center", color=colour, fontsize=7)  # fmt: skip


def _ratio(verdict: Verdict) -> bool:
    return verdict.unit.strip() == "×"


def _distance(verdict: Verdict, value: float | None) -> float:
    """From the margin to `value`, positive on the claim's side."""
    assert value is not None  # as `judged` has chosen them
    assert verdict.margin is not None
    return (value - verdict.margin) * (1 if verdict.side == "above" else -1)


def _label(verdict: Verdict, several: bool, width: int) -> str:
    text = verdict.statement + (f", {names.architecture_label(verdict.architectures[0])}" if several else "")
    return textwrap.fill(text, width).replace("$", r"\$")


def _distance_axis(ax: Axes, group: Sequence[Verdict]) -> None:
    """Linear within 1, as powers of ten beyond where something lies far off."""
    farthest = max(abs(_distance(verdict, end)) for verdict in group for end in (verdict.low, verdict.high))
    if _ratio(group[0]):
        ax.set_xlabel("distance from the margin, as a multiple", labelpad=1)
    else:
        ax.set_xlabel("distance from the margin, percentage points", labelpad=1)
    if farthest > 5:
        ax.set_xscale("symlog", linthresh=1, linscale=2)
        ticks = [-1, -0.5, 0, 0.5, 1, 10, 100]
        ax.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        ax.minorticks_off()
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, -0.12 * high), max(high, -0.12 * low) * 1.1)


def _claims_words(rows: Sequence[Verdict]) -> Words:
    totals = Counter(answer.kind(verdict) for verdict in rows)
    networks = {verdict.architectures[0] for verdict in rows}
    where = f" of {names.architecture_label(next(iter(networks)))}" if len(networks) == 1 else ""
    finding = (
        f"{totals[REPRODUCED]} of {len(rows)} intervals{where} lie on their claim's side of the margin, "
        f"{totals[NOT_REPRODUCED]} on the other"
    )
    shows = (
        "All claims that have been measured, one network a row: the mean with its 95 % interval as its distance from "
        "the margin, so that a claim holds where all of it lies right of 0. Grey diamonds: the published value, where "
        "there is one. n counts the seeds of which every compared cell is there."
    )
    title = "All claims beside each other"
    return Words(title, finding, shows, shows, f"Chart. {title}. {finding}. The table of verdicts holds every value.")
