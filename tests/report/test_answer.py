"""The answer in a sentence and the matrix behind it add up to the verdicts."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from slotbench.report import answer, claims
from slotbench.report.answer import OPEN, TOO_CLOSE, WHERE_RUN
from slotbench.report.judge import judge
from slotbench.report.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, SHOWN, UNDECIDED, Verdict
from tests.support import synthetic
from tests.support.drawing import collected

CLOSE = "the interval contains the margin"


def verdict(outcome, *architectures, reason="", **more):
    return Verdict("an-id", "a claim", "source", "accuracy", architectures or ("lenet",), outcome, reason, **more)


@pytest.mark.parametrize(
    ("outcome", "reason", "kind"),
    [
        (REPRODUCED, "", REPRODUCED),
        (NOT_REPRODUCED, "", NOT_REPRODUCED),
        (NOT_RUN, "the run has no lenet on mnist", NOT_RUN),
        (UNDECIDED, f"{CLOSE}; a note", TOO_CLOSE),
        (UNDECIDED, "2 matched seeds; 3 are the fewest that may decide", OPEN),
    ],
)
def test_an_open_verdict_is_too_close_or_lacks_cells(outcome, reason, kind):
    assert answer.kind(verdict(outcome, reason=reason)) == kind
    assert answer.kind_of_all([verdict(outcome, reason=reason)]) == kind


@pytest.mark.parametrize(
    ("each", "kind"),
    [
        ([verdict(REPRODUCED)], WHERE_RUN),
        ([verdict(REPRODUCED), verdict(REPRODUCED, "conv2")], WHERE_RUN),
        ([verdict(REPRODUCED), verdict(UNDECIDED, "conv2", reason=CLOSE)], TOO_CLOSE),
        ([verdict(UNDECIDED, reason="1 matched seed; 3 are the fewest that may decide")], OPEN),
    ],
)
def test_a_claim_about_networks_that_were_not_all_run(each, kind):
    assert answer.kind_of_all([verdict(UNDECIDED, "lenet", "conv2", "vgg19"), *each]) == kind


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    run = collected(tmp_path_factory.mktemp("answer"), synthetic.grid(ks=(1, 2, 4, 8, 64), finetune=("e120",), seeds=5))
    known = claims.load()
    return judge(run, known), known


def test_the_sentence_counts_the_matrix_and_the_matrix_the_verdicts(judged):
    verdicts, known = judged
    text, matrix = answer.sentence(verdicts, known), answer.matrix(verdicts, known)
    counts = matrix.counts("lenet")
    named = {
        REPRODUCED: r"(\d+) of \d+ claims holds?", NOT_REPRODUCED: r"(\d+) do(?:es)? not",
        TOO_CLOSE: r"(\d+) (?:is|are) too close", NOT_RUN: r"(\d+) (?:was|were) not run",
    }  # fmt: skip
    for kind, words in named.items():
        told = re.search(words, text.partition(". ")[0])
        assert (int(told[1]) if told else 0) == counts[kind], (kind, text)
    # A claim that is shown without a verdict neither holds nor fails
    assert int(re.search(r"of (\d+) claims", text)[1]) == sum(counts.values()) - counts[SHOWN]
    single = {verdict.id: verdict for verdict in verdicts if verdict.architectures == ("lenet",)}
    assert {row.id: kinds["lenet"] for row, kinds in matrix.rows if "lenet" in kinds} == {
        name: answer.kind(verdict) for name, verdict in single.items()
    } | {row.id: NOT_RUN for row, _ in matrix.rows if "lenet" in row.architectures and row.id not in single}
    assert "Of CONV-2, CONV-4, CONV-6 and VGG-19 on CIFAR-10 nothing is decided yet" in text


def test_a_run_that_decides_nothing_says_so(judged):
    _, known = judged
    blank = [verdict(NOT_RUN, reason="recipe quick decides no claim: it is not one of the paper's")]
    assert answer.sentence(blank, known).startswith("No claim of the paper is decided by this run: recipe quick")


def test_what_is_not_reproduced_says_by_how_much_and_what_a_study_reaches():
    study = pd.DataFrame(
        {
            "status": "done", "dataset": "mnist", "architecture": "lenet", "selection": "greedy", "k": 2,
            "finetune": "none", "recipe": ["study-bound"] * 2 + ["study-rate"], "seed": [0, 1, 0], "epochs": 120,
            "test_accuracy": [97.5, 97.7, 95.0],
        }
    )  # fmt: skip
    short = verdict(NOT_REPRODUCED, n=5, mean=96.7, low=96.6, high=96.75, margin=96.8, values={"greedy at K = 2": 96.7})
    assert "−0.10 from the margin" in answer.why(short, study)
    assert "study-bound 97.60 (n = 2) %" in answer.why(short, study)
    assert "study-rate" not in answer.why(short, study)
    assert answer.why(replace(short, verdict=REPRODUCED), study) == ""
    close = replace(short, verdict=UNDECIDED, reason=CLOSE, mean=97.0, low=96.0, high=98.0)
    assert "about 125 seeds" not in answer.why(close, pd.DataFrame())  # more than anybody would train
    assert "about 20 seeds would tell" in answer.why(replace(close, low=96.6, high=97.4), pd.DataFrame())
