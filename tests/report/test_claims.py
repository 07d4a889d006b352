"""Claims: what decides one, held to the plainest computation of the same, and how a person is told."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError
from slotbench.report import claims, page
from slotbench.results import published, records, table
from slotbench.selection import SELECTIONS
from tests.support import synthetic
from tests.support.command import slotbench
from tests.support.pages import Page, local

FILE = claims.load()
IDS = [
    "random-vs-two", "lenet-k2", "lenet-k8", "lenet-k128", "lenet-matches-learned", "conv6-k64-matches",
    "conv6-k8-beats", "vgg19-k8", "eight-competitive", "consistent", "few-suffice", "two-to-four", "gs-beats-ps",
    "finetune-helps", "finetune-costs", "finetune-beats-learned", "larger-selected", "sharing-large-k",
    "sharing-small-k", "beats-edge-popup", "beats-supermask", "memory-cost",
]  # fmt: skip


def network(architecture):
    return FILE.networks[architecture], architecture


def cells_of(accuracies, *, recipe="authors-code", decides=True):
    """A table of done cells: (architecture, selection, k, finetune) → accuracies in percent, seed by seed.

    None is a cell that diverged, NaN one that is missing.
    """
    rows = []
    for (architecture, selection, k, finetune), values in accuracies.items():
        for seed, value in enumerate(values):
            cell = Cell(recipe, FILE.networks[architecture], architecture, selection, k, finetune, seed)
            status = "diverged" if value is None else "missing" if np.isnan(value) else "done"
            rows.append(
                {
                    **{axis: getattr(cell, axis) for axis in table.AXES},
                    "status": status,
                    "test_accuracy": np.nan if value is None else value,
                    "record": f"r/cells/{cell.path}",
                    "decides": decides,
                    "epochs": 220 if finetune != "none" or selection == "learned" else 120,
                    "start_epoch": cell.start_epoch,
                    "flops": 1000 * (220 if selection == "learned" else 220 - 120 if finetune != "none" else 120),
                    "state_bytes": 266_200 * (8 if selection == "learned" else 32 + 8 * (k - 1).bit_length()),
                    "magnitude": 1.02,
                }
            )
    return pd.DataFrame(rows, columns=list(table.COLUMNS)).assign(tuned=False).astype(table.COLUMNS)


def run_of(cells, beside=None, recipe=None):
    """A collected run of these cells, whose recipe is theirs."""
    recipe = recipe or next(iter(cells.loc[cells["decides"], "recipe"]), "authors-code")
    empty = pd.DataFrame()
    return table.Collected("r", recipe, {}, (), cells, cells[:0] if beside is None else beside, empty, empty)


def verdicts(name, frame):
    """All verdicts on one claim."""
    one = FILE.model_copy(update={"claims": {name: FILE.claims[name]}})
    return claims.judge(run_of(frame), one)


def verdict(name, frame):
    """The first verdict on a claim: its only one, or that for all networks."""
    return verdicts(name, frame)[0]


def lenet(**selections):
    """greedy8=[...] → the cells of LeNet."""
    found = {}
    for name, values in selections.items():
        selection, k, _, start = re.fullmatch(r"([a-z]+?)(\d+)(_(e\d+))?", name).groups()
        found["lenet", selection, int(k), start or "none"] = values
    return found


# ---- the file --------------------------------------------------------------------------------------------


def test_every_claim_is_there_and_names_only_what_is_known():
    assert list(FILE.claims) == IDS
    for claim in FILE.claims.values():
        assert set(claim.architectures + claim.shown) <= set(FILE.networks)
        assert {group.selection for group in claim.groups} <= set(SELECTIONS)
    assert set(FILE.networks) == set(ARCHITECTURES)
    assert all(DATASETS[dataset].shape == ARCHITECTURES[name].input_shape for name, dataset in FILE.networks.items())


def test_an_accuracys_margin_is_counted_from_the_number_that_was_published():
    frame = published.every_value()
    for name, figure, expected in [
        ("lenet-k2", "abstract-v1", 97.0), ("lenet-k8", "abstract-icml", 98.2),
        ("lenet-k128", "abstract-v1", 98.1), ("vgg19-k8", "abstract-v1", 90.0),
    ]:  # fmt: skip
        claim = FILE.claims[name]
        (architecture,) = claim.architectures
        rows = frame[
            frame["figure"].eq(figure) & frame["architecture"].eq(architecture) & frame["k"].eq(claim.first.k[0])
        ]
        assert list(rows["mean"]) == [expected]
        found = verdict(name, cells_of({(architecture, "greedy", claim.first.k[0], "none"): [expected] * 5}))
        assert found.published == expected
        assert found.margin == pytest.approx(expected + claim.margin)
        assert found.distance == pytest.approx(0)
        assert found.verdict == claims.REPRODUCED


def test_the_distance_to_a_second_published_value_is_told():
    found = verdict("vgg19-k8", cells_of({("vgg19", "greedy", 8, "none"): [90.1, 90.2, 90.3]}))
    assert "published in abstract-icml: 91.00, distance −0.80" in found.reason


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("quantity: accuracy", "quantity: accuarcy", r"quantity: should be .*\(.*, line \d+\)"),
        ("selection: learned", "selection: lerned", r"selection 'lerned': unknown; did you mean 'learned'\?.*line \d+"),
        ("architectures: lenet", "architectures: lenett", r"architecture 'lenett': unknown; did you mean 'lenet'\?"),
        ("published: abstract-icml", "published: abstract-iclm", r"figure 'abstract-iclm': unknown"),
        ("    margin: -0.2", "    margni: -0.2", r"key 'margni': unknown; did you mean 'margin'\? \(.*line \d+\)"),
        ("lenet: mnist", "lenet: mnits", r"dataset 'mnits': unknown"),
        ("    second: {selection: learned}\n", "", r"lenet-matches-learned: difference needs a second group"),
        ("    published: abstract-v1\n", "", r"lenet-k2: accuracy needs the published figure"),
        ("k: [2, 4, 8, 16, 32, 64]", "k: [2, 4]", r"two-to-four: a largest gain needs three K"),
        ("second: {selection: probabilistic, k: [2, 4, 8, 16, 32]}", "second: {selection: probabilistic, k: [2, 4]}",
         r"gs-beats-ps: second needs one K"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path, old, new, sentence):
    text = claims.CLAIMS.read_text()
    assert old in text
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence) as raised:
        claims.load(path)
    assert "\n" not in str(raised.value)


# ---- one network -----------------------------------------------------------------------------------------

accuracies = st.lists(st.floats(90, 99), min_size=3, max_size=6)


@settings(max_examples=30, deadline=None)
@given(first=accuracies, second=accuracies)
def test_a_difference_is_decided_by_the_paired_interval(first, second):
    found = verdict("lenet-matches-learned", cells_of(lenet(greedy8=first, learned1=second)))
    n = min(len(first), len(second))
    differences = np.array(first[:n]) - np.array(second[:n])
    assert found.n == n
    assert found.mean == pytest.approx(differences.mean(), abs=1e-6)
    if differences.std() < 1e-6:
        return
    low, high = stats.ttest_rel(first[:n], second[:n]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    if min(abs(low + 0.3), abs(high + 0.3)) > 1e-6:
        expected = claims.REPRODUCED if low > -0.3 else claims.NOT_REPRODUCED if high < -0.3 else claims.UNDECIDED
        assert found.verdict == expected


@settings(max_examples=30, deadline=None)
@given(first=accuracies)
def test_an_accuracy_is_decided_by_its_own_interval(first):
    found = verdict("lenet-k8", cells_of(lenet(greedy8=first)))
    if np.std(first) < 1e-6:
        return
    low, high = stats.ttest_1samp(first, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    if min(abs(low - 98), abs(high - 98)) > 1e-6:
        expected = claims.REPRODUCED if low > 98 else claims.NOT_REPRODUCED if high < 98 else claims.UNDECIDED
        assert found.verdict == expected


@settings(max_examples=30, deadline=None)
@given(first=st.lists(st.floats(90, 99), min_size=5, max_size=6), second=st.lists(st.floats(90, 99), min_size=5))
def test_a_spread_is_decided_by_the_interval_of_the_deviation(first, second):
    found = verdicts("consistent", cells_of(lenet(greedy8=first, learned1=second)))[-1]
    n = min(len(first), len(second))
    first, second = first[:n], second[:n]
    variance = np.var(first, ddof=1)
    low, high = np.sqrt(variance * (n - 1) / stats.chi2.isf([0.025, 0.975], n - 1))
    margin = max(0.3, 2 * np.std(second, ddof=1))
    assert found.architectures == ("lenet",)
    assert (found.mean, found.low, found.high) == pytest.approx((np.sqrt(variance), low, high), abs=1e-6)
    assert found.margin == pytest.approx(margin)
    if min(abs(low - margin), abs(high - margin)) > 1e-6 and variance > 1e-9:
        expected = claims.REPRODUCED if high < margin else claims.NOT_REPRODUCED if low > margin else claims.UNDECIDED
        assert found.verdict == expected


def test_a_spread_needs_five_seeds():
    few = verdicts("consistent", cells_of(lenet(greedy8=[98.0, 98.01, 98.02, 98.0], learned1=[98.0, 98.1, 98.2, 98.3])))
    assert few[-1].verdict == claims.UNDECIDED
    assert "4 matched seeds; 5 are the fewest" in few[-1].reason


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(95, 99), min_size=6, max_size=6), min_size=3, max_size=5))
def test_the_first_gain_has_to_exceed_every_later_one(by_seed):
    ks = (2, 4, 8, 16, 32, 64)
    frame = cells_of({("lenet", "greedy", k, "none"): [row[i] for row in by_seed] for i, k in enumerate(ks)})
    found = verdicts("two-to-four", frame)[-1]
    intervals = []
    for later in range(2, 6):
        sample = [(row[1] - row[0]) - (row[later] - row[later - 1]) for row in by_seed]
        half = stats.t.isf(0.025, len(sample) - 1) * stats.sem(sample)
        intervals.append((np.mean(sample) - half, np.mean(sample) + half))
    if min(abs(end) for pair in intervals for end in pair) < 1e-6:
        return
    if any(high < 0 for _, high in intervals):
        assert found.verdict == claims.NOT_REPRODUCED
    elif all(low > 0 for low, _ in intervals):
        assert found.verdict == claims.REPRODUCED
    else:
        assert found.verdict == claims.UNDECIDED
    assert any((found.low, found.high) == pytest.approx(pair, abs=1e-6) for pair in intervals)


@pytest.mark.parametrize(
    ("greedy", "learned", "expected", "reason"),
    [
        ([98.2, 98.21, 98.22], [98.0, 98.01, 98.02], claims.REPRODUCED, ""),
        ([97.2, 97.21, 97.22], [98.0, 98.01, 98.02], claims.NOT_REPRODUCED, ""),
        ([97.0, 98.0, 99.0], [98.0, 98.0, 98.0], claims.UNDECIDED, "the interval contains the margin"),
        ([98.2, 98.21], [98.0, 98.01], claims.UNDECIDED, "2 matched seeds; 3 are the fewest that may decide"),
        ([98.2], [98.0], claims.UNDECIDED, "1 matched seed; 3 are"),
        ([98.2, 98.21, 98.22], [98.0, 98.01], claims.UNDECIDED, "2 matched seeds"),
        ([98.2, 98.21, 98.22], [], claims.NOT_RUN, "not done: learned"),
        ([], [], claims.NOT_RUN, "the run has no lenet on mnist"),
        ([np.nan] * 3, [np.nan] * 3, claims.NOT_RUN, "not done: greedy at K = 8 and learned; 6 cells missing"),
        ([98.2, np.nan, np.nan], [np.nan, 98.0, 98.0], claims.UNDECIDED, "no seed has all the cells"),
        ([98.2, 98.21, 98.22, None], [98.0, 98.01, 98.02, 98.0], claims.UNDECIDED, "1 cell diverged"),
        ([97.2, 97.21, 97.22, None], [98.0, 98.01, 98.02, 98.0], claims.UNDECIDED, "1 cell diverged"),
        ([None] * 5, [98.0] * 5, claims.UNDECIDED, "5 cells diverged"),
        ([98.2, 98.21, 98.22, np.nan], [98.0, 98.01, 98.02], claims.REPRODUCED, "1 cell missing"),
    ],
)
def test_each_verdict_is_reached_and_says_why(greedy, learned, expected, reason):
    found = verdict("lenet-matches-learned", cells_of(lenet(greedy8=greedy, learned1=learned)))
    assert found.verdict == expected
    assert reason in found.reason


def test_a_claim_that_something_is_smaller_is_decided_the_other_way_round():
    for high, expected in ((98.3, claims.REPRODUCED), (99.3, claims.NOT_REPRODUCED)):
        frame = cells_of(lenet(greedy8=[98.1, 98.12, 98.14], greedy64=[high, high + 0.02, high + 0.05]))
        assert verdicts("few-suffice", frame)[-1].verdict == expected


def test_seeds_are_matched_not_counted():
    frame = cells_of(lenet(greedy8=[98.2, np.nan, 98.3, 98.4, 98.5], learned1=[98.0, 90.0, np.nan, 98.2, 98.3]))
    found = verdict("lenet-matches-learned", frame)
    assert found.n == 3  # 0, 3 and 4
    assert found.mean == pytest.approx(0.2)
    assert {record[-10:-5] for record in found.records} == {"seed0", "seed3", "seed4"}
    assert found.values == pytest.approx(
        {"greedy at K = 8": (98.2 + 98.4 + 98.5) / 3, "learned": (98 + 98.2 + 98.3) / 3}
    )


@pytest.mark.parametrize("k_absent", [None, 16])
def test_over_several_k_the_mean_over_k_of_the_differences_decides(k_absent):
    gaps = {2: -0.1, 4: 0.2, 8: 0.3, 16: 0.3, 32: 0.3}
    noise = np.array([0.0, 0.01, 0.02])
    accuracies = {}
    for k, gap in gaps.items():
        accuracies["lenet", "probabilistic", k, "none"] = [] if k == k_absent else 97 + noise
        accuracies["lenet", "greedy", k, "none"] = 97 + gap + 2 * noise
    found = verdicts("gs-beats-ps", cells_of(accuracies))[-1]
    if k_absent:
        assert found.verdict == claims.NOT_RUN
        assert "probabilistic at K = 16" in found.reason
        return
    assert found.verdict == claims.REPRODUCED
    assert found.n == 3
    assert found.mean == pytest.approx(0.2 + 0.01)
    low, high = stats.ttest_1samp(0.2 + noise, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.published == pytest.approx(np.mean([0.06, 0.17, 0.37, 0.29, 0.16]))


def test_finetuned_means_from_the_last_checkpoint():
    plain = lenet(greedy8=[98.0, 98.0, 98.1], learned1=[98.0, 98.0, 98.1])
    early = verdict("finetune-beats-learned", cells_of(plain | lenet(greedy8_e100=[99.0, 99.0, 99.1])))
    assert early.verdict == claims.NOT_RUN
    last = verdicts("finetune-beats-learned", cells_of(plain | lenet(greedy8_e120=[99.0, 99.0, 99.1])))[-1]
    assert last.verdict == claims.REPRODUCED
    # In recipe paper LeNet's selection ends where its finetuning would
    paper = verdict("finetune-beats-learned", cells_of(plain, recipe="paper"))
    assert paper.verdict == claims.NOT_RUN
    assert "nothing is left" in paper.reason


def test_a_cost_counts_what_finetuning_started_from_and_one_seed_decides():
    some = {}
    for k in (2, 8, 64):
        some |= {("lenet", "greedy", k, "none"): [98.0], ("lenet", "greedy", k, "e120"): [98.5]}
    frame = cells_of(some | lenet(learned1=[98.0]))
    found = verdicts("finetune-costs", frame)[-1]
    assert (found.n, found.mean, found.low, found.high) == (1, 1.0, 1.0, 1.0)
    assert found.verdict == claims.NOT_REPRODUCED  # no more than learned costs
    assert len(found.records) == 7
    frame.loc[frame["selection"] == "learned", "flops"] = 1000 * 200
    found = verdicts("finetune-costs", frame)[-1]
    assert found.mean == pytest.approx(1.1)
    assert found.verdict == claims.REPRODUCED
    frame = frame[(frame["finetune"] != "none") | (frame["selection"] == "learned")]
    assert verdict("finetune-costs", frame).verdict != claims.REPRODUCED


def test_memory_is_counted_for_every_implementation_and_k():
    frame = cells_of(lenet(greedy2=[97.0], greedy8=[98.0], greedy64=[98.0], learned1=[98.0]))
    found = verdict("memory-cost", frame)
    assert found.verdict == claims.REPRODUCED
    assert found.values["K = 8, textbook"] == 12  # 8 options, scores and momenta, over weight and momentum
    assert [found.values[f"K = {k}, the staircase"] for k in (2, 8, 64)] == [5, 7, 10]
    assert found.mean == 5, "the smallest decides"
    frame.loc[frame["selection"] == "greedy", "state_bytes"] = 266_200 * 7
    assert verdict("memory-cost", frame).verdict == claims.NOT_REPRODUCED


def test_the_layer_that_prefers_large_magnitudes_least_decides():
    frame = cells_of(lenet(greedy8=[98.0, 98.1]))
    found = verdicts("larger-selected", frame)[-1]
    assert (found.n, found.mean, found.verdict) == (2, 1.02, claims.REPRODUCED)
    frame.loc[0, "magnitude"] = 0.99
    assert verdicts("larger-selected", frame)[-1].verdict == claims.UNDECIDED
    frame["magnitude"] = 0.99
    assert verdicts("larger-selected", frame)[-1].verdict == claims.NOT_REPRODUCED


# ---- what counts -----------------------------------------------------------------------------------------

GOOD = lenet(greedy8=[98.2, 98.21, 98.22], learned1=[98.0, 98.01, 98.02])


def test_cells_of_another_recipe_do_not_count():
    other = cells_of(GOOD, recipe="paper", decides=False)
    frame = pd.concat([cells_of(lenet(greedy8=[98.2])), other], ignore_index=True)
    assert verdict("lenet-matches-learned", frame).verdict == claims.NOT_RUN


@pytest.mark.parametrize("name", IDS)
def test_a_run_of_another_recipe_than_the_papers_decides_nothing(name):
    (found,) = verdicts(name, cells_of(GOOD, recipe="quick"))
    assert found.verdict == claims.NOT_RUN
    assert "recipe quick decides no claim" in found.reason


def test_cells_that_deviate_from_their_recipe_do_not_count():
    frame = cells_of(GOOD)
    frame.loc[(frame["selection"] == "greedy") & (frame["seed"] > 0), "deviations"] = "epochs 1, not 120"
    found = verdict("lenet-matches-learned", frame)
    assert (found.verdict, found.n) == (claims.UNDECIDED, 1)
    assert "2 cells not trained as the recipe says" in found.reason
    frame.loc[frame["selection"] == "greedy", "deviations"] = "epochs 1, not 120"
    assert verdict("lenet-matches-learned", frame).verdict == claims.NOT_RUN


def test_other_datasets_do_not_count():
    frame = cells_of(GOOD)
    frame["dataset"] = "fashion-mnist"
    assert verdict("lenet-matches-learned", frame).verdict == claims.NOT_RUN


# ---- several networks ------------------------------------------------------------------------------------


def competitive(**gaps):
    """Learned at 90 and greedy K = 8 so much above it, for each network, and two seeds a little off."""
    found = {}
    for architecture, gap in gaps.items():
        found[architecture, "learned", 1, "none"] = [90.0, 90.1, 90.2]
        found[architecture, "greedy", 8, "none"] = [90.0 + gap, 90.1 + gap, 90.21 + gap]
    return cells_of(found)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        (dict.fromkeys(FILE.networks, 0.0), claims.REPRODUCED),
        (dict.fromkeys(FILE.networks, 0.0) | {"vgg19": -3.0}, claims.NOT_REPRODUCED),
        ({"lenet": 0.0}, claims.UNDECIDED),
        ({"conv2": -3.0}, claims.NOT_REPRODUCED),
        ({}, claims.NOT_RUN),
    ],
)
def test_each_network_that_has_been_run_gets_a_verdict_and_all_get_one(gaps, expected):
    found = verdicts("eight-competitive", competitive(**gaps))
    assert found[0].architectures == tuple(FILE.networks)
    assert found[0].verdict == expected
    assert [one.architectures for one in found[1:]] == [(name,) for name in FILE.networks if name in gaps]
    for one in found[1:]:
        assert one.verdict == (claims.REPRODUCED if gaps[one.architectures[0]] == 0 else claims.NOT_REPRODUCED)
    if gaps:
        assert found[0].mean == pytest.approx(np.mean([*gaps.values()]) + 0.01 / 3)
        assert set(found[0].records) == {record for one in found[1:] for record in one.records}
    absent = set(FILE.networks) - set(gaps)
    if gaps and absent:
        assert f"not run: {', '.join(name for name in FILE.networks if name in absent)}" in found[0].reason


def test_a_network_that_is_only_shown_does_not_count_towards_all():
    some = {}
    for name in ("conv4", "conv6", "vgg19"):
        start = "e120" if name == "vgg19" else "e140"
        up = -1 if name == "vgg19" else 1
        some[name, "learned", 1, "none"] = [90.0, 90.1, 90.2]
        some[name, "greedy", 8, start] = [90.0 + up, 90.1 + up, 90.21 + up]
    some |= lenet(learned1=[90.0, 90.1, 90.2], greedy8_e120=[91.0, 91.1, 91.21])
    found = verdicts("finetune-beats-learned", cells_of(some))
    assert [one.verdict for one in found] == [claims.REPRODUCED] * 4 + [claims.NOT_REPRODUCED]
    assert found[-1].architectures == ("vgg19",)
    assert "does not count towards" in found[-1].reason


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
    found = json.loads(slotbench("claims", "made-up", "--json", folder=folder).stdout)
    assert list(dict.fromkeys(one["id"] for one in found)) == IDS
    lines = printed.stdout.splitlines()
    firsts = [next(one["verdict"] for one in found if one["id"] == name) for name in IDS]
    assert lines[0].startswith(f"{len(IDS)} claims: ")
    for verdict, sign in claims.SIGNS.items():
        assert (f"{sign} {firsts.count(verdict)} {verdict}" in lines[0]) == (verdict in firsts)
    told = [line for line in lines if line.startswith("  ")]
    assert [line.rpartition("[")[2] for line in lines if line.endswith("]")] == [f"{name}]" for name in IDS]
    assert all(f"{one['statement']}. [{one['id']}]" in lines for one in found)
    for one, line in zip(found, told, strict=True):
        assert re.match(rf"  {', '.join(one['architectures'])}: . {one['verdict']}", line)
        assert {"id", "architectures", "verdict", "n", "mean", "low", "high", "margin", "published"} <= set(one)
        assert one["verdict"] in claims.SIGNS
        assert all((folder / "results" / record).is_file() for record in one["records"])
        if one["mean"] is not None and one["published"] is not None:
            assert one["distance"] == pytest.approx(one["mean"] - one["published"])
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
    index = page.render("made-up", folder / "results", folder / "report")
    text = index.read_text()
    parsed = Page(text)
    assert "LeNet-300-100 with K = 8 <script>alert(1)</script> & more" in parsed.text
    assert "<script>alert" not in text
    assert re.findall(r'<section id="([^"]+)"', text)[0] == "verdicts"
    assert (index, "verdicts") in local(parsed, index)
    assert all(file.is_file() for file, _ in local(parsed, index))
    assert {f"claim-{name}" for name in IDS} <= set(parsed.ids)
    for verdict, sign in claims.SIGNS.items():  # in words and by shape
        assert f"{sign} {verdict}" in parsed.text
    for one in claims.judge(table.read(folder / "results" / "made-up"), hostile):
        if one.verdict == claims.NOT_RUN:
            assert one.statement in parsed.text
            continue
        (claim,) = re.findall(rf'<tbody id="claim-{one.id}"[^>]*>(.*?)</tbody>', text, re.S)
        shown = Page(claim)
        assert one.statement in shown.text
        assert one.found in shown.text
        assert {f"../../results/{record}" for record in one.records} <= set(shown.addresses)


def test_every_verdict_has_a_colour_of_its_own_rule():
    style = (claims.CLAIMS.parents[1] / "slotbench" / "templates" / "style.css").read_text()
    assert all(f".{verdict.replace(' ', '-')} {{ color:" in style for verdict in claims.SIGNS)
