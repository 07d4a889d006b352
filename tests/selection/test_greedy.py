"""In float64, greedy selection selects what SGD on K stored scores selects, step for step."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slotbench.selection.greedy import Greedy
from tests.support.textbook import SCHEDULES, compare, offered

pytestmark = pytest.mark.usefixtures("every_path")


@pytest.mark.parametrize("kind", ["linear", "convolutional", "channels-last", "flat"])
@pytest.mark.parametrize("k", [1, 2, 3, 8, 64])
def test_selects_what_the_textbook_selects(kind, k):
    compare(kind, k, steps=200, lr=0.5, momentum=0.9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-3])
def test_selects_the_same_under_every_schedule(schedule, nesterov, weight_decay):
    compare("linear", 8, 200, schedule, lr=0.5, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay)


def test_selects_the_same_while_a_goes_through_zero():
    slots = compare("linear", 8, steps=300, lr=0.1, momentum=0.9, weight_decay=0.5)
    assert len(slots._climbers) == 2 * len(slots.options), "a never was negative"


def test_selects_the_same_through_a_long_decay():
    slots = compare("linear", 8, steps=800, lr=0.5, momentum=0.0, weight_decay=0.05)
    assert 0 < max(slots.a.values()) < 1e-8


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["linear", "convolutional"]),
    k=st.integers(1, 64),
    lr=st.floats(1e-3, 10),
    momentum=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0.0, 1e-4, 1e-2, 0.3]),
    schedule=st.sampled_from(sorted(SCHEDULES)),
)
def test_selects_the_same_whatever_the_settings(kind, k, lr, momentum, nesterov, weight_decay, schedule):
    ours = {"lr": lr, "momentum": momentum, "nesterov": nesterov and momentum > 0, "weight_decay": weight_decay}
    if lr * weight_decay > 0.2:  # SGD itself diverges
        ours["weight_decay"] = 0.2 / lr
    try:
        compare(kind, k, 60, schedule, **ours)
    except AssertionError as error:
        if "shows nothing" not in str(error):  # too small a learning rate for so few steps
            raise


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_ties_go_to_the_lowest_option_as_in_argmax(data):
    """Small whole numbers tie everywhere: at the start, at corners, between equal options."""
    n, k = 40, data.draw(st.integers(1, 6))
    numbers = st.lists(st.integers(-2, 2), min_size=n * k, max_size=n * k)
    options, scores = (torch.tensor(data.draw(numbers)).view(n, k).double() for _ in range(2))
    weight = nn.Parameter(torch.zeros(n, 1, dtype=torch.float64))
    slots = offered(weight, options, scores, lr=1.0)
    for b in (0, *data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=8))):
        weight.grad = slots.state[weight]["b"] - b  # SGD of lr 1 then lands on b
        slots.step()
        expected = options.gather(1, (scores + b * options).argmax(1, keepdim=True))
        assert torch.equal(weight, expected)


def test_the_level_follows_from_a_and_b_alone_and_not_from_the_way_there():
    """So a cell that goes on from its state selects what it would have selected."""
    weights = [nn.Parameter(torch.empty(60, 50)) for _ in range(2)]
    first, other = (Greedy([weight], k=64, seed=0, lr=0.5, momentum=0.9, weight_decay=1e-3) for weight in weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        weights[0].grad = torch.randn(60, 50, generator=generator)
        first.step()
        other.load_state_dict(copy.deepcopy(first.state_dict()))
        assert torch.equal(*weights)
