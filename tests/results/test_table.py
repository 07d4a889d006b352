"""The table: a row for every cell of a run, whatever became of it, and statistics one can check by hand."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
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
    frame = table.collect(run, tmp_path).cells
    assert list(frame.columns[:15]) == [
        "dataset", "architecture", "selection", "k", "finetune", "seed", "recipe", "epochs", "status",
        "test_accuracy", "test_accuracy_last", "validation_accuracy", "wall_seconds", "peak_bytes", "device",
    ]  # fmt: skip
    assert len(frame) == len(run.cells())
    assert set(frame["status"]) == {"done"}


def test_numbers_are_those_of_the_record_in_percent(run, tmp_path):
    cell = run.cells()[2]
    record = json.loads(synthetic.path(tmp_path, run, cell).read_text())
    line = row(table.collect(run, tmp_path).cells, cell)
    assert line["test_accuracy"] == pytest.approx(100 * record["results"]["test_accuracy"])
    assert line["epochs"] == record["results"]["epochs"]
    assert line["flops"] == 81_457_200_000 * 120
    assert line["changed"] == record["results"]["curves"]["changed"][-1]


def test_a_record_whose_curves_are_empty_is_collected_and_what_they_would_tell_is_not_known(run, tmp_path):
    cell = run.cells()[2]
    record = synthetic.record(cell)
    empty = records.Curves(train_loss=[], validation_accuracy=[], changed=[])
    results = record.results.model_copy(update={"curves": empty, "test": []})
    records.write(record.model_copy(update={"results": results}), synthetic.path(tmp_path, run, cell))
    line = row(table.collect(run, tmp_path).cells, cell)
    assert line["status"] == "done"
    assert np.isnan(line["changed"])
    assert pd.isna(line["moved"])


def test_the_flops_of_a_finetuned_cell_are_those_of_its_own_epochs(run, tmp_path):
    cell = next(cell for cell in run.cells() if cell.finetune == "e100")
    line = row(table.collect(run, tmp_path).cells, cell)
    assert (line["start_epoch"], line["epochs"]) == (100, 220)
    assert line["flops"] == 81_457_200_000 * 120


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

    collected = table.collect(run, tmp_path)
    frame = collected.cells
    statuses = [row(frame, cell)["status"] for cell in (missing, noted, broken, foreign, diverged)]
    assert statuses == ["missing", "failed", "failed", "failed", "diverged"]
    assert row(frame, noted)["problem"] == "no space left on the device"
    assert str(paths[broken]) in row(frame, broken)["problem"]
    assert str(missing) in row(frame, foreign)["problem"]
    assert np.isnan(row(frame, foreign)["test_accuracy"])
    assert len(frame) == len(run.cells())
    assert collected.outside == (f"{run.run}/cells/{stray.path}",)


def test_settings_that_are_not_the_recipes_are_named(run, tmp_path):
    cell = next(cell for cell in run.cells() if cell.finetune == "none" and cell.selection == "greedy")
    synthetic.path(tmp_path, run, cell).write_text(records.text(synthetic.record(cell, epochs=1)))
    frame = table.collect(run, tmp_path).cells
    assert row(frame, cell)["deviations"] == "epochs 1, not 120"


def test_it_collects_a_run_as_its_config_describes_it(tmp_path):
    run = config.Run.model_validate(
        {
            "run": "made-up",
            "recipe": "authors-code",
            "grids": [{"dataset": ["mnist"], "architecture": ["lenet"], "selection": ["learned"], "seed": [0, 1]}],
        }
    )
    frame = table.collect(run, tmp_path).cells
    assert list(frame["status"]) == ["missing", "missing"]
    assert frame["decides"].all()


def test_what_is_written_is_read_again(run, tmp_path):
    collected = table.collect(run, tmp_path)
    table.write(collected, tmp_path / run.run)
    again = table.read(tmp_path / run.run)
    for name in table.FRAMES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(collected, name))
        assert not getattr(again, name).attrs
    for name in table.FACTS:
        assert getattr(again, name) == getattr(collected, name)
    assert list(pd.read_csv(tmp_path / run.run / "cells.csv").columns) == list(table.COLUMNS)


def test_layers_and_curves_are_those_of_the_records(run, tmp_path):
    collected = table.collect(run, tmp_path)
    for cell in run.cells():
        results = synthetic.record(cell).results
        name = f"{run.run}/cells/{cell.path}"
        layers = collected.layers[collected.layers["record"] == name]
        assert len(layers) == len(results.layers or [])
        for place, (layer, recorded) in enumerate(zip(layers.to_dict("records"), results.layers or [], strict=True), 1):
            assert layer["layer"] == place
            assert list(layer["selected"]) == recorded.selected
            assert layer["bits_of_rank"] == recorded.bits_of_rank
        curve = collected.curves[collected.curves["record"] == name].set_index("epoch")
        assert list(curve.index) == list(range(results.start_epoch + 1, results.epochs + 1))
        assert list(curve["train_loss"]) == results.curves.train_loss
        assert list(curve["changed"]) == results.curves.changed
        assert list(curve["validation_accuracy"]) == pytest.approx(
            [100 * x for x in results.curves.validation_accuracy]
        )
        assert curve["test_accuracy"].dropna().to_dict() == pytest.approx(
            {test.epoch: 100 * test.accuracy for test in results.test}
        )


def with_curve(cell, validation, tests):
    """A record with these accuracies, as fractions: of validation at each epoch, of the test set at some."""
    record = synthetic.record(cell)
    curves = record.results.curves.model_copy(
        update={
            "validation_accuracy": validation,
            "train_loss": [0.1] * len(validation),
            "changed": [0.0] * len(validation),
        }
    )
    readings = [
        records.TestAccuracy(epoch=epoch, accuracy=value, sampled=None, highest=None) for epoch, value in tests.items()
    ]
    results = record.results.model_copy(update={"curves": curves, "epochs": len(validation), "test": readings})
    return record.model_copy(update={"results": results})


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(1, 12))
def test_training_that_had_ended_earlier_counts_its_best_epoch_till_then(validation, epochs):
    """Against going through the epochs; the test set is read at every new best, and at the last epoch."""
    last = len(validation)
    bests = {i for i, value in enumerate(validation) if value > max(validation[:i], default=-1)}
    cells = pd.DataFrame({"record": "r", "status": "done", "finetune": "none", "epochs": pd.array([last], "Int64")})
    curves = pd.DataFrame(
        {
            "record": "r",
            "epoch": range(1, last + 1),
            "validation_accuracy": [float(value) for value in validation],
            "test_accuracy": [50.0 + i if i in {*bests, last - 1} else np.nan for i in range(last)],
        }
    )
    stopped = table.stopped_at(table.Collected("r", "x", {}, (), cells, cells[:0], curves[:0], curves), epochs)
    if epochs > last:
        assert stopped.empty
        return
    best = max(range(epochs), key=lambda i: validation[i])  # the first of the highest
    (ended,) = stopped.to_dict("records")
    assert (ended["epochs"], ended["best_epoch"]) == (epochs, best + 1)
    assert (ended["test_accuracy"], ended["validation_accuracy"]) == (50 + best, validation[best])


def test_whether_a_cell_has_moved_is_whether_any_epoch_changed_it(tmp_path):
    moving, still = (Cell("authors-code", "mnist", "lenet", "greedy", 8, "none", seed) for seed in (0, 1))
    run = synthetic.SyntheticRun("r", "authors-code", (moving, still))
    synthetic.train(tmp_path, run)
    records.write(with_curve(still, [0.1, 0.1], {1: 0.1}), synthetic.path(tmp_path, run, still))
    frame = table.collect(run, tmp_path).cells
    assert list(frame["moved"]) == [True, False]


def learned(recipe, seeds=3):
    return tuple(Cell(recipe, "mnist", "lenet", "learned", 1, "none", seed) for seed in range(seeds))


def with_validation(root, run, accuracies):
    """Records of `run`, recipe by recipe with this validation accuracy; None: one of its cells is missing."""
    for cell in run.cells():
        value = accuracies[cell.recipe]
        if value is None and cell.seed == 0:
            continue
        record = synthetic.record(cell)
        results = record.results.model_copy(update={"validation_accuracy": (value or 99) / 100, "test_accuracy": 0.5})
        path = synthetic.path(root, run, cell)
        records.write(record.model_copy(update={"results": results}), path)


@pytest.mark.parametrize(
    ("validation", "tuned"),
    [
        ({"authors-code": 97, "learned-rate-0.1": 98, "learned-rate-0.05": 97.5}, "learned-rate-0.1"),
        ({"authors-code": 98.5, "learned-rate-0.1": 98, "learned-rate-0.05": 97.5}, "authors-code"),
        ({"authors-code": 97, "learned-rate-0.1": None, "learned-rate-0.05": 97.5}, "learned-rate-0.05"),
        ({"authors-code": 97, "learned-rate-0.1": None, "learned-rate-0.05": None}, None),
    ],
)
def test_the_tuned_baseline_is_chosen_by_validation_among_rates_that_are_complete(tmp_path, validation, tuned):
    own = synthetic.SyntheticRun("own", "authors-code", synthetic.grid(ks=(8,)))
    beside = synthetic.SyntheticRun("rates", "x", learned("learned-rate-0.1") + learned("learned-rate-0.05"))
    for run in (own, beside):
        with_validation(tmp_path, run, validation)
    collected = table.collect(replace(own, others=(beside,)), tmp_path)
    both = pd.concat([collected.cells, collected.beside])
    assert set(both.loc[both["tuned"], "recipe"]) == ({tuned} if tuned else set())
    assert set(both.loc[both["tuned"], "selection"]) <= {"learned"}
    assert not collected.beside["decides"].any()


def test_what_stands_beside_is_shown_where_the_run_has_nothing_and_never_decides(tmp_path):
    own = synthetic.SyntheticRun("own", "authors-code", synthetic.grid(ks=(8,), seeds=2))
    more = tuple(Cell("authors-code", "mnist", "lenet", "greedy", 8, "none", seed) for seed in (5, 6))
    beside = [
        synthetic.SyntheticRun("rates", "x", learned("learned-rate-0.1", 2)),
        synthetic.SyntheticRun("more", "x", more),
    ]
    synthetic.train(tmp_path, own)
    synthetic.train(tmp_path, beside[0], without=learned("learned-rate-0.1", 1))
    synthetic.train(tmp_path, beside[1])
    collected = table.collect(replace(own, others=tuple(beside)), tmp_path)
    assert len(collected.cells) == len(own.cells())
    assert list(collected.beside["status"].value_counts()) == [3, 1]
    further = collected.shown[~collected.shown["record"].isin(collected.cells["record"])]
    assert list(further["record"]) == [f"rates/cells/{learned('learned-rate-0.1')[1].path}"]
    assert not further["decides"].any()
    assert "learned-rate-0.1" in collected.about


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bits flipped, bytes lost or doubled, the end cut off, zeros where a disk lost a block."""
    place, length = draw.randrange(len(content)), draw.choice([1, 1, 4, 512])
    match draw.choice(["flip", "cut", "lose", "double", "zero"]):
        case "flip":
            return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
        case "cut":
            return content[:place]
        case "lose":
            return content[:place] + content[place + length :]
        case "double":
            return content[: place + length] + content[place:]
    return content[:place] + bytes(len(content[place : place + length])) + content[place + length :]


