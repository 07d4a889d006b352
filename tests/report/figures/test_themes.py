"""The figures beyond accuracy draw what records say, and leave out what would mislead."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from slotbench.report import figures
from slotbench.report.figures import costs, style
from slotbench.results.table import summary
from tests.support import synthetic
from tests.support.drawing import collected, draw


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return collected(tmp_path_factory.mktemp("whole"), synthetic.grid(ks=(1, 2, 8, 64)) + synthetic.others())


def line(ax, colour):
    (solid,) = [drawn for drawn in ax.lines if drawn.get_color() == colour and drawn.get_linestyle() == "-"]
    return list(solid.get_xdata()), list(solid.get_ydata())


@pytest.mark.parametrize(("name", "value"), [("bits", "bits_of_move"), ("levels", "levels")])
def test_lines_are_the_tables_means(name, value, whole):
    means = summary(figures.FIGURES[name].rows(whole.cells), ["k"], value)
    x, y = line(draw(name, whole).axes[0], style.look("greedy").colour)
    assert (x, y) == (list(means["k"]), list(means["mean"]))


def test_a_histogram_has_the_area_of_a_distribution(whole):
    for ax in draw("selected-vs-offered", whole).axes:
        for patch in ax.patches:
            values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
            assert (values * np.diff(edges)).sum() == pytest.approx(2)  # as a multiple of the uniform density, 1/2


def test_change_is_drawn_epoch_by_epoch(whole):
    rows = figures.FIGURES["still-changing"].rows(whole.cells)
    record = rows.loc[rows["k"] == 64, "record"].iloc[0]
    curve = whole.curves.loc[whole.curves["record"] == record, "changed"]
    (ax,) = draw("still-changing", whole).axes
    assert list(ax.lines[-1].get_ydata()) == pytest.approx(list(100 * curve))


def test_finetuning_costs_what_it_started_from_too(whole):
    (ax,) = draw("accuracy-vs-flops", whole).axes
    flops = f"{81_457_200_000 * 220 / 1e12:.1f}"
    rows = [label.get_text() for label in ax.get_yticklabels()]
    tuned = [place for place, text in enumerate(rows) if "finetuned, e100" in text]
    assert tuned
    costs = {text.xy[1]: text.get_text() for text in ax.texts}  # type: ignore[attr-defined]
    assert {costs[place] for place in tuned} == {flops}


@pytest.fixture(scope="module")
def with_a_tuned_baseline(whole):
    learned = whole.cells[whole.cells["selection"].eq("learned") & whole.cells["dataset"].eq("mnist")]
    tuned = learned.assign(
        recipe="learned-rate-0.1", decides=False, tuned=True, test_accuracy=learned["test_accuracy"] + 0.5
    )
    return dataclasses.replace(whole, beside=pd.concat([whole.beside, tuned], ignore_index=True))


@pytest.mark.parametrize("name", ["accuracy-over-k", "greedy-vs-probabilistic", "finetuning"])
def test_learned_weights_at_a_tuned_rate_are_a_second_line(name, whole, with_a_tuned_baseline):
    means = summary(with_a_tuned_baseline.beside, ["recipe"])["mean"]
    for run, expected in ((whole, []), (with_a_tuned_baseline, list(means))):
        (ax,) = draw(name, run).axes
        drawn = [mark for mark in ax.lines if mark.get_color() == style.TUNED.colour]
        assert [mark.get_ydata()[0] for mark in drawn] == pytest.approx(expected)
        assert sum(label.get_text().startswith("learned, tuned rate") for label in ax.texts) == len(expected)


def test_probabilistic_sampling_is_shown_at_greedy_selections_epochs_too(whole):
    """Against the curves: the reading of the test set at the best validation epoch among those that greedy has."""
    epoch = whole.curves["epoch"]
    read = whole.curves.assign(validation_accuracy=90 + epoch % 7, test_accuracy=80 + epoch % 7 + epoch / 1000)
    whole = dataclasses.replace(whole, curves=read)
    rows = figures.FIGURES["greedy-vs-probabilistic"].rows(whole.cells)
    epochs = rows.loc[rows["selection"] == "greedy", "epochs"].max()
    longer = rows[rows["selection"].eq("probabilistic")]
    assert (longer["epochs"] > epochs).all()
    curves = whole.curves[whole.curves["record"].isin(longer["record"]) & whole.curves["epoch"].le(epochs)]
    best = curves.loc[curves.groupby("record")["validation_accuracy"].idxmax()]
    means = longer[["record", "k"]].merge(best, on="record").groupby("k")["test_accuracy"].mean()
    (ax,) = draw("greedy-vs-probabilistic", whole).axes
    (dotted,) = [mark for mark in ax.lines if mark.get_linestyle() == ":"]
    assert dict(zip(dotted.get_xdata(), dotted.get_ydata(), strict=True)) == pytest.approx(means.to_dict())


def test_learned_weights_at_a_tuned_rate_stand_among_the_other_ways(whole, with_a_tuned_baseline):
    (ax,) = draw("comparators", with_a_tuned_baseline).axes
    names = [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()]
    assert names[names.index("learned") + 1] == "learned, tuned rate"
    finding, without = (
        figures.FIGURES["comparators"].words(run.shown).finding for run in (with_a_tuned_baseline, whole)
    )
    mean = summary(with_a_tuned_baseline.beside, ["recipe"])["mean"].iloc[0]
    assert f"learned, tuned rate {mean:.2f}" in finding
    assert "tuned" not in without


def test_the_finding_says_how_far_selection_is_from_either_baseline(whole, with_a_tuned_baseline):
    words, without = (figures.FIGURES["accuracy-over-k"].words(run.shown) for run in (with_a_tuned_baseline, whole))
    assert words.finding.startswith(without.finding.partition(" from learned weights")[0])
    assert "from learned weights at a tuned rate" in words.finding
    assert "learned-rate-0.1" in words.caption
    assert "learned-rate-0.1" not in without.caption


def test_random_labels_and_dead_networks_are_no_accuracies(whole):
    for name in ("accuracy-over-k", "sharing", "comparators", "accuracy-vs-flops"):
        rows = figures.FIGURES[name].rows(whole.cells)
        assert set(rows["dataset"]) == {"mnist"}
    assert not figures.FIGURES["accuracy-vs-flops"].rows(whole.cells)["selection"].str.contains("shared").any()


def test_what_is_memorised_is_of_the_recipe_that_trains_random_labels_longest(whole):
    random = whole.cells[whole.cells["dataset"].str.endswith("-random-labels")]
    longer = random.assign(recipe="longer", decides=False, epochs=random["epochs"] + 100)
    rows = figures.FIGURES["random-labels"].rows(pd.concat([whole.cells, longer], ignore_index=True))
    of_random = rows["dataset"].str.endswith("-random-labels")
    assert set(rows.loc[of_random, "recipe"]) == {"longer"}
    assert len(rows[of_random]) == len(random)
    assert rows.loc[~of_random, "decides"].all()
    axes = ["selection", "k"]
    assert set(map(tuple, rows.loc[~of_random, axes].to_numpy())) == set(map(tuple, random[axes].to_numpy()))


def test_a_benchmark_that_is_committed_is_drawn_beside_the_memory(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "BENCHMARK", tmp_path / "step_cost.json")
    assert len([ax for ax in draw("memory-and-time", whole).axes if ax.get_ylabel()]) == 1
    rows = [
        {"architecture": "lenet", "selection": selection, "path": "compiled", "k": k, "ms_per_step": ms}
        for selection, k, ms in (
            ("plain", 1, 2.0), ("greedy", 2, 2.4), ("greedy", 64, 2.5), ("textbook", 2, 9.0), ("textbook", 64, 90.0),
        )
    ]  # fmt: skip
    (tmp_path / "step_cost.json").write_text(
        json.dumps([*rows, {**rows[1], "path": "torch alone", "ms_per_step": 4.0}])
    )
    time = next(ax for ax in draw("memory-and-time", whole).axes if ax.get_ylabel() == "ms per training step")
    assert line(time, style.look("greedy").colour) == ([2, 64], [2.4, 2.5])
