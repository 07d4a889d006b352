"""Several processes that train the cells of one run share them."""

import threading

from slotbench.cells import Cell
from slotbench.results import records
from slotbench.training import checkpoint
from slotbench.training.train import unheld
from tests.support.project import as_of_today

PARENT, CHILD, OTHER = (
    Cell("quick", "digits", "lenet", "greedy", k, finetune, 0) for k, finetune in ((2, "none"), (2, "e4"), (8, "none"))
)


def test_a_cell_that_another_process_trains_and_what_starts_from_it_come_last(tmp_path):
    with checkpoint.lock((tmp_path / PARENT.path).with_suffix("")):
        cells = unheld([PARENT, CHILD, OTHER], tmp_path)
        assert next(cells) == (OTHER, tmp_path / OTHER.path)
    assert [cell for cell, _ in cells] == [PARENT, CHILD]


def test_what_another_process_has_trained_since_is_not_trained_again(tmp_path):
    cells = unheld([OTHER, PARENT], tmp_path)
    assert next(cells)[0] == OTHER
    (tmp_path / PARENT.path).parent.mkdir(parents=True)
    records.write(as_of_today(PARENT), tmp_path / PARENT.path)
    assert list(cells) == []


def test_where_only_what_starts_from_a_held_cell_is_left_it_waits_for_that_one(tmp_path):
    with checkpoint.lock((tmp_path / PARENT.path).with_suffix("")):
        trained = []
        waiting = threading.Thread(target=lambda: trained.append(next(unheld([CHILD], tmp_path))))
        waiting.start()
        waiting.join(0.2)
        assert not trained
    waiting.join(60)
    assert trained == [(CHILD, tmp_path / CHILD.path)]