def equal(again: table.Collected, collected: table.Collected) -> None:
    for name in table.FRAMES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(collected, name))
    assert [getattr(again, name) for name in table.FACTS] == [getattr(collected, name) for name in table.FACTS]


def test_a_damaged_table_is_refused_or_equal(run, tmp_path):
    collected, folder = table.collect(run, tmp_path), tmp_path / "damaged"
    table.write(collected, folder)
    draw = random.Random(0)
    whole = {name: (folder / name).read_bytes() for name in (*table.FILES, table.SUMS)}
    refusals = 0
    for number in range(600):
        name = "cells.parquet" if number % 3 else draw.choice(sorted(whole))
        (folder / name).write_bytes(damaged(whole[name], draw))
        try:
            again = table.read(folder)
        except InputError as error:
            assert "write it again with `slotbench collect`" in str(error)
            refusals += 1
        else:
            equal(again, collected)
        (folder / name).write_bytes(whole[name])
    assert refusals > 500
    equal(table.read(folder), collected)


def test_the_sums_of_a_table_are_sha256sum_s(run, tmp_path):
    table.write(table.collect(run, tmp_path), tmp_path)
    for line in (tmp_path / table.SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    (tmp_path / table.SUMS).unlink()
    with pytest.raises(
        InputError, match=r"cells\.parquet: not a readable table \(.*cells.sha256: No such file.*\); write it"
    ):
        table.read(tmp_path)


@pytest.mark.parametrize("name", ["cells.parquet", "beside.parquet", "layers.parquet", "curves.parquet", "run.json"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 not at all", b"\xff\xfe"])
def test_a_table_that_cannot_be_read_is_told_in_a_sentence(run, tmp_path, name, content):
    table.write(table.collect(run, tmp_path), tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: .*slotbench collect"):
        table.read(tmp_path)


def test_a_table_of_another_version_is_refused(run, tmp_path):
    table.write(table.collect(run, tmp_path), tmp_path)
    for name, content in (("run.json", "[]"), ("run.json", '{"run": "made-up"}')):
        (tmp_path / name).write_text(content)
        (tmp_path / table.SUMS).write_text("".join(table._sums(tmp_path)))
        with pytest.raises(InputError, match="another version"):
            table.read(tmp_path)


def cells(accuracies, statuses):
    frame = pd.DataFrame({"test_accuracy": accuracies, "status": statuses, "k": 8})
    return frame.assign(epochs=pd.array([120] * len(frame), "Int64"))


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=2, max_size=20))
def test_the_interval_is_students(accuracies):
    line = table.summary(cells(accuracies, "done"), ["k"]).iloc[0]
    assert line["n"] == len(accuracies)
    assert line["mean"] == pytest.approx(np.mean(accuracies))
    if np.ptp(accuracies) > 1e-9:
        low, high = stats.t.interval(0.95, len(accuracies) - 1, loc=np.mean(accuracies), scale=stats.sem(accuracies))
        assert (line["mean"] - line["half"], line["mean"] + line["half"]) == pytest.approx((low, high))


def test_one_seed_has_no_interval():
    line = table.summary(cells([97.0], "done"), ["k"]).iloc[0]
    assert (line["n"], line["mean"]) == (1, 97.0)
    assert np.isnan(line["half"])


def test_a_diverged_cell_is_counted_and_not_averaged():
    line = table.summary(cells([97.0, 10.0, np.nan], ["done", "diverged", "missing"]), ["k"]).iloc[0]
    assert (line["n"], line["mean"], line["diverged"], line["missing"], line["failed"]) == (1, 97.0, 1, 1, 0)
