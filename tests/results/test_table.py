"""The table: a row for every cell of a run, whatever became of it, and statistics one can check by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slotbench import config
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.results import records, table
from tests.support import synthetic


@pytest.fixture
def run(tmp_path):
    """A synthetic run of LeNet, every cell done."""
    made = synthetic.SyntheticRun("made-up", "authors-code", synthetic.grid(ks=(1, 2, 8), seeds=2))
    synthetic.train(tmp_path, made)
    return made


def row(frame, cell):
    return frame[frame["record"].str.endswith(str(cell.path))].squeeze()


def test_the_columns_begin_as_promised(run, tmp_path):
    frame = table.collect(run, tmp_path)
    assert list(frame.columns[:15]) == [
        "dataset", "architecture", "selection", "k", "finetune", "seed", "recipe", "epochs", "status",
        "test_accuracy", "test_accuracy_last", "validation_accuracy", "wall_seconds", "peak_bytes", "device",
    ]  # fmt: skip
    assert len(frame) == len(run.cells())
    assert set(frame["status"]) == {"done"}


def test_numbers_are_those_of_the_record_in_percent(run, tmp_path):
    cell = run.cells()[2]
    record = json.loads(synthetic.path(tmp_path, run, cell).read_text())
    one = row(table.collect(run, tmp_path), cell)
    assert one["test_accuracy"] == pytest.approx(100 * record["results"]["test_accuracy"])
    assert one["epochs"] == record["results"]["epochs"]
    assert one["flops"] == 81_457_200_000 * 120
    assert one["changed"] == record["results"]["curves"]["changed"][-1]


def test_the_flops_of_a_finetuned_cell_are_those_of_its_own_epochs(run, tmp_path):
    cell = next(cell for cell in run.cells() if cell.finetune == "e100")
    one = row(table.collect(run, tmp_path), cell)
    assert (one["start_epoch"], one["epochs"]) == (100, 220)
    assert one["flops"] == 81_457_200_000 * 120


def test_nothing_is_dropped_silently(run, tmp_path):
    missing, noted, broken, foreign, diverged = run.cells()[:5]
    paths = {cell: synthetic.path(tmp_path, run, cell) for cell in run.cells()}
    paths[missing].unlink()
    paths[noted].unlink()
    paths[noted].with_name(paths[noted].name + ".failed").write_text("no space left on the device\n")
    paths[broken].write_text(paths[broken].read_text()[:-20])
    paths[foreign].write_text(records.text(synthetic.record(missing)))
    paths[diverged].write_text(records.text(synthetic.record(diverged, status="diverged")))
    stray = Cell("paper", "mnist", "lenet", "greedy", 4, "none", 9)
    strays = synthetic.SyntheticRun(run.run, run.recipe, (stray,))
    synthetic.train(tmp_path, strays)

    frame = table.collect(run, tmp_path)
    statuses = [row(frame, cell)["status"] for cell in (missing, noted, broken, foreign, diverged)]
    assert statuses == ["missing", "failed", "failed", "failed", "diverged"]
    assert row(frame, noted)["problem"] == "no space left on the device"
    assert str(paths[broken]) in row(frame, broken)["problem"]
    assert str(missing) in row(frame, foreign)["problem"]
    assert np.isnan(row(frame, foreign)["test_accuracy"])
    assert len(frame) == len(run.cells())
    assert frame.attrs["outside"] == [f"{run.run}/cells/{stray.path}"]


def test_settings_that_are_not_the_recipes_are_named(run, tmp_path):
    cell = next(cell for cell in run.cells() if cell.finetune == "none" and cell.selection == "greedy")
    synthetic.path(tmp_path, run, cell).write_text(records.text(synthetic.record(cell, epochs=1)))
    frame = table.collect(run, tmp_path)
    assert row(frame, cell)["deviations"] == "epochs 1, not 120"


def test_it_collects_a_run_as_its_config_describes_it(tmp_path):
    run = config.Run.model_validate(
        {
            "run": "made-up",
            "recipe": "authors-code",
            "grids": [{"dataset": ["mnist"], "architecture": ["lenet"], "selection": ["learned"], "seed": [0, 1]}],
        }
    )
    frame = table.collect(run, tmp_path)
    assert list(frame["status"]) == ["missing", "missing"]
    assert frame["decides"].all()


def test_what_is_written_is_read_again(run, tmp_path):
    frame = table.collect(run, tmp_path)
    table.write(frame, tmp_path / run.run)
    again = table.read(tmp_path / run.run)
    pd.testing.assert_frame_equal(again, frame)
    assert again.attrs == frame.attrs
    assert list(pd.read_csv(tmp_path / run.run / "cells.csv").columns) == [
        name for name in table.COLUMNS if name not in table.LONG
    ]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 not at all"])
def test_a_table_that_cannot_be_read_is_told_in_a_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "cells.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"cells\.parquet: .*slotbench collect"):
        table.read(tmp_path)


def cells(accuracies, statuses):
    frame = pd.DataFrame({"test_accuracy": accuracies, "status": statuses, "k": 8})
    return frame.assign(epochs=pd.array([120] * len(frame), "Int64"))


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20))
def test_the_interval_is_students(accuracies):
    one = table.summary(cells(accuracies, "done"), ["k"]).iloc[0]
    assert one["n"] == len(accuracies)
    assert one["mean"] == pytest.approx(np.mean(accuracies))
    if np.ptp(accuracies) > 1e-9:
        low, high = stats.t.interval(0.95, len(accuracies) - 1, loc=np.mean(accuracies), scale=stats.sem(accuracies))
        assert (one["mean"] - one["half"], one["mean"] + one["half"]) == pytest.approx((low, high))


def test_one_seed_has_no_interval():
    one = table.summary(cells([97.0], "done"), ["k"]).iloc[0]
    assert (one["n"], one["mean"]) == (1, 97.0)
    assert np.isnan(one["half"])


def test_a_diverged_cell_is_counted_and_not_averaged():
    one = table.summary(cells([97.0, 10.0, np.nan], ["done", "diverged", "missing"]), ["k"]).iloc[0]
    assert (one["n"], one["mean"], one["diverged"], one["missing"], one["failed"]) == (1, 97.0, 1, 1, 0)
