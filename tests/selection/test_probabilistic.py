"""Probabilistic sampling draws from the softmax of the scores that the textbook stores."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from slotbench.selection import kernel
from slotbench.selection.probabilistic import Probabilistic, chosen, exp_, uniform
from tests.support.oracle import Textbook

ORDERS = (torch.contiguous_format, torch.channels_last)


@pytest.fixture(params=["compiled", "torch alone"], autouse=True)
def both_paths(request, monkeypatch):
    if request.param == "torch alone":
        monkeypatch.setattr(kernel, "library", lambda: None)
    elif kernel.library() is None:
        pytest.skip("no C compiler on this machine")


def trained(k: int, dtype: torch.dtype = torch.float64, steps: int = 30) -> tuple[Probabilistic, Textbook]:
    """Ours and the textbook's, after the same gradients: no draw is in them."""
    ours = nn.Parameter(torch.empty(40, 30, dtype=dtype))
    theirs = copy.deepcopy(ours)
    settings = {"lr": 25.0, "momentum": 0.9, "weight_decay": 1e-4}
    sampler = Probabilistic([ours], k=k, seed=3, **settings)
    textbook = Textbook([theirs], list(sampler.options.values()), sampling=True, **settings)
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        ours.grad = theirs.grad = torch.randn(40, 30, generator=generator, dtype=dtype) * 0.05
        sampler.step()
        textbook.step()
    return sampler, textbook


@pytest.mark.parametrize("k", [2, 8, 64])
def test_its_scores_are_those_of_the_textbook(k):
    sampler, textbook = trained(k)
    (weight,) = sampler.options
    scores = sampler.scores(weight, sampler.a[weight]).T.reshape(40, 30, k)
    torch.testing.assert_close(scores, textbook.scores[0].detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [2, 8])
def test_draws_are_distributed_as_the_softmax_of_the_scores(k, dtype):
    sampler, textbook = trained(k, dtype)
    (weight,) = sampler.options
    options = textbook.options[0]
    expected = textbook.scores[0].detach().double().softmax(-1)
    counts = torch.zeros(40, 30, k)
    torch.manual_seed(0)
    draws = 400
    for _ in range(draws):
        sampler.draw()
        drawn = options == weight.detach()[..., None]
        assert drawn.any(-1).all(), "a weight is none of its connection's options"
        counts += drawn
    # Pearson's statistic over all connections, of the options that are expected often enough
    often = (expected * draws > 5) & (expected * draws < draws - 5)
    deviation = (counts - expected * draws)[often] / (draws * expected * (1 - expected))[often].sqrt()
    assert often.sum() > 100
    assert abs(float(deviation.mean())) < 0.1
    assert 0.9 < float(deviation.square().mean()) < 1.1
    rare = expected * draws < 1e-4
    assert counts[rare].sum() == 0


def test_eval_selects_the_highest_scores_and_train_draws_again():
    sampler, textbook = trained(8)
    (weight,) = sampler.options
    highest = textbook.options[0].gather(-1, textbook.scores[0].argmax(-1, keepdim=True)).squeeze(-1)
    sampler.eval()
    assert torch.equal(weight, highest)
    sampler.train()
    assert not torch.equal(weight, highest)


def test_the_same_seed_draws_the_same_with_and_without_the_compiled_step(monkeypatch):
    drawn = []
    for _ in range(2):
        sampler, _ = trained(8)
        torch.manual_seed(11)
        sampler.draw()
        drawn.append(next(iter(sampler.options)).detach().clone())
        monkeypatch.setattr(kernel, "library", lambda: None)
    assert torch.equal(*drawn)


@settings(max_examples=60, deadline=None)
@given(
    connections=st.integers(0, 600),
    k=st.integers(1, 40),
    a=st.sampled_from([1.0, 0.7, -0.3, 0.0]),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4, 1e30]),
    seed=st.integers(-(2**63), 2**63 - 1),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_torch_draws_what_the_kernel_draws_to_the_bit(connections, k, a, spread, seed, dtype):
    if kernel.library() is None:
        pytest.skip("no C compiler on this machine")
    generator = torch.Generator().manual_seed(seed % 2**32)
    options, initial = (torch.rand(k, connections, generator=generator, dtype=dtype) - 0.5 for _ in range(2))
    b = spread * torch.randn(connections, generator=generator, dtype=dtype)
    drawn = torch.empty(connections, dtype=dtype)
    kernel.draw(drawn, b, options, initial, a, seed)
    assert torch.equal(drawn, chosen((options * b).add_(initial, alpha=a), options, seed).view(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_exponential_is_within_two_units_in_the_last_place(dtype):
    x = -torch.linspace(0, 80, 100_001, dtype=torch.float64).to(dtype)
    expected = x.double().exp()
    error = (exp_(x.clone()).double() - expected).abs() / expected
    assert error.max() < 3 * torch.finfo(dtype).eps
    assert exp_(torch.zeros(1, dtype=dtype)) == 1


def test_a_channels_last_layer_draws_what_a_row_major_one_draws():
    weights = [nn.Parameter(torch.zeros(6, 4, 3, 3).to(memory_format=order)) for order in ORDERS]
    for weight in weights:
        torch.manual_seed(0)
        Probabilistic([weight], k=8, seed=0, lr=1.0)
    assert torch.equal(*weights)


def test_uniform_numbers_are_uniform_and_independent_of_their_neighbours():
    for seed in (0, -1, 123456789):
        numbers = uniform(seed, 200_000, torch.device("cpu")).double().numpy()
        assert numbers.min() >= 0
        assert numbers.max() < 1
        assert stats.kstest(numbers, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
