"""What is left to train, and in which order, for whoever asks."""

import json

import pytest

from slotbench import config, recipes
from slotbench.cells import Cell
from slotbench.results import records
from slotbench.results.fingerprint import fingerprint
from slotbench.results.plan import Plan
from tests.support.synthetic import record

LENET = {"dataset": "digits", "architecture": "lenet"}
RUN = config.Run.model_validate(
    {
        "run": "made-up",
        "recipe": "quick",
        "grids": [
            LENET | {"selection": ["greedy", "learned"], "k": 2, "seed": [0, 1]},
            {
                "dataset": "digits",
                "architecture": "lenet",
                "selection": "greedy",
                "k": 2,
                "finetune": "e4",
                "seed": [0, 1],
            },
        ],
    }
)
GREEDY = Cell("quick", "digits", "lenet", "greedy", 2, "none", 0)
FINETUNED = Cell("quick", "digits", "lenet", "greedy", 2, "e4", 0)


@pytest.fixture
def results(tmp_path):
    """A run whose cells are all done, with their checkpoints."""
    plan = Plan(RUN, tmp_path)
    for cell in RUN.cells():
        write(plan, cell)
    assert Plan(RUN, tmp_path).due() == []
    return tmp_path


def write(plan, cell, **changed):
    made_up = record(cell)
    provenance = {"fingerprint": fingerprint(cell), "started_from": "0" * 64 if cell.parent else None} | changed
    recipe = recipes.of(cell)
    made_up = made_up.model_copy(
        update={
            "recipe": json.loads(recipe.model_dump_json()),
            "provenance": made_up.provenance.model_copy(update=provenance),
            "weights": {f"e{epoch}": "0" * 64 for epoch in recipe.checkpoints},
        }
    )
    records.write(made_up, plan.record(cell))
    for name in made_up.weights:
        path = records.weights_path(plan.record(cell), name)
        path.parent.mkdir(exist_ok=True)
        path.touch()


def test_without_records_seed_0_of_everything_comes_first_and_parents_before_children(tmp_path):
    due = Plan(RUN, tmp_path).due()
    assert set(due) == set(RUN.cells())
    assert [cell.seed for cell in due] == sorted(cell.seed for cell in due)
    assert all(due.index(cell.parent) < due.index(cell) for cell in due if cell.parent)


@pytest.mark.parametrize("missing", [GREEDY, FINETUNED])
def test_a_record_that_is_gone_is_due_and_nothing_else(results, missing):
    plan = Plan(RUN, results)
    plan.record(missing).unlink()
    assert plan.due() == [missing]
    assert plan.reason(missing) == "no record yet"


def test_a_parent_whose_checkpoint_is_gone_is_trained_before_a_child_that_is_due(results):
    plan = Plan(RUN, results)
    plan.record(FINETUNED).unlink()
    records.weights_path(plan.record(GREEDY), "e4").unlink()
    assert plan.due() == [GREEDY, FINETUNED]
    assert plan.reason(GREEDY) == f"checkpoint e4 is not there, from which {FINETUNED} starts"


def test_a_checkpoint_that_nothing_needs_is_not_made_again(results):
    for path in results.rglob("*.safetensors"):
        path.unlink()
    assert Plan(RUN, results).due() == []


def test_children_of_a_parent_that_code_concerns_are_due_with_it(results):
    write(Plan(RUN, results), GREEDY, fingerprint={"slotbench.selection.greedy": "0"})
    plan = Plan(RUN, results)
    assert plan.due() == [GREEDY, FINETUNED]
    assert "selection/greedy" in plan.reason(GREEDY)
    assert plan.reason(FINETUNED) == f"{GREEDY} is trained again"
