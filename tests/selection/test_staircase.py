"""A staircase is the upper envelope of its connection's lines, and nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.selection.options import Options
from slotbench.selection.staircase import build


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


def test_few_levels_are_left_however_many_options_there_are():
    """The means that docs/method.md gives."""
    for k, mean in ((2, 2.0), (8, 3.7), (64, 6.4), (128, 7.3)):
        staircase = build(drawn(k, 5000), np.float32)
        assert abs(len(staircase.levels) / 5000 - mean) < 0.15
