"""Cells trained again, by real training on digits: bits that agree, that round otherwise, and that differ."""

import json
import shutil
import subprocess
import sys

import psutil
import pytest

from slotbench import cli, config, recipes
from slotbench.cells import Cell
from slotbench.data.sources import fetch
from slotbench.errors import InputError
from slotbench.results import provenance, records, vouching
from slotbench.results.plan import Plan
from slotbench.results.vouching import Trial
from slotbench.training import replay
from slotbench.training.replay import Trained, difference, retrain
from slotbench.training.train import train_cell
from tests.support.project import ROOT

RUN = config.Run.model_validate(
    {
        "run": "made-up",
        "recipe": "quick",
        "grids": [
            {"dataset": "digits", "architecture": "lenet", "selection": ["greedy", "learned"], "k": 2, "seed": 0},
            {"dataset": "digits", "architecture": "lenet", "selection": "greedy", "k": 2, "finetune": "e4", "seed": 0},
        ],
    }
)
GREEDY = Cell("quick", "digits", "lenet", "greedy", 2, "none", 0)
FINETUNED = Cell("quick", "digits", "lenet", "greedy", 2, "e4", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    fetch("digits", folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """A run, trained; its weights are gone, as in a clone."""
    results = tmp_path_factory.mktemp("results")
    plan = Plan(RUN, results)
    for cell in plan.due():
        parent = None if cell.parent is None else plan.record(cell.parent)
        train_cell(cell, plan.record(cell), data, parent, lambda *_: None)
    for path in results.rglob("*.safetensors"):
        path.unlink()
    return results


@pytest.fixture
def plan(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "results")
    return Plan(RUN, tmp_path / "results")


def rewritten(path, change):
    """The record at `path` with its results changed, as if another code had made it."""
    record = records.read(path)
    document = record.model_dump()
    change(document["results"])
    records.write(records.Record(**document), path)


@pytest.mark.parametrize(
    "cell", [GREEDY, FINETUNED, Cell("quick", "digits", "lenet", "learned", 1, "none", 0)], ids=str
)
@pytest.mark.parametrize("epochs", [1, None])
def test_a_cell_comes_out_again_to_the_bit_though_its_weights_are_gone(plan, data, cell, epochs):
    result = replay.replay(cell, plan.record(cell), epochs, data)
    assert result.verdict == "equal", result.words
    whole = recipes.of(cell).epochs - cell.start_epoch
    assert result.words == f"equal to the bit over {epochs or whole} epochs"


def test_a_record_from_a_machine_that_rounds_otherwise_is_equal_within_a_measured_bound(plan, data):
    def nudge(results):
        results["curves"]["train_loss"][1] *= 1 + 1e-9

    rewritten(plan.record(GREEDY), nudge)
    result = replay.replay(GREEDY, plan.record(GREEDY), 2, data)
    assert result.verdict == "rounding", result.words
    assert "ways of rounding on this machine lead" in result.words


def test_a_record_that_no_rounding_explains_is_different_and_says_where(plan, data):
    def other(results):
        results["curves"]["train_loss"][1] *= 1.5

    rewritten(plan.record(GREEDY), other)
    result = replay.replay(GREEDY, plan.record(GREEDY), 2, data)
    assert result.verdict == "different"
    assert "train loss of epoch 2" in result.words


def test_of_a_run_the_cells_that_a_gpu_trained_are_left_out_without_one(plan, data, tmp_path, monkeypatch, capsys):
    record = records.read(plan.record(GREEDY))
    numerics = record.provenance.numerics | {"capability": "9.0"}
    origin = record.provenance.model_copy(update={"numerics": numerics})
    records.write(record.model_copy(update={"provenance": origin}), plan.record(GREEDY))
    grids = "[{dataset: digits, architecture: lenet, selection: [greedy, learned], k: 2, seed: 0}]"
    (tmp_path / "own.yaml").write_text(f"run: made-up\nrecipe: quick\ngrids: {grids}\n")
    monkeypatch.chdir(tmp_path)
    cli.replay(["own.yaml"], epochs=1, full=False, claim=None, data_dir=data)
    told, learned = capsys.readouterr().out.splitlines()
    assert told.startswith("left out: 1 cells of another kind of machine")
    assert learned.startswith("quick/digits/lenet/learned/k1/none/seed0: equal")


@pytest.mark.parametrize("quantity", ["train_loss", "validation_accuracy", "changed"])
def test_the_first_difference_is_found_in_every_curve(plan, quantity):
    there = Trained.of(records.read(plan.record(GREEDY)))
    assert difference(there, there) is None
    curves = {name: list(values) for name, values in there.curves.items()}
    curves[quantity][2] = -1.0
    differs = difference(there, there._replace(curves=curves))
    assert (differs.epoch, differs.quantity, differs.there) == (3, quantity.replace("_", " "), -1.0)


def test_a_changed_hash_of_weights_is_found(plan):
    there = Trained.of(records.read(plan.record(GREEDY)))
    assert "weights 'last'" in difference(there, there._replace(weights=there.weights | {"last": "0" * 64})).quantity


def test_vouching_for_code_that_gives_the_same_bits_attests_it(plan, data, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: ("9c0ffee" + 33 * "0", False))
    for cell in RUN.cells():
        made = records.read(plan.record(cell))
        moved = made.provenance.model_copy(update={"fingerprint": {"slotbench.earlier": "0"}})
        records.write(made.model_copy(update={"provenance": moved}), plan.record(cell))
    assert set(Plan(RUN, plan.results).due()) == set(RUN.cells())
    attestation = replay.vouch(plan, data, lambda _: None)
    vouching.write(plan.results / RUN.run, attestation)
    assert Plan(RUN, plan.results).due() == []
    assert {trial.full for trial in attestation.replayed} == {True, False}
    assert {trial.against for trial in attestation.replayed} == {"record"}
    assert {Cell.from_path(f"{trial.cell}.json") for trial in attestation.replayed} == set(RUN.cells())


def test_vouching_refuses_a_step_that_rounds_in_another_way(plan, data, monkeypatch):
    """One bit's worth: a learning rate that is one float32 away."""
    recipe = recipes.of(GREEDY)
    off = recipe.model_copy(update={"learning_rate": recipe.learning_rate * (1 + 2**-24)})
    monkeypatch.setattr(recipes, "of", lambda cell: off if cell == GREEDY else recipe)
    monkeypatch.setattr(replay, "by_commit", lambda *_: Trained.of(records.read(plan.record(GREEDY))))
    with pytest.raises(InputError, match=f"{GREEDY}: train loss of epoch .*nothing is vouched for"):
        replay.try_again(Trial(GREEDY, 3, False), plan.record(GREEDY), data)
    assert not (plan.results / RUN.run / vouching.FILE).exists()


def test_where_a_machine_rounds_otherwise_the_records_own_code_is_run_beside(plan, data, tmp_path, monkeypatch):
    """In a checkout of its own, whose last commit is the code of today."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("slotbench", "config"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(checkout), *command], check=True)
    commit = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    monkeypatch.setattr(provenance, "CHECKOUT", checkout)
    for cell in (GREEDY, FINETUNED):
        path = plan.record(cell)
        made = records.read(path)
        elsewhere = made.provenance.model_copy(update={"commit": commit})
        records.write(made.model_copy(update={"provenance": elsewhere}), path)
        rewritten(path, lambda results: results["curves"]["train_loss"].__setitem__(0, 2.5))
        replayed = replay.try_again(Trial(cell, 2, False), path, data)
        assert replayed.against == commit
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2
    monkeypatch.setattr(provenance, "CHECKOUT", tmp_path)
    with pytest.raises(InputError, match="vouch in a full clone"):
        replay.by_commit("0" * 40, GREEDY, 2, data)


def test_without_a_clean_commit_nothing_is_vouched_for(plan, data, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: ("9c0ffee", True))
    with pytest.raises(InputError, match="commit first"):
        replay.vouch(plan, data, lambda _: None)


def test_a_shortened_lottery_ticket_is_pruned_and_other_recipes_just_end():
    ticket = Cell("authors-code", "mnist", "lenet", "lottery-ticket", 1, "none", 0)
    recipe = recipes.of(ticket)
    short = replay.shortened(ticket, recipe, 2)
    assert (short.epochs, short.prune_after) == (2, (1,))  # type: ignore[attr-defined]
    assert replay.shortened(ticket, recipe, recipe.epochs) is recipe
    assert replay.shortened(FINETUNED, recipes.of(FINETUNED), 1).epochs == FINETUNED.start_epoch + 1
    assert type(recipe).model_validate(json.loads(short.model_dump_json())) == short


def test_another_order_of_sums_is_another_rounding(data):
    """On this machine: otherwise `replay` could measure no bound."""
    recipe = recipes.of(GREEDY)
    (plain, _), (shifted, _) = (retrain(GREEDY, recipe, 2, data, shift=shift) for shift in (0, 1))
    loss, accuracy = replay.distance(plain, shifted)
    assert plain.curves != shifted.curves
    assert loss < 0.05
    assert accuracy < 0.05


def test_the_processes_of_a_killed_vouching_end_with_it():
    program = (
        "import os, time\n"
        "from slotbench.training.replay import pool\n"
        "if __name__ == '__main__':\n"
        "    with pool([1]) as processes:\n"
        "        print(processes.submit(os.getpid).result(), flush=True)\n"
        "        processes.submit(time.sleep, 600).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    worker.wait(timeout=60)


def test_a_process_that_is_killed_is_told_in_a_sentence():
    program = (
        "import os\n"
        "from slotbench.errors import InputError\n"
        "from slotbench.training.replay import pool\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        with pool([1]) as processes:\n"
        "            processes.submit(os.kill, processes.submit(os.getpid).result(), 9).result()\n"
        "    except InputError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a process that trained was killed from outside"), done.stderr
