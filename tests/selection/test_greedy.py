"""Promise 1: in float64, greedy selection selects what SGD on K stored scores selects, step for step."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from slotbench.selection import greedy, kernel
from slotbench.selection.greedy import Greedy, climb_densely
from slotbench.selection.options import Options
from tests.oracle import Textbook

SCHEDULES = {
    "constant": lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=20, T_mult=2),
    "step": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1),
}


@pytest.fixture(params=["compiled", "without a compiler", "as on an accelerator"], autouse=True)
def every_path(request, monkeypatch):
    """Every statement here holds with the compiled step, without, and for the climb of an accelerator."""
    if request.param == "compiled":
        if kernel.library() is None:
            pytest.skip("no C compiler on this machine")
        return
    monkeypatch.setattr(kernel, "library", lambda: None)
    if request.param == "as on an accelerator":
        monkeypatch.setattr(
            greedy, "climb", lambda weight, b, a, climber, everywhere=False: climb_densely(weight, b, abs(a), climber)
        )


def network(kind: str) -> nn.Sequential:
    torch.manual_seed(0)
    if kind == "linear":
        layers = [nn.Flatten(), nn.Linear(64, 20, bias=False), nn.ReLU(), nn.Linear(20, 10, bias=False)]
    else:
        layers = [
            nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10, bias=False),
        ]  # fmt: skip
    model = nn.Sequential(*layers).double()
    if kind == "flat":  # all layers in one buffer, as fused optimizers and data-parallel training keep them
        weights = list(model.parameters())
        buffer = nn.utils.parameters_to_vector(weights).detach()
        for weight, part in zip(weights, buffer.split([weight.numel() for weight in weights]), strict=True):
            weight.data = part.view(weight.shape)
    return model.to(memory_format=torch.channels_last) if kind == "channels-last" else model


def compare(
    kind: str,
    k: int,
    steps: int,
    schedule: str = "constant",
    rule: type[Greedy] = Greedy,
    seed: int | None = None,
    **sgd,
) -> Greedy:
    """Trains two copies of a network side by side and asserts that nothing that is selected ever differs."""
    ours = network(kind)
    theirs = copy.deepcopy(ours)
    slots = rule(ours.parameters(), k=k, seed=k if seed is None else seed, **sgd)
    textbook = Textbook(list(theirs.parameters()), list(slots.options.values()), **sgd)
    schedulers = [SCHEDULES[schedule](optimizer) for optimizer in (slots, textbook.optimizer)]
    generator = torch.Generator().manual_seed(7)
    moved = 0
    for step in range(steps):
        images = torch.rand(16, 1, 8, 8, generator=generator, dtype=torch.float64)
        images[:, :, 0] = 0  # as MNIST's border: connections whose gradient is always 0
        labels = torch.randint(10, (16,), generator=generator)
        before = [weight.detach().clone() for weight in ours.parameters()]
        for model, optimizer in ((ours, slots), (theirs, textbook)):
            model.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        for weight, expected, old in zip(ours.parameters(), theirs.parameters(), before, strict=True):
            assert torch.equal(weight, expected), f"step {step}: {(weight != expected).sum()} selections differ"
            moved += int((weight != old).sum())
        for scheduler in schedulers:
            scheduler.step()
    assert moved or k == 1, "nothing was ever selected anew: the comparison shows nothing"
    return slots


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
    assert 0 < slots.param_groups[0]["a"] < 1e-8


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


class Given(Options):
    """Options and scores that a test chooses, where drawn ones would not tie."""

    def blocks(self):
        yield 0, *self.rows


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_ties_go_to_the_lowest_option_as_in_argmax(data):
    """Small whole numbers tie everywhere: at the start, at corners, between equal options."""
    n, k = 40, data.draw(st.integers(1, 6))
    numbers = st.lists(st.integers(-2, 2), min_size=n * k, max_size=n * k)
    options, scores = (torch.tensor(data.draw(numbers)).view(n, k).double() for _ in range(2))
    weight = nn.Parameter(torch.zeros(n, 1, dtype=torch.float64))
    drawn = Given(n, k, 0, 0, 1.0, 1.0)
    object.__setattr__(drawn, "rows", (options.float().numpy(), scores.float().numpy()))
    slots = Greedy([weight], k=k, seed=0, lr=1.0)
    slots.options[weight] = drawn
    slots._climbers.clear()
    slots._select_afresh()
    for b in (0, *data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=8))):
        weight.grad = slots.state[weight]["b"] - b  # SGD of lr 1 then lands on b
        slots.step()
        expected = options.gather(1, (scores + b * options).argmax(1, keepdim=True))
        assert torch.equal(weight, expected)


def test_the_level_follows_from_a_and_b_alone_and_not_from_the_way_there():
    """So a cell that goes on from its state selects what it would have selected."""
    weights = [nn.Parameter(torch.empty(60, 50)) for _ in range(2)]
    one, other = (Greedy([weight], k=64, seed=0, lr=0.5, momentum=0.9, weight_decay=1e-3) for weight in weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        weights[0].grad = torch.randn(60, 50, generator=generator)
        one.step()
        other.load_state_dict(copy.deepcopy(one.state_dict()))
        assert torch.equal(*weights)
