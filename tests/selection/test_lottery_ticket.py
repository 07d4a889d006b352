"""The lottery ticket is what its definition says: the smallest weights pruned, the rest learned from the start."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from slotbench.selection.learned import Learned
from slotbench.selection.lottery_ticket import LotteryTicket
from tests.support.networks import network

STEPS = 25


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    return [
        (
            torch.rand(16, 1, 8, 8, generator=generator, dtype=torch.float64),
            torch.randint(9, (16,), generator=generator),
        )
        for _ in range(STEPS)
    ]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, masks: list[Tensor] | None = None) -> None:
    """`masks` are the plain version's, which multiplies gradients by them."""
    for images, labels in batches():
        model.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        for parameter, mask in zip(model.parameters(), masks or [], strict=False):
            parameter.grad *= mask
        optimizer.step()


@pytest.mark.parametrize("kind", ["linear", "convolutional", "channels-last"])
@pytest.mark.parametrize("sgd", [{}, {"weight_decay": 1e-2, "nesterov": True}], ids=["plain", "decay"])
def test_trains_what_its_definition_trains(kind, sgd):
    settings = {"lr": 0.1, "momentum": 0.9, **sgd}
    ours, theirs = network(kind, classes=9), network(kind, classes=9)
    ticket = LotteryTicket(ours.parameters(), seed=3, **settings)
    Learned(theirs.parameters(), seed=3, lr=0.1)
    initial = [parameter.detach().clone() for parameter in theirs.parameters()]
    masks = [torch.ones_like(weight) for weight in initial]
    for left in (1.0, 0.4, 0.16):
        train(ours, ticket)
        train(theirs, torch.optim.SGD(theirs.parameters(), **settings), masks)
        for weight, expected, mask in zip(ours.parameters(), theirs.parameters(), masks, strict=True):
            assert torch.equal(weight, expected)
            assert torch.equal(weight != 0, mask == 1)
            assert int(mask.sum()) == pytest.approx(left * mask.numel(), abs=2)
        ticket.prune(0.6)
        with torch.no_grad():
            for parameter, start, mask in zip(theirs.parameters(), initial, masks, strict=True):
                remaining = parameter[mask == 1].abs()
                smallest_kept = remaining.sort().values[round(0.6 * len(remaining))]
                mask *= parameter.abs() >= smallest_kept
                parameter.copy_(start * mask)


def test_begins_each_round_at_the_first_learning_rate():
    (weight,) = weights = [nn.Parameter(torch.empty(9, 7))]
    ticket = LotteryTicket(weights, seed=0, lr=0.5)
    schedule = torch.optim.lr_scheduler.MultiStepLR(ticket, [2], 0.1)
    for _ in range(3):
        weight.grad = torch.ones_like(weight)
        ticket.step()
        schedule.step()
    assert ticket.param_groups[0]["lr"] == pytest.approx(0.05)
    ticket.prune(0.5)
    assert ticket.param_groups[0]["lr"] == 0.5


def test_goes_on_from_a_state():
    weights = [nn.Parameter(torch.empty(9, 7)) for _ in range(2)]
    first, other = (LotteryTicket([weight], seed=0, lr=0.5, momentum=0.9) for weight in weights)
    gradients = torch.randn(30, 9, 7, generator=torch.Generator().manual_seed(0))

    for number, gradient in enumerate(gradients[:20]):
        if number == 10:
            first.prune(0.8)
        weights[0].grad = gradient
        first.step()
    with torch.no_grad():
        weights[1].copy_(weights[0])
    other.load_state_dict(copy.deepcopy(first.state_dict()))
    for gradient in gradients[20:]:
        weights[0].grad = weights[1].grad = gradient
        first.step()
        other.step()
        assert torch.equal(*weights)
    assert int((weights[0] != 0).sum()) == round(0.2 * 63)


def test_has_no_options():
    with pytest.raises(ValueError, match="k = 2"):
        LotteryTicket([nn.Parameter(torch.empty(9, 7))], k=2, seed=0, lr=0.1)


def test_it_prunes_after_the_epochs_that_it_is_told_and_counts_from_there():
    ticket = LotteryTicket(network("linear").parameters(), seed=0, lr=0.1, prune_after=(3, 5), pruned=0.5)
    assert [epoch for epoch in range(8) if ticket.begin_epoch(epoch)] == [3, 5]
    assert [ticket.last_rewind(epoch) for epoch in range(1, 8)] == [0, 0, 0, 3, 3, 5, 5]
    for weight in ticket.param_groups[0]["params"]:
        assert (weight == 0).sum() == pytest.approx(0.75 * weight.numel(), abs=1)
