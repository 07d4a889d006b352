import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.cells import Cell
from slotbench.errors import InputError

CELL = Cell("paper", "mnist", "lenet", "greedy", 8, "none", 0)

cells = st.builds(
    Cell,
    recipe=st.sampled_from(["paper", "authors-code"]),
    dataset=st.sampled_from(["mnist", "digits"]),
    architecture=st.just("lenet"),
    selection=st.sampled_from(["greedy", "probabilistic"]),
    k=st.integers(1, 4096),
    finetune=st.one_of(st.just("none"), st.integers(1, 400).map("e{}".format)),
    seed=st.integers(0, 2**32 - 1),
)


@given(cells)
def test_a_path_names_its_cell_and_no_other(cell):
    assert Cell.from_path(cell.path) == cell
    assert Cell.from_path(f"results/quick/cells/{cell.path}") == cell


@given(cells)
def test_a_finetuned_cell_starts_from_the_same_cell_without_finetuning(cell):
    if cell.finetune == "none":
        assert cell.parent is None
        assert cell.start_epoch == 0
    else:
        assert cell.parent == dataclasses.replace(cell, finetune="none")
        assert f"e{cell.start_epoch}" == cell.finetune


@pytest.mark.parametrize(
    "path",
    [
        "",
        "seed0.json",
        "mnist/lenet/greedy/k8/none/seed0.json",  # no recipe
        "paper/mnist/lenet/greedy/8/none/seed0.json",
        "paper/mnist/lenet/greedy/k08/none/seed0.json",
        "paper/mnist/lenet/greedy/k8/none/seed00.json",
        "paper/mnist/lenet/greedy/k٨/none/seed0.json",
        "paper/mnist/lenet/greedy/k8/none/seed0.csv",
        "paper/mnist/lenet/greedy/k8/none/seed" + "9" * 5000 + ".json",
    ],
)
def test_only_the_exact_path_of_a_cell_is_one(path):
    with pytest.raises(InputError, match="not the path of a cell"):
        Cell.from_path(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "mnst"}, "dataset 'mnst': unknown; did you mean 'mnist'?"),
        ({"architecture": "lenett"}, "architecture 'lenett': unknown; did you mean 'lenet'?"),
        ({"selection": "gredy"}, "selection 'gredy': unknown; did you mean 'greedy'?"),
        ({"k": 0}, "k 0: a connection needs at least one option"),
        ({"selection": "learned"}, "k 8: selection 'learned' has no options; its k is 1"),
        ({"k": 2**32}, "k 4294967296: more than"),
        ({"seed": 2**32}, "seed 4294967296: more than"),
        ({"seed": -1}, "seed -1: a seed is 0 or more"),
        ({"finetune": "100"}, "finetune '100': expected 'none' or an epoch such as 'e100'"),
        ({"finetune": "e0"}, "finetune 'e0': expected 'none' or an epoch such as 'e100'"),
        ({"architecture": "vgg19"}, "architecture 'vgg19': takes images of shape"),
        ({"selection": "learned", "k": 1, "finetune": "e9"}, "finetune 'e9': selection 'learned' cannot be"),
    ],
)
def test_a_cell_that_cannot_be_trained_says_which_axis_is_at_fault(change, sentence):
    with pytest.raises(InputError) as error:
        dataclasses.replace(CELL, **change).checked()
    assert str(error.value).startswith(sentence)
