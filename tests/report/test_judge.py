"""Verdicts: what decides one, held to the plainest computation of the same, and how a person is told."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slotbench.errors import InputError
from slotbench.report import answer, claims, judge, page, quantities, readings
from slotbench.report import verdict as one_network
from slotbench.report.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, SHOWN, SIGNS, UNDECIDED
from slotbench.results import records, table
from tests.report.test_claims import IDS
from tests.support import synthetic
from tests.support.claimed import FILE, cells_of, lenet, network, run_of, verdict, verdicts
from tests.support.command import slotbench
from tests.support.pages import Page, few_figures, local

# ---- one network -----------------------------------------------------------------------------------------

GOOD = lenet(greedy8=[98.2, 98.21, 98.22], learned1=[98.0, 98.01, 98.02])
accuracies = st.lists(st.floats(90, 99), min_size=3, max_size=6)


def t_interval(sample):
    """By scipy, but where seeds came out nearer to each other than one image of 10,000: then as if by that much."""
    n, deviation = len(sample), max(np.std(sample, ddof=1), 0.01)
    return stats.t.interval(0.95, n - 1, loc=np.mean(sample), scale=deviation / np.sqrt(n))


@settings(max_examples=30, deadline=None)
@given(first=accuracies, second=accuracies)
def test_a_difference_is_decided_by_the_paired_interval(first, second):
    result = verdict("lenet-matches-learned", cells_of(lenet(greedy8=first, learned1=second)))
    n = min(len(first), len(second))
    differences = np.array(first[:n]) - np.array(second[:n])
    assert result.n == n
    assert result.mean == pytest.approx(differences.mean(), abs=1e-6)
    low, high = t_interval(differences)
    assert (result.low, result.high) == pytest.approx((low, high), abs=1e-6)
    if min(abs(low + 0.3), abs(high + 0.3)) > 1e-6:
        expected = REPRODUCED if low > -0.3 else NOT_REPRODUCED if high < -0.3 else UNDECIDED
        assert result.verdict == expected


@settings(max_examples=30, deadline=None)
@given(first=accuracies)
def test_an_accuracy_is_decided_by_its_own_interval(first):
    result = verdict("lenet-k8", cells_of(lenet(greedy8=first)))
    low, high = t_interval(first)
    assert (result.low, result.high) == pytest.approx((low, high), abs=1e-6)
    if min(abs(low - 98), abs(high - 98)) > 1e-6:
        expected = REPRODUCED if low > 98 else NOT_REPRODUCED if high < 98 else UNDECIDED
        assert result.verdict == expected


@settings(max_examples=30, deadline=None)
@given(first=st.lists(st.floats(90, 99), min_size=5, max_size=6), second=st.lists(st.floats(90, 99), min_size=5))
def test_a_spread_is_decided_by_the_interval_of_the_deviation(first, second):
    result = verdicts("consistent", cells_of(lenet(greedy8=first, learned1=second)))[-1]
    n = min(len(first), len(second))
    first, second = first[:n], second[:n]
    variance = max(np.var(first, ddof=1), 0.01**2)
    low, high = np.sqrt(variance * (n - 1) / stats.chi2.isf([0.025, 0.975], n - 1))
    margin = max(0.3, 2 * np.std(second, ddof=1))
    assert result.architectures == ("lenet",)
    assert (result.mean, result.low, result.high) == pytest.approx((np.sqrt(variance), low, high), abs=1e-6)
    assert result.margin == pytest.approx(margin)
    if min(abs(low - margin), abs(high - margin)) > 1e-6 and variance > 1e-9:
        expected = REPRODUCED if high < margin else NOT_REPRODUCED if low > margin else UNDECIDED
        assert result.verdict == expected


def test_a_spread_needs_five_seeds():
    few = verdicts("consistent", cells_of(lenet(greedy8=[98.0, 98.01, 98.02, 98.0], learned1=[98.0, 98.1, 98.2, 98.3])))
    assert few[-1].verdict == UNDECIDED
    assert "4 matched seeds; 5 are the fewest" in few[-1].reason


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(95, 99), min_size=6, max_size=6), min_size=3, max_size=5))
def test_the_first_gain_has_to_exceed_every_later_one(by_seed):
    ks = (2, 4, 8, 16, 32, 64)
    frame = cells_of({("lenet", "greedy", k, "none"): [row[i] for row in by_seed] for i, k in enumerate(ks)})
    result = verdicts("two-to-four", frame)[-1]
    intervals = []
    for later in range(2, 6):
        sample = [(row[1] - row[0]) - (row[later] - row[later - 1]) for row in by_seed]
        intervals.append(t_interval(sample))
    if min(abs(end) for pair in intervals for end in pair) < 1e-6:
        return
    if any(high < 0 for _, high in intervals):
        assert result.verdict == NOT_REPRODUCED
    elif all(low > 0 for low, _ in intervals):
        assert result.verdict == REPRODUCED
    else:
        assert result.verdict == UNDECIDED
    assert any((result.low, result.high) == pytest.approx(pair, abs=1e-6) for pair in intervals)


@pytest.mark.parametrize(
    ("greedy", "learned", "expected", "reason"),
    [
        ([98.2, 98.21, 98.22], [98.0, 98.01, 98.02], REPRODUCED, ""),
        ([97.2, 97.21, 97.22], [98.0, 98.01, 98.02], NOT_REPRODUCED, ""),
        ([97.0, 98.0, 99.0], [98.0, 98.0, 98.0], UNDECIDED, "the interval contains the margin"),
        ([98.2, 98.21], [98.0, 98.01], UNDECIDED, "2 matched seeds; 3 are the fewest that may decide"),
        ([98.2], [98.0], UNDECIDED, "1 matched seed; 3 are"),
        ([98.2, 98.21, 98.22], [98.0, 98.01], UNDECIDED, "2 matched seeds"),
        ([98.2, 98.21, 98.22], [], NOT_RUN, "not done: learned"),
        ([], [], NOT_RUN, "the run has no lenet on mnist"),
        ([np.nan] * 3, [np.nan] * 3, NOT_RUN, "not done: greedy at K = 8 and learned; 6 cells missing"),
        ([98.2, np.nan, np.nan], [np.nan, 98.0, 98.0], UNDECIDED, "no seed has all the cells"),
        ([98.2, 98.21, 98.22, None], [98.0, 98.01, 98.02, 98.0], UNDECIDED, "1 cell diverged"),
        ([97.2, 97.21, 97.22, None], [98.0, 98.01, 98.02, 98.0], UNDECIDED, "1 cell diverged"),
        ([None] * 5, [98.0] * 5, UNDECIDED, "5 cells diverged"),
        ([98.2, 98.21, 98.22, np.nan], [98.0, 98.01, 98.02], UNDECIDED, "3 of 4 planned seeds; 1 cell missing"),
        ([98.2, 98.21, 98.22, 98.2], [98.0, 98.01, 98.02], REPRODUCED, ""),
        ([97.2, 97.21, 97.22, np.nan], [98.0, 98.01, 98.02, 98.0], UNDECIDED, "3 of 4 planned seeds"),
    ],
)
def test_each_verdict_is_reached_and_says_why(greedy, learned, expected, reason):
    result = verdict("lenet-matches-learned", cells_of(lenet(greedy8=greedy, learned1=learned)))
    assert result.verdict == expected
    assert reason in result.reason


def test_a_claim_that_something_is_smaller_is_decided_the_other_way_round():
    for high, expected in ((98.3, REPRODUCED), (99.3, NOT_REPRODUCED)):
        frame = cells_of(lenet(greedy8=[98.1, 98.12, 98.14], greedy64=[high, high + 0.02, high + 0.05]))
        assert verdicts("few-suffice", frame)[-1].verdict == expected


def test_seeds_are_matched_not_counted():
    frame = cells_of(lenet(greedy8=[98.2, np.nan, 98.3, 98.4, 98.5], learned1=[98.0, 90.0, np.nan, 98.2, 98.3]))
    result = verdict("lenet-matches-learned", frame)
    assert result.n == 3  # 0, 3 and 4
    assert result.mean == pytest.approx(0.2)
    assert {record[-10:-5] for record in result.records} == {"seed0", "seed3", "seed4"}
    assert result.values == pytest.approx(
        {"greedy at K = 8": (98.2 + 98.4 + 98.5) / 3, "learned": (98 + 98.2 + 98.3) / 3}
    )


@pytest.mark.parametrize("k_absent", [None, 16])
def test_over_several_k_the_mean_over_k_of_the_differences_decides(k_absent):
    gaps = {2: -0.1, 4: 0.2, 8: 0.3, 16: 0.3, 32: 0.3}
    noise = np.array([0.0, 0.01, 0.02])
    accuracies = {}
    for k, gap in gaps.items():
        accuracies["lenet", "probabilistic", k, "none"] = (97 + noise)[: 0 if k == k_absent else None]
        accuracies["lenet", "greedy", k, "none"] = 97 + gap + 2 * noise
    result = verdicts("gs-beats-ps", cells_of(accuracies))[-1]
    if k_absent:
        assert result.verdict == NOT_RUN
        assert "probabilistic at K = 16" in result.reason
        return
    assert result.verdict == REPRODUCED
    assert result.n == 3
    assert result.mean == pytest.approx(0.2 + 0.01)
    low, high = t_interval(0.2 + noise)
    assert (result.low, result.high) == pytest.approx((low, high))
    assert result.published == pytest.approx(np.mean([0.06, 0.17, 0.37, 0.29, 0.16]))


def test_finetuned_means_from_the_last_checkpoint():
    plain = lenet(greedy8=[98.0, 98.0, 98.1], learned1=[98.0, 98.0, 98.1])
    early = verdict("finetune-beats-learned", cells_of(plain | lenet(greedy8_e100=[99.0, 99.0, 99.1])))
    assert early.verdict == NOT_RUN
    last = verdicts("finetune-beats-learned", cells_of(plain | lenet(greedy8_e120=[99.0, 99.0, 99.1])))[-1]
    assert last.verdict == REPRODUCED
    # In recipe paper LeNet's selection ends where its finetuning would
    paper = verdict("finetune-beats-learned", cells_of(plain, recipe="paper"))
    assert paper.verdict == NOT_RUN
    assert "nothing is left" in paper.reason


def test_a_cost_counts_what_finetuning_started_from_and_is_shown_without_a_verdict():
    accuracies = {}
    for k in (2, 8, 64):
        accuracies |= {("lenet", "greedy", k, "none"): [98.0], ("lenet", "greedy", k, "e120"): [98.5]}
    frame = cells_of(accuracies | lenet(learned1=[98.0]))
    result = verdicts("finetune-costs", frame)[-1]
    assert (result.n, result.mean, result.low, result.high) == (1, 1.0, 1.0, 1.0)
    assert (result.verdict, result.asks, result.p) == (SHOWN, "", None)
    assert len(result.records) == 7
    frame.loc[frame["selection"] == "learned", "flops"] = 1000 * 200
    assert verdicts("finetune-costs", frame)[-1].mean == pytest.approx(1.1)
    frame = frame[(frame["finetune"] != "none") | (frame["selection"] == "learned")]
    assert verdict("finetune-costs", frame).verdict == NOT_RUN


@pytest.mark.parametrize(("flops", "expected"), [(219, REPRODUCED), (220, REPRODUCED), (221, NOT_REPRODUCED)])
def test_one_seed_decides_a_cost_and_what_is_at_the_margin_has_reached_it(flops, expected):
    accuracies = {("lenet", "greedy", k, start): [98.0] for k in (2, 8, 64) for start in ("none", "e120")}
    frame = cells_of(accuracies | lenet(learned1=[98.0]))
    frame.loc[frame["selection"] == "learned", "flops"] = 1000 * flops
    judged = FILE.claims["finetune-costs"].model_copy(update={"judged": True, "architectures": ("lenet",)})
    (result,) = judge.judge(run_of(frame), FILE.model_copy(update={"claims": {"finetune-costs": judged}}))
    assert result.verdict == expected


def test_memory_is_counted_for_every_implementation_and_k():
    frame = cells_of(lenet(greedy2=[97.0], greedy8=[98.0], greedy64=[98.0], learned1=[98.0]))
    result = verdict("memory-cost", frame)
    assert result.verdict == REPRODUCED
    assert result.values["K = 8, textbook"] == 12  # 8 options, scores and momenta, over weight and momentum
    assert [result.values[f"K = {k}, the staircase"] for k in (2, 8, 64)] == [5, 7, 10]
    assert result.mean == 5, "the smallest decides"
    frame.loc[frame["selection"] == "greedy", "state_bytes"] = 266_200 * 7
    assert verdict("memory-cost", frame).verdict == NOT_REPRODUCED


def test_the_layer_that_prefers_large_magnitudes_least_decides():
    frame = cells_of(lenet(greedy8=[98.0, 98.1]))
    result = verdicts("larger-selected", frame)[-1]
    assert (result.n, result.mean, result.verdict) == (2, 1.02, REPRODUCED)
    frame.loc[0, "magnitude"] = 0.99
    assert verdicts("larger-selected", frame)[-1].verdict == UNDECIDED
    frame["magnitude"] = 0.99
    assert verdicts("larger-selected", frame)[-1].verdict == NOT_REPRODUCED


# ---- what a careless judge gets wrong --------------------------------------------------------------------

CLAIMS_OF_K8 = ["lenet-k8", "lenet-matches-learned"]
steps = st.lists(st.integers(9600, 9900).map(lambda hundredths: hundredths / 100), min_size=3, max_size=6)
"""accuracies as a test set of 10,000 images gives them"""


@settings(max_examples=20, deadline=None)
@given(first=steps, name=st.sampled_from(CLAIMS_OF_K8), data=st.data())
def test_a_seed_that_stands_twice_is_refused(first, name, data):
    frame = cells_of(lenet(greedy8=first, learned1=first))
    row = frame.iloc[[data.draw(st.integers(0, len(frame) - 1))]]
    with pytest.raises(InputError, match=r"seed\d+\.json: this cell stands in the table twice; collect"):
        verdict(name, pd.concat([frame, row], ignore_index=True))


@settings(max_examples=40, deadline=None)
@given(first=steps, name=st.sampled_from(CLAIMS_OF_K8), status=st.sampled_from(["missing", "failed", "diverged"]),
       data=st.data())  # fmt: skip
def test_a_planned_cell_that_is_not_done_keeps_a_claim_open(first, name, status, data):
    whole = verdict(name, cells_of(lenet(greedy8=first, learned1=first)))
    frame = cells_of(lenet(greedy8=first, learned1=first))
    place = data.draw(st.integers(0, len(first) - 1))  # one of greedy selection, which both claims need
    frame.loc[place, ["status", "problem"]] = status, "its record was empty" if status == "failed" else None
    frame.loc[place, "test_accuracy"] = np.nan
    result = verdict(name, frame)
    assert (result.n, whole.n) == (len(first) - 1, len(first))
    assert whole.settled
    assert (result.verdict, result.settled) == (UNDECIDED, False)
    assert f"{len(first) - 1} of {len(first)} planned seeds" in result.reason
    assert f"1 cell {status}" in result.reason
    assert ("its record was empty" in result.reason) == (status == "failed")


@settings(max_examples=20, deadline=None)
@given(first=steps, data=st.data())
def test_a_done_cell_without_a_number_is_said_and_keeps_a_claim_open(first, data):
    frame = cells_of(lenet(greedy8=first, learned1=first))
    frame.loc[data.draw(st.integers(0, len(first) - 1)), "test_accuracy"] = np.nan
    result = verdict("lenet-k8", frame)
    assert result.verdict == UNDECIDED
    assert "1 cell done without a number" in result.reason


def test_cells_that_todays_code_would_train_again_are_said():
    frame = cells_of(GOOD)
    frame.loc[frame["seed"] < 2, "stale"] = "slotbench.selection.greedy has changed"
    result = verdict("lenet-matches-learned", frame)
    assert result.verdict == REPRODUCED
    assert "would train 4 of its cells again" in result.reason


def test_networks_that_never_moved_are_counted():
    frame = cells_of(
        {("lenet", name, 2, "none"): [a, a, a] for name, a in (("greedy", 96), ("greedy-shared-layer", 10))}
    )
    frame.loc[frame["selection"] == "greedy-shared-layer", "moved"] = False
    result = verdicts("sharing-small-k", frame)[-1]
    assert result.verdict == REPRODUCED
    assert "3 of its 6 networks with options never moved" in result.reason


@settings(max_examples=40, deadline=None)
@given(center=st.integers(9700, 9900), n=st.integers(3, 6))
def test_seeds_that_came_out_alike_have_an_interval_as_wide_as_one_image_makes_it(center, n):
    result = verdict("lenet-k8", cells_of(lenet(greedy8=[center / 100] * n)))
    half = stats.t.isf(0.025, n - 1) * 0.01 / np.sqrt(n)
    assert (result.low, result.high) == pytest.approx((center / 100 - half, center / 100 + half))
    if abs(center / 100 - 98) > half + 1e-9:
        assert result.verdict == (REPRODUCED if center > 9800 else NOT_REPRODUCED)
    else:
        assert result.verdict == UNDECIDED


@settings(max_examples=100, deadline=None)
@given(ends=st.tuples(st.integers(-300, 300), st.integers(-300, 300)).map(sorted), margin=st.integers(-300, 300))
def test_what_is_at_the_margin_has_reached_it_on_either_side(ends, margin):
    """In hundredths, which floating point does not hold exactly: 97.9 and 97.89999999999999 are one margin."""
    low, high = ends
    estimate = quantities.Estimate((low + high) / 200, low / 100 + 1e-14, high / 100 - 1e-14)
    above = REPRODUCED if low >= margin else NOT_REPRODUCED if high < margin else UNDECIDED
    below = REPRODUCED if high <= margin else NOT_REPRODUCED if low > margin else UNDECIDED
    assert one_network._decide(estimate, margin / 100, "above") == above
    assert one_network._decide(estimate, margin / 100, "below") == below


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 10)), min_size=1, max_size=5))
def test_the_comparison_that_stands_worst_is_shown_whichever_side_the_claim_is_on(drawn):
    """Mirrored, a claim that something is larger is one that something is smaller: the same comparison decides both."""
    above = [quantities.Estimate(float(mid), float(mid - half), float(mid + half)) for mid, half in drawn]
    below = [quantities.Estimate(-value, -high, -low) for value, low, high in above]
    place, outcome = one_network._worst(above, 0.0, "above")
    mirrored, same = one_network._worst(below, 0.0, "below")
    assert (above[place].value, outcome) == (above[mirrored].value, same)
    assert above[place].value == min(
        estimate.value for estimate in above if one_network._decide(estimate, 0.0, "above") == outcome
    )


def test_margins_are_the_numbers_that_a_person_would_write():
    for name in ("lenet-k2", "lenet-k8", "lenet-k128"):
        claim = FILE.claims[name]
        result = verdict(name, cells_of({("lenet", "greedy", claim.first.k[0], "none"): [97.9, 97.91, 97.92]}))
        assert result.margin == float(f"{result.margin:.2f}")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=8))
def test_holms_correction_is_its_definition(ps):
    """Against the definition: p(i) of m sorted ones is the largest of min(1, (m - j + 1) p(j)) over j ≤ i."""
    blank = one_network.Verdict("id", "s", "source", "difference", ("lenet",), UNDECIDED)
    corrected = [result.p_holm for result in judge._with_holm([replace(blank, p=p) for p in ps])]
    ordered = sorted(ps)
    for p, p_holm in zip(ps, corrected, strict=True):
        steps_up_to = [(len(ps) - j) * q for j, q in enumerate(ordered) if q <= p]
        assert p_holm == pytest.approx(min(1.0, max(steps_up_to[: ordered.index(p) + 1])))


# ---- other readings --------------------------------------------------------------------------------------

HIGH, LOW = [98.2, 98.21, 98.22], [97.0, 97.01, 97.02]


def of(result, name):
    return {reading.name: reading for reading in result.readings}[name]


def test_the_last_epoch_is_read_beside_and_a_verdict_that_differs_says_so():
    frame = cells_of(lenet(greedy8=HIGH))
    assert verdict("lenet-k8", frame).depends == ()
    frame["test_accuracy_last"] = LOW
    result = verdict("lenet-k8", frame)
    assert (result.verdict, of(result, "last epoch").verdict) == (REPRODUCED, NOT_REPRODUCED)
    assert result.mark == "depends on epoch"


def test_the_other_recipe_is_read_beside():
    frame = pd.concat([cells_of(lenet(greedy8=HIGH)), cells_of(lenet(greedy8=LOW), recipe="paper", decides=False)])
    result = verdict("lenet-k8", frame)
    assert (result.verdict, result.n, of(result, "recipe paper").verdict) == (REPRODUCED, 3, NOT_REPRODUCED)
    assert result.depends == ("recipe",)


def test_a_margin_within_the_rounding_of_the_published_value_is_read_beside():
    """98.2 is 98.15 to 98.25: the margin 98.0 is anything from 97.95 to 98.05."""
    result = verdict("lenet-k8", cells_of(lenet(greedy8=[98.03, 98.03, 98.03])))
    assert [of(result, f"{end} rounding").margin for end in ("lowest", "highest")] == [97.95, 98.05]
    assert result.depends == ("rounding",)
    assert verdict("lenet-k8", cells_of(lenet(greedy8=HIGH))).depends == ()


@pytest.mark.parametrize(
    ("later", "expected", "settled"),
    [(LOW, UNDECIDED, True), ([97.0, np.nan, 97.02], UNDECIDED, False), ([np.nan] * 3, None, None)],
)
def test_more_seeds_of_a_run_beside_are_read_beside(later, expected, settled):
    beside = cells_of(lenet(greedy8=later), decides=False)
    beside["seed"] += 5
    beside["record"] = "beside/" + beside["record"]
    result = verdict("lenet-k8", cells_of(lenet(greedy8=HIGH)), beside)
    assert (result.verdict, result.n) == (REPRODUCED, 3)
    if expected is None:
        assert "more seeds" not in {reading.name for reading in result.readings}
        return
    reading = of(result, "more seeds")
    assert (reading.verdict, reading.settled, reading.n) == (expected, settled, 6 if settled else 5)
    assert result.depends == (("seeds",) if settled else ())


def test_a_cell_that_the_run_has_itself_is_not_counted_again_from_a_run_beside():
    """Such as the parents of finetuned cells, which a run beside trains for itself."""
    beside = cells_of(lenet(greedy8=[50.0, 50.0, 98.0]), decides=False)
    own = cells_of(lenet(greedy8=HIGH[:2]))
    assert verdict("lenet-k8", own, beside).mean == pytest.approx(np.mean(HIGH[:2]))
    reading = of(verdict("lenet-k8", own, beside), "more seeds")
    assert (reading.n, reading.mean) == (3, pytest.approx(np.mean([*HIGH[:2], 98.0])))


def test_a_claim_about_learned_weights_is_read_against_the_tuned_baseline():
    beside = cells_of(lenet(learned1=[98.9, 98.91, 98.92]), recipe="learned-rate-0.1", decides=False).assign(tuned=True)
    result = verdict("lenet-matches-learned", cells_of(lenet(greedy8=HIGH, learned1=HIGH)), beside)
    reading = of(result, "tuned baseline")
    assert (result.verdict, reading.verdict) == (REPRODUCED, NOT_REPRODUCED)
    assert reading.mean == pytest.approx(-0.7)
    assert result.depends == ("baseline",)
    assert not [r for r in verdict("lenet-k8", cells_of(lenet(greedy8=HIGH)), beside).readings if r.on == "baseline"]


def test_the_table_of_readings_has_each_claim_with_what_it_depends_on():
    frame = cells_of(lenet(greedy8=HIGH, learned1=HIGH))
    frame.loc[frame["selection"] == "greedy", "test_accuracy_last"] = LOW
    judged = judge.judge(run_of(frame), FILE)
    shown = readings.robustness(judged)
    rows = {
        str(row[0]): dict(zip([column.head for column in shown.columns], map(str, row), strict=True))
        for row in shown.rows
    }
    row = rows["LeNet-300-100 with K = 8 reaches 98.2 %"]
    assert row["decides"] == "✓ 98.21 (n = 3)"
    assert row["last epoch"] == "✗ 97.01 (n = 3)"
    assert row["depends on"] == "epoch"
    assert "Finetuning improves at an additional cost of computation" not in rows


# ---- what counts -----------------------------------------------------------------------------------------


def test_cells_of_another_recipe_do_not_count():
    other = cells_of(GOOD, recipe="paper", decides=False)
    frame = pd.concat([cells_of(lenet(greedy8=[98.2])), other], ignore_index=True)
    assert verdict("lenet-matches-learned", frame).verdict == NOT_RUN


@pytest.mark.parametrize("name", IDS)
def test_a_run_of_another_recipe_than_the_papers_decides_nothing(name):
    (result,) = verdicts(name, cells_of(GOOD, recipe="quick"))
    assert result.verdict == NOT_RUN
    assert "recipe quick decides no claim" in result.reason


def test_cells_that_deviate_from_their_recipe_do_not_count():
    frame = cells_of(GOOD)
    frame.loc[(frame["selection"] == "greedy") & (frame["seed"] > 0), "deviations"] = "epochs 1, not 120"
    result = verdict("lenet-matches-learned", frame)
    assert (result.verdict, result.n) == (UNDECIDED, 1)
    assert "2 cells not trained as the recipe says" in result.reason
    frame.loc[frame["selection"] == "greedy", "deviations"] = "epochs 1, not 120"
    assert verdict("lenet-matches-learned", frame).verdict == NOT_RUN


def test_other_datasets_do_not_count():
    frame = cells_of(GOOD)
    frame["dataset"] = "fashion-mnist"
    assert verdict("lenet-matches-learned", frame).verdict == NOT_RUN


# ---- several networks ------------------------------------------------------------------------------------


def competitive(**gaps):
    """Learned at 90 and greedy K = 8 so much above it, for each network, and two seeds a little off."""
    result = {}
    for architecture, gap in gaps.items():
        result[architecture, "learned", 1, "none"] = [90.0, 90.1, 90.2]
        result[architecture, "greedy", 8, "none"] = [90.0 + gap, 90.1 + gap, 90.21 + gap]
    return cells_of(result)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        (dict.fromkeys(FILE.networks, 0.0), REPRODUCED),
        (dict.fromkeys(FILE.networks, 0.0) | {"vgg19": -3.0}, NOT_REPRODUCED),
        ({"lenet": 0.0}, UNDECIDED),
        ({"conv2": -3.0}, NOT_REPRODUCED),
        ({}, NOT_RUN),
    ],
)
def test_each_network_that_has_been_run_gets_a_verdict_and_all_get_one(gaps, expected):
    result = verdicts("eight-competitive", competitive(**gaps))
    assert result[0].architectures == tuple(FILE.networks)
    assert result[0].verdict == expected
    assert [each.architectures for each in result[1:]] == [(name,) for name in FILE.networks if name in gaps]
    for each in result[1:]:
        assert each.verdict == (REPRODUCED if gaps[each.architectures[0]] == 0 else NOT_REPRODUCED)
    if gaps:
        assert result[0].mean == pytest.approx(np.mean([*gaps.values()]) + 0.01 / 3)
        assert set(result[0].records) == {record for each in result[1:] for record in each.records}
    absent = set(FILE.networks) - set(gaps)
    if gaps and absent:
        assert f"not run: {', '.join(name for name in FILE.networks if name in absent)}" in result[0].reason


def test_a_network_that_is_only_shown_does_not_count_towards_all():
    accuracies = {}
    for name in ("conv4", "conv6", "vgg19"):
        start = "e120" if name == "vgg19" else "e140"
        up = -1 if name == "vgg19" else 1
        accuracies[name, "learned", 1, "none"] = [90.0, 90.1, 90.2]
        accuracies[name, "greedy", 8, start] = [90.0 + up, 90.1 + up, 90.21 + up]
    accuracies |= lenet(learned1=[90.0, 90.1, 90.2], greedy8_e120=[91.0, 91.1, 91.21])
    result = verdicts("finetune-beats-learned", cells_of(accuracies))
    assert [each.verdict for each in result] == [REPRODUCED] * 4 + [NOT_REPRODUCED]
    assert result[-1].architectures == ("vgg19",)
    assert "does not count towards" in result[-1].reason


# ---- for people and programs -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A synthetic run of LeNet and CONV-6, collected."""
    root = tmp_path_factory.mktemp("run")
    cells = synthetic.grid(ks=(1, 2, 4, 8, 16, 32, 64), seeds=5, finetune=("e120",))
    cells += synthetic.grid(networks=(network("conv6"),), ks=(2, 8, 64), finetune=("e140",))
    run = synthetic.SyntheticRun("made-up", "authors-code", cells)
    synthetic.train(root / "results", run)
    diverged = next(cell for cell in cells if cell.architecture == "conv6" and cell.selection == "learned")
    spoilt = synthetic.record(diverged, status="diverged")
    synthetic.path(root / "results", run, diverged).write_text(records.text(spoilt))
    table.write(table.collect(run, root / "results"), root / "results" / "made-up")
    return root


