"""The paired study of bfloat16: what it compares, and its two one-sided tests."""

from dataclasses import replace

import pytest
from scipy import stats

from benchmarks import bf16_study
from slotbench import recipes
from slotbench.config import load
from slotbench.results import records
from tests.support import synthetic
from tests.support.project import ROOT

CELLS = load(ROOT / "config" / "bf16-study.yaml").cells()


def test_pairs_differ_in_precision_alone():
    for cell in CELLS:
        if "bf16" in cell.recipe:
            (twin,) = [other for other in CELLS if str(other) == str(cell).replace("-bf16", "", 1)]
            ours, theirs = (recipes.of(each).model_dump() for each in (cell, twin))
            assert (ours.pop("precision"), theirs.pop("precision")) == ("bf16", "float32")
            assert ours == theirs
    assert len(CELLS) == 2 * (2 * 5 + 2 * 3)


def test_the_bf16_recipe_is_the_authors_but_for_its_precision():
    ours, theirs = (
        recipes.load(name)[0].model_dump(exclude={"about"}) for name in ("authors-code-bf16", "authors-code")
    )
    assert ours["base"].pop("precision") == "bf16"
    assert ours == theirs


def test_the_studys_30_epochs_are_the_authors_first():
    for cell in CELLS:
        if cell.recipe == "study-30-epochs":
            first, whole = (recipes.of(other).model_dump() for other in (cell, replace(cell, recipe="authors-code")))
            del first["epochs"], whole["epochs"], first["checkpoints"], whole["checkpoints"]
            assert first == whole


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.2, 0.6])
def test_the_tests_are_scipys(shift):
    differences = [shift + part for part in (-0.1, 0.05, 0.02, 0.08, -0.04)]
    below = stats.ttest_1samp(differences, -0.3, alternative="greater").pvalue
    above = stats.ttest_1samp(differences, 0.3, alternative="less").pvalue
    assert bf16_study.equivalence(differences, 0.3) == pytest.approx(max(below, above))
    assert (bf16_study.equivalence(differences, 0.3) < bf16_study.LEVEL) == (abs(shift) < 0.2001)


def test_equal_differences_are_equivalent_within_the_margin_only():
    assert bf16_study.equivalence([0.1, 0.1, 0.1], 0.3) == 0
    assert bf16_study.equivalence([0.4, 0.4, 0.4], 0.3) == 1


def test_it_decides_nothing_while_a_cell_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bf16_study.py", "--results", str(tmp_path)])
    assert bf16_study.main() == 1
    assert f"not decided: {len(CELLS)} cells have not been trained" in capsys.readouterr().out
    for cell in CELLS:
        records.write(synthetic.record(cell), tmp_path / "bf16-study" / "cells" / cell.path)
    assert bf16_study.main() == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("bfloat16 is ")
