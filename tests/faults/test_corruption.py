"""Flipped bits, truncations, foreign files: each is found and named, and nothing wrong is trained on or counted."""

import copy
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slotbench.cells import Cell
from slotbench.config import Run
from slotbench.results import records, table
from tests.support import synthetic
from tests.support.program import CELLS, cell, ended, epoch_of, refused, states, training_begun
from tests.support.records import mutated, same

GREEDY = CELLS["greedy"]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


@pytest.fixture(scope="module")
def left_by_a_kill(installed, tmp_path_factory) -> Path:
    """A cell's folder with two states, and no record."""
    out = tmp_path_factory.mktemp("killed") / "seed0.json"
    process = training_begun(installed, GREEDY, out)
    process.kill()
    ended(process)
    return out.with_suffix("")


@pytest.fixture
def killed(left_by_a_kill, tmp_path) -> Path:
    """Where the record will be of a cell that was killed."""
    shutil.copytree(left_by_a_kill, tmp_path / "seed0")
    return tmp_path / "seed0.json"


def first_epoch(done) -> int:
    """The first epoch that a process told of."""
    return int(re.search(r"^epoch (\d+)/", done.stderr, re.M)[1])


@pytest.mark.parametrize("damage", [flipped, truncated])
def test_a_damaged_state_is_named_and_the_one_before_it_taken(damage, program, killed):
    *_, before, newest = states(killed)
    damage(newest)
    done = program.run(*program.training(GREEDY, killed))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": damaged") == 1
    assert f"{newest}: damaged" in done.stderr
    assert first_epoch(done) > epoch_of(before)
    same(killed, program.undisturbed(GREEDY))


def test_without_a_whole_state_training_starts_afresh(program, killed):
    for state in states(killed):
        flipped(state)
    done = program.run(*program.training(GREEDY, killed))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(": damaged") >= 2
    assert first_epoch(done) == 1
    same(killed, program.undisturbed(GREEDY))


def test_a_state_that_was_never_one_is_named_though_its_hash_is_right(program, tmp_path):
    target, out = CELLS["learned"], tmp_path / "seed0.json"
    headers = (b"[]", b"{}", b'{"__metadata__": {"state": "[]"}}', b'{"__metadata__": {"state": "{}"}}', b"[" * 10**5)
    contents = [b"", b"junk", b"\xff" * 9, *(len(header).to_bytes(8, "little") + header for header in headers)]
    out.with_suffix("").mkdir()
    for epoch, content in enumerate(contents):
        name = f"resume-{epoch:06}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        (out.with_suffix("") / name).write_bytes(content)
    done = program.run(*program.training(target, out))
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(target))


def test_the_states_of_another_cell_are_neither_taken_nor_in_the_way(program, tmp_path):
    """As after a change of recipe or code in mid-training: epochs of old are newer than all that is to come."""
    old, new, out = cell(k=8, seed=1), GREEDY, tmp_path / "seed0.json"
    process = training_begun(program, old, out, epoch=12)
    process.kill()
    ended(process)
    process = training_begun(program, new, out, epoch=3)
    process.kill()
    ended(process)
    done = program.run(*program.training(new, out))
    assert done.returncode == 0, done.stderr
    assert first_epoch(done) > 3
    same(out, program.undisturbed(new))


def test_the_state_of_a_finetuned_cell_is_not_taken_when_its_parent_has_changed(program, tmp_path):
    """As after a change of the code that trained the parent, which is not the code that trains the child."""
    child, parent, out = CELLS["finetuned"], tmp_path / "parent.json", tmp_path / "seed0.json"
    process = training_begun(program, child, out)
    process.kill()
    ended(process)
    first, other = program.undisturbed(GREEDY), program.undisturbed(cell(k=8, seed=1))
    shutil.copytree(other.with_suffix(""), parent.with_suffix(""))
    record = records.read(other).model_copy(update={"cell": records.read(first).cell})
    records.write(record, parent)
    for place in (out, tmp_path / "afresh.json"):
        done = program.run(*program.training(child, place, parent=parent))
        assert done.returncode == 0, done.stderr
    same(out, tmp_path / "afresh.json")