def test_the_command_prints_a_table_and_json_that_say_the_same(folder):
    printed = slotbench("claims", "made-up", folder=folder)
    assert printed.returncode == 0, printed.stderr
    result = json.loads(slotbench("claims", "made-up", "--json", folder=folder).stdout)
    assert list(dict.fromkeys(each["id"] for each in result)) == IDS
    sentence, _, rest = printed.stdout.partition("\n\n")
    assert re.match(r"On LeNet-300-100 and MNIST \d+ of \d+ claims? hold", sentence)
    lines = rest.splitlines()
    groups = answer.grouped(judge.judge(table.read(folder / "results" / "made-up"), FILE))
    kinds = {group[0].id: answer.kinds(group) for group in groups}
    firsts = [kinds[name][0] for name in IDS]
    assert lines[0].startswith(f"{len(IDS)} claims: ")
    for kind, sign in answer.KINDS.items():
        assert (f"{sign} {firsts.count(kind)} {kind}" in lines[0]) == (kind in firsts)
    told = [line for line in lines if line.startswith("  ")]
    assert [line.rpartition("[")[2] for line in lines if line.endswith("]")] == [f"{name}]" for name in IDS]
    assert all(f"{each['statement']}. [{each['id']}]" in lines for each in result)
    for each, kind, line in zip(result, itertools.chain(*kinds.values()), told, strict=True):
        assert line.startswith(f"  {', '.join(each['architectures'])}: {answer.KINDS[kind]} {kind}")
        assert not line.endswith(" ")
        assert kind == each["verdict"] or each["verdict"] == UNDECIDED
        assert {"id", "architectures", "verdict", "n", "mean", "low", "high", "margin", "published"} <= set(each)
        assert each["verdict"] in SIGNS
        assert all((folder / "results" / record).is_file() for record in each["records"])
        if each["mean"] is not None and each["published"] is not None:
            assert each["distance"] == pytest.approx(each["mean"] - each["published"])
    assert "conv6" in printed.stdout
    assert "1 cell diverged" in printed.stdout


