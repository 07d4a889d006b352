"""A staircase is the upper envelope of its connection's lines, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.selection import kernel
from slotbench.selection.options import Options
from slotbench.selection.staircase import build, climb


@pytest.fixture(params=["compiled", "by NumPy"], autouse=True)
def both_paths(request, monkeypatch):
    if request.param == "by NumPy":
        monkeypatch.setattr(kernel, "library", lambda: None)
    elif kernel.library() is None:
        pytest.skip("no C compiler on this machine")


BLOCKS = 3


def drawn(k: int, connections: int = 300, seed: int = 0) -> Options:
    return Options(connections, k, seed, 0, option_bound=1.0, score_bound=1.0)


@settings(max_examples=40, deadline=None)
@given(k=st.integers(1, 100), seed=st.integers(0, 10**6), sign=st.sampled_from([1, -1]))
def test_its_level_is_the_option_with_the_highest_score_at_every_place(k, seed, sign):
    options = drawn(k, 50, seed)
    weights, scores = options.whole()
    staircase = build(options, np.float64, sign)
    for row in range(50):
        levels = staircase.levels[staircase.first[row] : staircase.first[row + 1]]
        corners = staircase.breakpoints[staircase.first[row] + 1 : staircase.first[row + 1]]
        assert (np.diff(levels) > 0).all()
        assert (np.diff(corners) >= 0).all()
        for theta in np.random.default_rng(row).normal(scale=3, size=20):
            best = (sign * scores[row].astype(float) + theta * weights[row].astype(float)).argmax()
            assert levels[np.searchsorted(corners, theta)] == weights[row, best]


def test_every_connection_has_between_one_and_k_levels_and_ends_in_nan():
    for k in (1, 2, 8):
        staircase = build(drawn(k), np.float32)
        counts = np.diff(staircase.first)
        assert counts.min() >= 1
        assert counts.max() <= k
        assert np.isnan(staircase.breakpoints[staircase.first]).all()
        assert np.isnan(staircase.breakpoints).sum() == 300 + 1
        assert staircase.levels.dtype == staircase.breakpoints.dtype == np.float32


@pytest.mark.parametrize("sharing", [None, "layer", "network"])
@pytest.mark.parametrize("k", [1, 3, 64])
def test_any_number_of_threads_builds_the_same(k, sharing):
    options = Options(BLOCKS * 2**16 // k + 5, k, 3, 1, option_bound=1.0, score_bound=1.0, sharing=sharing)
    assert len(options.starts) > BLOCKS
    alone, *others = (build(options, np.float32, -1, threads) for threads in (1, 3, None))
    for other in others:
        assert all(np.array_equal(first, two, equal_nan=True) for first, two in zip(alone, other, strict=True))


def test_an_empty_layer_has_no_levels():
    staircase = build(drawn(8, connections=0), np.float32)
    assert len(staircase.levels) == 0
    assert staircase.first.tolist() == [0]


def test_few_levels_are_left_however_many_options_there_are():
    """The means that docs/method.md gives."""
    for k, mean in ((2, 2.0), (8, 3.7), (64, 6.4), (128, 7.3)):
        staircase = build(drawn(k, 5000), np.float32)
        assert abs(len(staircase.levels) / 5000 - mean) < 0.15


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_both_ways_of_building_it_agree_to_the_bit(data):
    """Where lines meet in one place too, which drawn ones hardly ever do."""
    if kernel.library() is None:
        pytest.skip("no C compiler on this machine")
    k, sign = data.draw(st.integers(1, 20)), data.draw(st.sampled_from([1, -1]))
    dtype = np.dtype(data.draw(st.sampled_from(["float32", "float64"])))
    numbers = st.integers(-3, 3) if data.draw(st.booleans()) else st.floats(-1, 1, width=32)
    options, scores = (
        np.array(data.draw(st.lists(numbers, min_size=4 * k, max_size=4 * k)), np.float32).reshape(4, k)
        for _ in range(2)
    )
    compiled = kernel.envelopes(options, scores, dtype, sign)
    for first, other in zip(compiled, climb(options.astype(float), sign * scores.astype(float), dtype), strict=True):
        assert np.array_equal(first, other, equal_nan=first.dtype == dtype)
