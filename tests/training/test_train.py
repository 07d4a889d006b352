"""Several processes that train the cells of one run share them."""

import os
import subprocess
import sys
import threading

from slotbench.cells import Cell
from slotbench.data import sources
from slotbench.results import records
from slotbench.training import checkpoint
from slotbench.training.train import unheld
from tests.support.project import ROOT, as_of_today

PARENT, CHILD, OTHER = (
    Cell("quick", "digits", "lenet", "greedy", k, finetune, 0) for k, finetune in ((2, "none"), (2, "e4"), (8, "none"))
)


def test_a_cell_that_another_process_trains_and_what_starts_from_it_come_last(tmp_path):
    with checkpoint.lock((tmp_path / PARENT.path).with_suffix("")):
        cells = unheld([PARENT, CHILD, OTHER], tmp_path)
        assert next(cells) == (OTHER, tmp_path / OTHER.path)
    assert [cell for cell, _ in cells] == [PARENT, CHILD]


def test_what_is_chosen_is_held_before_its_training_begins(tmp_path):
    first, second = unheld([OTHER, PARENT], tmp_path), unheld([OTHER, PARENT], tmp_path)
    assert [next(first)[0], next(second)[0]] == [OTHER, PARENT]
    with checkpoint.lock((tmp_path / OTHER.path).with_suffix("")) as waited:
        assert not waited, "this process has it already"


def test_processes_that_start_at_once_train_another_cell_each(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "run: shared\nrecipe: quick\n"
        "grids:\n  - {dataset: digits, architecture: lenet, selection: greedy, k: 2, seed: [0, 1, 2, 3]}\n"
    )
    sources.fetch("digits", tmp_path / "data")
    command = [sys.executable, "-m", "slotbench", "run", "config.yaml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    first, second = ([line.partition(":")[0] for line in out.splitlines()] for out, _ in told)
    assert first[0] != second[0]
    assert len({*first, *second}) == 4
    assert len(first) + len(second) <= 5, "the last cell of all is waited for, if the other process trains it"
    assert len(list((tmp_path / "results").rglob("seed*.json"))) == 4


def test_what_another_process_has_trained_since_is_not_trained_again(tmp_path):
    cells = unheld([OTHER, PARENT], tmp_path)
    assert next(cells)[0] == OTHER
    (tmp_path / PARENT.path).parent.mkdir(parents=True)
    records.write(as_of_today(PARENT), tmp_path / PARENT.path)
    assert list(cells) == []


def test_a_parent_whose_checkpoint_is_gone_is_trained_again_although_its_record_stands(tmp_path):
    (tmp_path / PARENT.path).parent.mkdir(parents=True)
    records.write(as_of_today(PARENT), tmp_path / PARENT.path)
    assert [cell for cell, _ in unheld([PARENT, CHILD], tmp_path)] == [PARENT, CHILD]


def test_where_only_what_starts_from_a_held_cell_is_left_it_waits_for_that_one(tmp_path):
    with checkpoint.lock((tmp_path / PARENT.path).with_suffix("")):
        trained = []
        waiting = threading.Thread(target=lambda: trained.append(next(unheld([CHILD], tmp_path))))
        waiting.start()
        waiting.join(0.2)
        assert not trained
    waiting.join(60)
    assert trained == [(CHILD, tmp_path / CHILD.path)]
