"""Options and initial scores: uniform, seeded, and the same wherever and however they are drawn."""

import numpy as np
import pytest
import torch
from scipy import stats

from slotbench.selection import options
from slotbench.selection.greedy import Greedy
from slotbench.selection.learned import Learned
from slotbench.selection.options import Options, draw, glorot_deviation


def drawn(k: int = 8, seed: int = 0, layer: int = 0, connections: int = 5000) -> Options:
    return Options(connections, k, seed, layer, option_bound=0.3, score_bound=0.2)


def test_options_and_scores_are_uniform_within_their_bounds():
    weights, scores = drawn().whole()
    assert weights.dtype == scores.dtype == np.float32
    assert stats.kstest(weights.ravel(), stats.uniform(-0.3, 0.6).cdf).pvalue > 1e-4
    assert stats.kstest(scores.ravel(), stats.uniform(0, 0.2).cdf).pvalue > 1e-4
    assert scores.min() >= 0


@pytest.mark.parametrize("k", [1, 3, 8, 64])
def test_what_is_drawn_does_not_depend_on_the_size_of_blocks(k, monkeypatch):
    whole = drawn(k).whole()
    for block in (8, 1000, 2**14):
        monkeypatch.setattr(options, "BLOCK", block)
        assert all(np.array_equal(first, other) for first, other in zip(whole, drawn(k).whole(), strict=True))


def test_seeds_and_layers_are_independent_and_repeatable():
    first = drawn().whole()[0]
    assert np.array_equal(first, drawn().whole()[0])
    for other in (drawn(seed=1), drawn(layer=1)):
        assert abs(np.corrcoef(first.ravel(), other.whole()[0].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(first.ravel(), drawn().whole()[1].ravel())[0, 1]) < 0.02


def test_a_seed_that_would_repeat_the_stream_of_a_small_one_is_refused():
    """NumPy takes 2³² + 5 for two words, so that its layer 0 would draw what layer 1 of seed 5 draws."""
    drawn(seed=2**32 - 1).whole()
    for seed in (-1, 2**32, 2**32 + 5, 2**64):
        with pytest.raises(ValueError, match=f"seed {seed}: from 0 to 4294967295"):
            Greedy([torch.empty(4, 3)], k=2, seed=seed, lr=0.1)


def test_a_seed_means_the_same_network_with_every_version_of_every_library():
    """Philox's raw stream is promised by NumPy; these numbers hold us to it, on every machine."""
    weights, scores = drawn(k=2).whole()
    bits = np.random.Philox(np.random.SeedSequence([0, 0, 0])).random_raw(1)
    low, high = int(bits[0]) & 0xFFFFFFFF, int(bits[0]) >> 32
    assert weights[0].tolist() == [np.float32(0.3) * np.float32(2 * ((word >> 8) / 2**24) - 1) for word in (low, high)]
    assert [f"{value:.6f}" for value in (*weights[0], *scores[0])] == GOLDEN


GOLDEN = ["-0.218626", "-0.291560", "0.039828", "0.192912"]


@pytest.mark.parametrize(
    ("shape", "expected"), [((300, 784), (2 / 1084) ** 0.5), ((64, 3, 3, 3), (2 / (67 * 9)) ** 0.5)]
)
def test_the_deviation_is_that_of_glorot_normal(shape, expected):
    weight = torch.empty(shape)
    assert glorot_deviation(shape) == pytest.approx(expected)
    torch.nn.init.xavier_normal_(weight)
    assert float(weight.std()) == pytest.approx(expected, rel=0.1)


def test_initial_scores_of_convolutions_and_of_linear_layers_have_their_own_bounds():
    settings = {"k": 2, "seed": 0, "option_bound": 1.0, "score_bounds": (1.0, 0.1)}
    for shape, factor in (((8, 4, 3, 3), 1.0), ((20, 30), 0.1)):
        (layer,) = draw([torch.empty(shape)], **settings)
        assert layer.score_bound == pytest.approx(factor * glorot_deviation(shape))
        assert layer.option_bound == pytest.approx(glorot_deviation(shape))


def test_learned_weights_start_as_the_random_network_of_k_1():
    networks = [torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Conv2d(3, 4, 3)) for _ in range(2)]
    weights = [[weight for weight in network.parameters() if weight.dim() > 1] for network in networks]
    Greedy(weights[0], k=1, seed=5, lr=0.1)
    Learned(weights[1], seed=5, lr=0.1)
    for first, other in zip(*weights, strict=True):
        assert torch.equal(first, other)
        assert first.abs().max() > 0
