"""The tables of measurements in the docs, and the study of a distance, are what the committed files say."""

import json

import pytest

from benchmarks import bf16_study, study, tables
from tests.support.project import ROOT


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.name)
def test_every_table_says_what_was_measured(page):
    assert tables.filled(page.read_text()) == page.read_text(), "run python benchmarks/tables.py"


def test_the_study_of_a_distance_is_what_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "study.json").read_text()) == study.rows()


def test_the_table_of_the_authors_code_is_what_its_epochs_and_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "authors-code.json").read_text()) == study.authors_code()


def test_the_table_of_baselines_is_what_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "baselines.json").read_text()) == study.baselines()


def test_the_table_of_finetuning_is_what_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "finetuning.json").read_text()) == study.finetuning()


def test_the_study_of_bfloat16_is_what_the_committed_records_say():
    rows, missing = bf16_study.rows(ROOT / "results")
    assert not missing
    assert json.loads((ROOT / "benchmarks" / "bf16_study.json").read_text()) == rows


def test_the_table_of_memorising_is_what_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "memorising.json").read_text()) == study.memorising()