def test_training_on_damaged_data_is_refused_by_name(program, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(program.folder / "data", data)
    flipped(data / "digits.safetensors")
    done = program.run(*program.training(GREEDY, tmp_path / "seed0.json", data_dir=data))
    refused(done, str(data / "digits.safetensors"), "slotbench fetch digits")
    assert program.run("fetch", "digits", "--data-dir", data).returncode == 0
    assert (data / "digits.safetensors").read_bytes() == (program.folder / "data" / "digits.safetensors").read_bytes()


def test_finetuning_from_damaged_weights_or_a_damaged_record_is_refused_by_name(program, tmp_path):
    source, parent = program.undisturbed(GREEDY), tmp_path / "parent.json"
    shutil.copy(source, parent)
    shutil.copytree(source.with_suffix(""), parent.with_suffix(""))
    weights = records.weights_path(parent, "e2")
    flipped(weights)
    words = program.training(CELLS["finetuned"], tmp_path / "seed0.json", parent=parent)
    refused(program.run(*words), str(weights))
    shutil.copy(records.weights_path(source, "e2"), weights)
    flipped(parent)
    refused(program.run(*words), str(parent), "train its cell again")


def test_collect_names_what_is_damaged_foreign_or_missing_and_counts_only_the_rest(program):
    run = Run(
        run="collected",
        recipe="paper",
        grids=[{"dataset": "mnist", "architecture": "lenet", "selection": "greedy", "k": [2, 8], "seed": [0, 1, 2]}],
    )
    results = program.folder / "results"
    synthetic.train(results, run)
    done, broken, foreign, missing, failed, diverged = run.cells()
    truncated(synthetic.path(results, run, broken))
    shutil.copy(synthetic.path(results, run, done), synthetic.path(results, run, foreign))
    synthetic.path(results, run, missing).unlink()
    synthetic.path(results, run, failed).unlink()
    note = synthetic.path(results, run, failed)
    note.with_name(f"{note.name}.failed").write_text("the disk was full\n")
    records.write(synthetic.record(diverged, status="diverged"), synthetic.path(results, run, diverged))
    outside = Cell("paper", "mnist", "lenet", "learned", 1, "none", 0)
    synthetic.train(results, synthetic.SyntheticRun("collected", "paper", (outside,)))

    (program.folder / "collected.yaml").write_text(
        "run: collected\nrecipe: paper\ngrids:\n"
        "  - {dataset: mnist, architecture: lenet, selection: greedy, k: [2, 8], seed: [0, 1, 2]}\n"
    )
    told = program.run("collect", "collected.yaml")
    assert told.returncode == 0, told.stderr
    for count in ("3 failed", "1 done", "1 diverged", "1 missing"):
        assert count in told.stdout
    frame = table.read(results / "collected").cells.set_index(["k", "seed"])
    row = {target: frame.loc[(target.k, target.seed)] for target in run.cells()}
    assert "not a record" in row[broken]["problem"]
    assert "the record of another cell" in row[foreign]["problem"]
    assert row[failed]["problem"] == "the disk was full"
    assert (frame["test_accuracy"].notna() == frame["status"].isin(["done", "diverged"])).all()
    assert table.read(results / "collected").outside == (f"collected/cells/{outside.path}",)
    for absent in (missing, outside):
        assert str(absent) in told.stdout + told.stderr, "absent and foreign cells are named"


CELL = Cell("paper", "mnist", "lenet", "greedy", 8, "none", 0)
EXTREMES = [0, -1, 2**63, 10**19, 10**30, 1.5, 1e308, 5e-324, True, None, "", "a\nb\0", [], [None], {}]
SYNTHETIC = json.loads(synthetic.record(CELL).model_dump_json())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_record_is_collected_or_its_row_says_in_one_sentence_why_not(tmp_path, data):
    """Whatever still is a record gets its checksum anew: the table must stand all that the schema lets through."""
    run = synthetic.SyntheticRun("mutated", "paper", (CELL,))
    path = synthetic.path(tmp_path, run, CELL)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = mutated(SYNTHETIC, data.draw)
    if data.draw(st.booleans()):
        content = copy.deepcopy(SYNTHETIC)
        part = content[data.draw(st.sampled_from(["cell", "results", "costs", "provenance"]))]
        part[data.draw(st.sampled_from(sorted(part)))] = data.draw(st.sampled_from(EXTREMES))
    try:
        records.write(records.Record.model_validate(content), path)
    except ValidationError:
        path.write_text(json.dumps(content))
    table.write(table.collect(run, tmp_path), tmp_path / "mutated")
    (row,) = table.read(tmp_path / "mutated").cells.to_dict("records")
    if row["status"] == "failed":
        assert str(path) in row["problem"]
        assert "\n" not in row["problem"]
    else:
        assert row["status"] in ("done", "diverged")
