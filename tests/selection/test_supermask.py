"""Supermask trains the probabilities that its definition trains, and draws by them."""

import pytest
import torch
from torch import Tensor, nn

from slotbench.selection.options import glorot_deviation
from slotbench.selection.supermask import Supermask
from tests.support.subnetwork import side_by_side, straight_through


def drawn(score: Tensor, weight: Tensor) -> Tensor:
    """The definition, for the draw that `weight` shows: kept weights divided by the share that is kept."""
    kept = (weight != 0).to(score)
    mask = straight_through(kept, score.sigmoid())
    return mask * (mask.numel() / mask.sum())


@pytest.mark.parametrize("kind", ["linear", "convolutional", "channels-last"])
@pytest.mark.parametrize(("weight_decay", "nesterov"), [(0.0, False), (1e-3, False), (1e-4, True)])
def test_trains_what_its_definition_trains(kind, weight_decay, nesterov):
    settings = {"lr": 20.0, "momentum": 0.9, "weight_decay": weight_decay, "nesterov": nesterov}
    for layers in side_by_side(
        Supermask, kind, lambda weight: glorot_deviation(weight.shape), drawn, steps=60, **settings
    ):
        for weight, expected, score, expected_score in layers:
            torch.testing.assert_close(weight, expected, rtol=1e-12, atol=0)
            torch.testing.assert_close(score, expected_score.detach(), rtol=1e-9, atol=1e-9)
    assert max(float(score.abs().max()) for _, _, score, _ in layers) > 2, "hardly trained: this shows nothing"


def trained(dtype: torch.dtype = torch.float64) -> tuple[Supermask, nn.Parameter, Tensor]:
    weight = nn.Parameter(torch.empty(40, 30, dtype=dtype))
    supermask = Supermask([weight], seed=3, lr=20.0, momentum=0.9)
    generator = torch.Generator().manual_seed(5)
    for _ in range(30):
        weight.grad = torch.randn(40, 30, generator=generator, dtype=dtype) * 0.05
        supermask.step()
    return supermask, weight, supermask.state[weight]["b"]


def test_starts_at_even_chances():
    weight = nn.Parameter(torch.empty(300, 100))
    supermask = Supermask([weight], seed=0, lr=0.1)
    assert supermask.state[weight]["b"].count_nonzero() == 0
    assert float(weight.count_nonzero() / weight.numel()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_are_distributed_as_the_probabilities(dtype):
    supermask, weight, score = trained(dtype)
    expected = score.double().sigmoid()
    counts = torch.zeros(40, 30)
    torch.manual_seed(0)
    draws = 400
    for _ in range(draws):
        supermask.draw()
        counts += weight.detach() != 0
    often = (expected * draws > 5) & (expected * draws < draws - 5)
    deviation = (counts - expected * draws)[often] / (draws * expected * (1 - expected))[often].sqrt()
    assert often.sum() > 500
    assert abs(float(deviation.mean())) < 0.1
    assert 0.9 < float(deviation.square().mean()) < 1.1


def test_eval_keeps_what_is_more_likely_kept_and_train_draws_again():
    supermask, weight, score = trained()
    supermask.eval()
    kept = score > 0
    assert torch.equal(weight != 0, kept)
    magnitude = glorot_deviation(weight.shape) / kept.double().mean()
    torch.testing.assert_close(weight.abs(), kept * magnitude)
    supermask.train()
    before = weight.detach().clone()
    assert not torch.equal(before != 0, kept)
    supermask.step()
    assert not torch.equal(before != 0, weight != 0), "a step in training draws for the next forward pass"


def test_draws_follow_from_the_global_generator():
    supermask, weight, _ = trained()
    twice = []
    for _ in range(2):
        torch.manual_seed(11)
        supermask.draw()
        twice.append(weight.detach().clone())
    assert torch.equal(*twice)


def test_a_layer_of_which_nothing_is_kept_is_zero():
    supermask, weight, score = trained()
    score.fill_(-1e4)
    supermask.draw()
    assert weight.count_nonzero() == 0
