"""The figures of verdicts say what the verdicts say."""

import re
from dataclasses import replace

import numpy as np
import pytest

from slotbench.report import answer, claims, figures
from slotbench.report.figures import verdicts
from slotbench.report.figures.style import styled
from slotbench.report.judge import judge
from slotbench.report.verdict import NOT_RUN
from slotbench.results import published
from tests.support import synthetic
from tests.support.drawing import collected


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return collected(tmp_path_factory.mktemp("verdicts"), synthetic.grid(ks=(1, 2, 4, 8, 64), finetune=("e120",)))


@pytest.fixture(scope="module")
def judged(run):
    return judge(run, claims.load())


def texts(picture):
    return [text.get_text() for ax in picture.axes for text in ax.texts]


@pytest.mark.parametrize("abreast", [1, 3])
def test_a_claim_stands_right_of_0_by_as_much_as_it_is_beyond_its_margin(judged, abreast):
    rows = verdicts.judged(judged)
    assert {verdict.id for verdict in rows} > {"lenet-k2", "consistent", "memory-cost"}
    with styled():
        picture = verdicts.forest(rows, abreast)
    drawn = [(float(line.get_xdata()[0]), ax) for ax in picture.axes for line in ax.lines if line.get_marker() == "o"]
    assert [place for place, _ in drawn] == pytest.approx(
        [(verdict.mean - verdict.margin) * (1 if verdict.side == "above" else -1) for verdict in rows]
    )
    for (place, ax), verdict in zip(drawn, rows, strict=True):
        low, high = ax.get_xlim()
        assert low < place < high, verdict.id
        if answer.kind(verdict) == "reproduced":
            assert place >= 0
        if answer.kind(verdict) == "not reproduced":
            assert place < 0
    signs = [text for text in texts(picture) if " n = " in text]
    assert signs == [f"{answer.KINDS[answer.kind(verdict)]} n = {verdict.n}" for verdict in rows]


@pytest.mark.parametrize("abreast", [1, 3])
def test_the_hero_has_a_box_for_each_claim(run, judged, abreast):
    kinds = [answer.kind_of_all(group) for group in answer.grouped(judged)]
    cells = figures.FIGURES["accuracy-over-k"].done(run.shown)
    with styled():
        picture = verdicts.hero(cells, cells.iloc[:0], kinds, abreast)
    counts = picture.axes[-1]
    assert len(counts.patches) == len(kinds)
    for kind in set(kinds):
        assert f"{kinds.count(kind)} {kind}" in texts(picture)
        assert [text.get_text() for text in counts.texts].count(answer.KINDS[kind]) == kinds.count(kind)


@pytest.mark.parametrize("abreast", [1, 3])
def test_networks_of_which_only_a_recipe_that_decides_nothing_has_cells_stand_beside_what_was_published(run, abreast):
    assert published.undecided(run.shown).empty
    others = published.undecided(run.shown.assign(decides=False))
    others = others[(others["selection"] == "greedy") & (others["k"] == verdicts.SHOWN_K)]
    cells = figures.FIGURES["accuracy-over-k"].done(run.shown)
    with styled():
        picture = verdicts.hero(cells, others, ["not run"], abreast)
    (panel,) = (ax for ax in picture.axes if ax.get_xlabel() == "decides no claim")
    assert [label.get_text() for label in panel.get_xticklabels()] == ["LeNet-300-100"]
    heights = {round(float(line.get_ydata()[0]), 6) for line in panel.lines if len(line.get_ydata())}
    paper = published.values().query("architecture == 'lenet' and selection == 'greedy' and k == 8")["mean"].item()
    assert {round(float(others["test_accuracy"].mean()), 6), round(float(paper), 6)} <= heights


def test_the_slot_of_a_connection_is_on_top_where_its_weight_is_selected(run, judged):
    cells = figures.FIGURES["accuracy-over-k"].done(run.shown)
    with styled():
        lines, stairs, *_ = verdicts.hero(cells, cells.iloc[:0], ["not run"], 3).axes
    *options, top = (line for line in lines.lines if len(line.get_xdata()) > 1)
    (selected,) = (line for line in stairs.lines if len(line.get_xdata()) > 1)
    assert len(options) == verdicts.SHOWN_K
    heights = [list(line.get_ydata()) for line in options]
    assert list(top.get_ydata()) == [max(column) for column in zip(*heights, strict=True)]
    weights = [float(value) for value in np.asarray(selected.get_ydata())]
    assert weights == sorted(weights)  # it climbs
    assert len(set(weights)) >= 3


def test_words_count_what_is_drawn_and_nothing_is_drawn_without_a_verdict(run, judged, tmp_path):
    pictures = figures.save_of_verdicts(run, judged, tmp_path)
    rows = verdicts.judged(judged)
    reached, total = re.search(r"(\d+) of (\d+) intervals", pictures["claims"].words.finding).groups()
    assert int(total) == len(rows)
    assert int(reached) == sum(answer.kind(verdict) == "reproduced" for verdict in rows)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in pictures for kind in ("svg", "png", "pdf")
    }
    nothing = [replace(verdict, verdict=NOT_RUN) for verdict in judged]
    assert figures.save_of_verdicts(replace(run, cells=run.cells[:0]), nothing, tmp_path) == {
        "method-and-result": None, "claims": None,
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []
