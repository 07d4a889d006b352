"""Whole cells on a GPU, on made-up images: their bits twice, with and without a graph, and after an interruption."""

import functools

import pytest
import torch

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.training import checkpoint, cuda_graphs
from slotbench.training.device import prepare
from slotbench.training.session import Session

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")

EPOCHS = 3
CELLS = [
    ("lenet", "float32", "greedy", 8),
    ("lenet", "float32", "probabilistic", 8),
    ("conv2", "float32", "greedy", 8),
    ("conv6", "float32", "greedy", 8),
    ("conv6", "tf32", "greedy", 8),
    ("conv6", "bf16", "greedy", 8),
    ("conv6", "bf16", "learned", 1),
    ("vgg19", "bf16", "greedy", 2),
]
each_cell = pytest.mark.parametrize("what", CELLS, ids=lambda what: "-".join(map(str, what)))


@functools.cache
def images_of(architecture: str) -> batches.Data:
    """Images that can be told apart: each class has a pattern of its own under noise."""
    generator = torch.Generator().manual_seed(0)
    shape = ARCHITECTURES[architecture].input_shape
    patterns = torch.randint(0, 160, (10, *shape), generator=generator, dtype=torch.uint8)

    def split(size: int) -> batches.Split:
        labels = torch.randint(10, (size,), generator=generator)
        noise = torch.randint(0, 96, (size, *shape), generator=generator, dtype=torch.uint8)
        return batches.Split((patterns[labels] + noise).cuda(), labels.cuda())

    return batches.Data(split(5 * 128 + 40), split(200), split(200), {})


def session_of(what: tuple[str, str, str, int]) -> Session:
    architecture, precision, selection, k = what
    cell = Cell(
        "authors-code", "mnist" if architecture == "lenet" else "cifar10", architecture, selection, k, "none", 0
    ).checked()
    recipe = recipes.of(cell).model_copy(update={"precision": precision})
    return Session(cell, recipe, images_of(architecture), prepare(1, precision))


def trained(session: Session, epochs: int = EPOCHS) -> Session:
    while session.epoch < epochs:
        session.train_epoch()
        session.evaluate()
    return session


def bits(session: Session) -> dict[str, torch.Tensor]:
    return checkpoint.state_of(session, {}, {}, 0.0).tensors


def assert_same(session: Session, other: Session) -> None:
    assert session.curves == other.curves
    ours, theirs = bits(session), bits(other)
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


@each_cell
def test_a_cell_twice_gives_the_same_bits(what):
    first = trained(session_of(what))
    assert len({loss for loss in first.curves["train_loss"] if loss is not None}) == EPOCHS
    assert_same(first, trained(session_of(what)))


@each_cell
def test_a_cell_that_goes_on_from_its_state_ends_at_the_same_bits(what, tmp_path):
    first = trained(session_of(what), 1)
    checkpoint.write(checkpoint.state_of(first, {}, {}, 0.0), tmp_path)
    (state,) = checkpoint.read(tmp_path)
    second = session_of(what)
    checkpoint.take_up(second, state)
    assert_same(trained(session_of(what)), trained(second))


@each_cell
def test_a_graph_gives_the_bits_of_passes_without_one(what, monkeypatch):
    graphed = trained(session_of(what))
    assert isinstance(graphed.passes, cuda_graphs.OneGraph)
    monkeypatch.setattr(cuda_graphs, "passes", lambda loss, *_: loss.passes)
    assert_same(graphed, trained(session_of(what)))