def test_the_command_refuses_a_run_that_was_not_collected(tmp_path):
    refused = slotbench("claims", "nothing", folder=tmp_path)
    assert refused.returncode == 2
    assert "slotbench collect" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_report_begins_with_the_verdicts_and_their_records(folder, tmp_path, monkeypatch):
    """With a claims file that would put a script into the page."""
    path = tmp_path / "claims.yaml"
    path.write_text(claims.CLAIMS.read_text().replace("reaches 98.2 %", "<script>alert(1)</script> & more"))
    hostile = claims.load(path)
    monkeypatch.setattr(claims, "load", lambda: hostile)
    with few_figures():
        index = page.render("made-up", folder / "results", folder / "report")
    text = index.read_text()
    parsed = Page(text)
    assert "LeNet-300-100 with K = 8 <script>alert(1)</script> & more" in parsed.text
    assert "<script>alert" not in text
    assert re.findall(r'<section id="([^"]+)"', text)[0] == "verdicts"
    assert (index, "verdicts") in local(parsed, index)
    assert all(file.is_file() for file, _ in local(parsed, index))
    assert {f"claim-{name}" for name in IDS} <= set(parsed.ids)
    judged = judge.judge(table.read(folder / "results" / "made-up"), hostile)
    for word in {answer.kind(each) for each in judged}:  # in words and by shape
        assert f"{answer.KINDS[word]} {word}" in parsed.text
    for each in judged:
        if each.verdict == NOT_RUN:
            assert each.statement in parsed.text
            continue
        (claim,) = re.findall(rf'<tbody id="claim-{each.id}"[^>]*>(.*?)</tbody>', text, re.S)
        shown = Page(claim)
        assert each.statement in shown.text
        assert each.ours in shown.text
        assert {f"../../results/{record}" for record in each.records} <= set(shown.addresses)


def test_every_kind_of_verdict_has_a_colour_of_its_own_rule():
    style = (claims.CLAIMS.parent / "templates" / "style.css").read_text()
    names = [kind.replace(",", "").replace(" ", "-") for kind in answer.KINDS]
    assert [name for name in names if not re.search(rf"\.{name}\b[^{{}}]*\{{ color:", style)] == []
