"""In float64, selection among shared options selects what SGD on every connection's own stored scores selects."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from slotbench.selection.options import glorot_deviation
from slotbench.selection.shared import SharedByLayer, SharedByNetwork
from slotbench.training.device import state_bytes
from tests.support.networks import network
from tests.support.textbook import compare

pytestmark = pytest.mark.usefixtures("every_path")

RULES = [SharedByLayer, SharedByNetwork]
SEED = 11
"""Of whose sets of two and of three none are of one sign, by which a network of rectifiers can be dead."""


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["linear", "convolutional", "channels-last"])
@pytest.mark.parametrize("k", [2, 3, 64])
def test_selects_what_the_textbook_selects(rule, kind, k):
    compare(kind, k, steps=150, rule=rule, seed=SEED, lr=0.5, momentum=0.9)


@pytest.mark.parametrize("rule", RULES)
def test_selects_the_same_under_weight_decay_and_while_a_goes_through_zero(rule):
    selection = compare("linear", 8, steps=300, rule=rule, lr=0.1, momentum=0.9, weight_decay=0.5)
    assert len(selection._climbers) == 2 * len(selection.options), "a never was negative"


@pytest.mark.parametrize("rule", RULES)
def test_connections_share_their_options_and_have_scores_of_their_own(rule):
    layers = [
        options.whole() for options in rule(network("convolutional").parameters(), k=8, seed=0, lr=0.1).options.values()
    ]
    for options, scores in layers:
        assert len(np.unique(options, axis=0)) == 1
        assert len(np.unique(scores, axis=0)) == len(scores)
    sets = {tuple(options[0]) for options, _ in layers}
    assert len(sets) == (1 if rule is SharedByNetwork else len(layers))


def test_a_layer_s_options_have_its_own_bound_and_a_network_s_the_mean_of_all_layers_bounds():
    weights = [nn.Parameter(torch.empty(40, 60)), nn.Parameter(torch.empty(8, 4, 3, 3))]
    bounds = [math.sqrt(3) * glorot_deviation(weight.shape) for weight in weights]
    for rule, expected in ((SharedByLayer, bounds), (SharedByNetwork, [sum(bounds) / 2] * 2)):
        drawn = rule(weights, k=4096, seed=0, lr=0.1).options.values()
        assert [options.option_bound for options in drawn] == pytest.approx(expected)
        for options, bound in zip(drawn, expected, strict=True):
            _, values, _ = next(options.blocks())
            assert 0.99 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
        assert [options.score_bound for options in drawn] == pytest.approx(bounds)


@pytest.mark.parametrize("rule", RULES)
def test_memory_does_not_grow_with_k(rule):
    def bytes_held(k: int) -> int:
        return state_bytes(rule([nn.Parameter(torch.empty(50, 100))], k=k, seed=0, lr=0.1))

    assert bytes_held(4096) < 2.5 * bytes_held(8)
