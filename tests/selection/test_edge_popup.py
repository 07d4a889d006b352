"""In float64, edge-popup uses what its definition, left to autograd and torch's SGD, uses at every step."""

import copy
import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.selection.edge_popup import EdgePopup, largest
from slotbench.training import session
from tests.support.subnetwork import side_by_side, straight_through


def kaiming_deviation(weight: Tensor) -> float:
    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(weight)
    return (2 / fan_in) ** 0.5


def top(share: float, score: Tensor, _: Tensor) -> Tensor:
    magnitude = score.abs()
    order = magnitude.detach().flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros_like(score).flatten()
    mask[order[: math.ceil(share * len(order))]] = 1
    return straight_through(mask.view(score.shape), magnitude)


@pytest.mark.parametrize("kind", ["linear", "convolutional", "channels-last"])
@pytest.mark.parametrize(
    ("weight_decay", "nesterov", "kept"), [(0.0, False, 0.5), (1e-3, False, 0.5), (1e-4, True, 0.5), (0.0, False, 0.3)]
)
def test_uses_what_its_definition_uses(kind, weight_decay, nesterov, kept):
    settings = {"lr": 0.5, "momentum": 0.9, "weight_decay": weight_decay, "nesterov": nesterov}
    first, moved, turned = [], False, False
    for layers in side_by_side(
        partial(EdgePopup, kept=kept), kind, kaiming_deviation, partial(top, kept), 60, **settings
    ):
        first = first or [(weight.detach().clone(), score.clone()) for weight, _, score, _ in layers]
        for (weight, expected, score, expected_score), (old, old_score) in zip(layers, first, strict=True):
            assert torch.equal(weight, expected)
            assert torch.equal(score, expected_score)
            assert weight.count_nonzero() == math.ceil(kept * weight.numel())
            moved |= not torch.equal(weight, old)
            turned |= bool((score.sign() != old_score.sign()).any())
    assert moved, "the same weights were used throughout: the comparison shows nothing"
    assert turned, "no score changed its sign: the comparison does not show that its magnitude counts"


def test_initial_scores_are_those_of_kaiming_uniform():
    """Uniform in ± 1 / √fan_in: torch's own initialisation of a layer, which the authors use for scores."""
    weight = nn.Parameter(torch.empty(8, 64, 3, 3))
    scores = EdgePopup([weight], seed=0, lr=0.1).state[weight]["b"]
    bound = (1 / 576) ** 0.5
    assert stats.kstest(scores.flatten().numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4
    assert scores.abs().max() <= bound


@given(st.data())
def test_of_equal_scores_the_first_ones_count(data):
    values = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=30)), dtype=torch.float32)
    count = data.draw(st.integers(1, len(values)))
    expected = sorted(range(len(values)), key=lambda place: (-values[place], place))[:count]
    assert largest(values, count).nonzero().flatten().tolist() == sorted(expected)


def test_goes_on_from_a_state():
    weights = [nn.Parameter(torch.empty(9, 7)) for _ in range(2)]
    first, other = (EdgePopup([weight], seed=0, lr=0.5, momentum=0.9) for weight in weights)
    gradients = torch.randn(20, 9, 7, generator=torch.Generator().manual_seed(0))
    for gradient in gradients[:10]:
        weights[0].grad = gradient
        first.step()
    assert not torch.equal(*weights)
    other.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(*weights)
    for gradient in gradients[10:]:
        weights[0].grad = weights[1].grad = gradient
        first.step()
        other.step()
        assert torch.equal(*weights)


def test_has_no_options():
    with pytest.raises(ValueError, match="k = 2"):
        EdgePopup([nn.Parameter(torch.empty(9, 7))], k=2, seed=0, lr=0.1)


@pytest.mark.parametrize("architecture", ["lenet", "conv2", "conv6", "vgg19"])
@pytest.mark.parametrize("name", ["paper", "authors-code"])
def test_published_recipes_let_its_learning_rate_fall_along_one_cosine(name, architecture):
    dataset = "mnist" if architecture == "lenet" else "cifar10"
    recipe = recipes.of(Cell(name, dataset, architecture, "edge-popup", 1, "none", 0))
    optimizer = EdgePopup([nn.Parameter(torch.empty(9, 7))], seed=0, lr=recipe.learning_rate)
    schedule = session.schedule(optimizer, recipe.schedule)
    rates = []
    for _ in range(recipe.epochs):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 100)) for epoch in range(100)])
