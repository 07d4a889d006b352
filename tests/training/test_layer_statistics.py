"""What a record says of a network's layers is what a plain count over all options and all places of b says."""

import math
from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slotbench.results import records
from slotbench.selection.greedy import Greedy
from slotbench.selection.probabilistic import Probabilistic
from slotbench.selection.shared import SharedByLayer, SharedByNetwork
from slotbench.selection.slots import Slots
from slotbench.training import layer_statistics


def test_histograms_have_as_many_parts_as_a_record_takes():
    assert layer_statistics.BINS == records.BINS


def trained(rule: type[Slots], k: int, seed: int, channels_last: bool = False, **settings) -> Slots:
    weights = [
        nn.Parameter(torch.empty(shape, dtype=torch.float64, memory_format=layout))
        for shape, layout in (
            ((6, 4, 3, 3), torch.channels_last if channels_last else torch.contiguous_format),
            ((10, 30), torch.contiguous_format),
        )
    ]
    optimizer = rule(weights, k=k, seed=seed, lr=1.0, momentum=0.9, **settings)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        for weight in weights:
            weight.grad = torch.empty_like(weight)
            weight.grad.copy_(0.1 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
        optimizer.step()
    optimizer.eval()
    return optimizer


def bits(values: list[int]) -> float:
    counts = Counter(values).values()
    return sum(count / len(values) * math.log2(len(values) / count) for count in counts)


def reachable(options: np.ndarray, scores: np.ndarray, a: float) -> list[float]:
    """The levels of one connection: what argmax selects at the places between all crossings of two lines, in order."""
    crossings = sorted(
        (a * scores[i] - a * scores[j]) / (options[j] - options[i])
        for i in range(len(options))
        for j in range(i)
        if options[i] != options[j]
    )
    middles = [(low + high) / 2 for low, high in pairwise(crossings)]
    places = [crossings[0] - 1, *middles, crossings[-1] + 1] if crossings else [0.0]
    levels = [options[(a * scores + b * options).argmax()] for b in places]
    return [level for level, _ in groupby(levels)]


@settings(max_examples=15, deadline=None)
@given(k=st.integers(1, 9), seed=st.integers(0, 1000), rule=st.sampled_from([Greedy, SharedByLayer, SharedByNetwork]))
def test_says_what_a_plain_count_says(k, seed, rule):
    optimizer = trained(rule, k, seed)
    for statistics, (weight, drawn) in zip(layer_statistics.layers(optimizer), optimizer.options.items(), strict=True):
        options, scores = (whole.astype(np.float64) for whole in drawn.whole())
        chosen = weight.detach().numpy().ravel()
        staircases = [reachable(*rows, a=1.0) for rows in zip(options, scores, strict=True)]
        heights = Counter(map(len, staircases))
        assert statistics.connections == len(chosen)
        assert statistics.levels == [heights[1 + count] / len(chosen) for count in range(max(heights))]
        assert statistics.bits_of_rank == pytest.approx(
            bits([int((row < option).sum()) for row, option in zip(options, chosen, strict=True)])
        )
        began = options[np.arange(len(chosen)), scores.argmax(1)]
        moves = [
            levels.index(option) - levels.index(start)
            for levels, option, start in zip(staircases, chosen, began, strict=True)
        ]
        assert statistics.bits_of_move == pytest.approx(bits(moves))
        assert statistics.selected_magnitude == pytest.approx(np.abs(chosen).mean() / drawn.option_bound)
        assert statistics.offered_magnitude == pytest.approx(np.abs(options).mean() / drawn.option_bound)
        for shares, values in ((statistics.selected, chosen), (statistics.offered, options)):
            histogram, _ = np.histogram(values / drawn.option_bound, layer_statistics.BINS, (-1, 1))
            assert shares == pytest.approx(histogram / values.size)


def test_layout_does_not_count():
    assert layer_statistics.layers(trained(Greedy, 8, 3)) == layer_statistics.layers(
        trained(Greedy, 8, 3, channels_last=True)
    )


def test_nothing_has_moved_before_the_first_step():
    optimizer = Greedy([nn.Parameter(torch.empty(10, 30))], k=8, seed=0, lr=0.1)
    (layer,) = layer_statistics.layers(optimizer)
    assert layer.bits_of_move == 0
    assert layer.selected_magnitude == pytest.approx(layer.offered_magnitude, rel=0.1)


def test_a_network_that_has_turned_has_its_own_staircases():
    optimizer = trained(Greedy, 8, 0, weight_decay=0.5)
    assert max(optimizer.a.values()) < 0, "a is not negative: this shows nothing"
    for layer, drawn in zip(layer_statistics.layers(optimizer), optimizer.options.values(), strict=True):
        options, scores = (whole.astype(np.float64) for whole in drawn.whole())
        heights = Counter(len(reachable(*rows, a=-1.0)) for rows in zip(options, scores, strict=True))
        assert layer.levels == [heights[1 + count] / len(options) for count in range(max(heights))]


def test_of_a_rule_that_draws_it_is_the_likeliest_network():
    likeliest, greedy = (layer_statistics.layers(trained(rule, 4, 1)) for rule in (Probabilistic, Greedy))
    assert likeliest == greedy  # the same gradients, and so the same scores
