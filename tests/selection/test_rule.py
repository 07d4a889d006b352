"""Every rule is an optimizer as people use them: groups, names, copies, states; what it cannot take it refuses."""

import copy
import io
import pickle
from importlib import import_module

import pytest
import torch
from torch import nn

from slotbench.selection import SELECTIONS

SHAPES = [(30, 20), (4, 3, 3, 3), (7,), (), (0, 5), (2, 0, 3, 3)]
every_rule = pytest.mark.parametrize("name", SELECTIONS)


def built(name: str, params, **settings):
    """The rule `name`, at K = 8 if it has options."""
    module, _, rule = SELECTIONS[name].optimizer.partition(":")
    k = 8 if SELECTIONS[name].has_options else 1
    settings = {"k": k, "seed": 0, "lr": 0.1, "momentum": 0.9} | settings
    return getattr(import_module(f"slotbench.selection.{module}"), rule)(params, **settings)


def layers(*shapes) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(shape)) for shape in shapes or SHAPES]


def train(weights, optimizer, seed=0, steps=4) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape)
        optimizer.step()


def values(weights) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in weights]


def equal(tensors, others) -> bool:
    return all(torch.equal(first, other) for first, other in zip(tensors, others, strict=True))


def deep(pair):
    return copy.deepcopy(pair)


def pickled(pair):
    return pickle.loads(pickle.dumps(pair))


def saved(pair):
    buffer = io.BytesIO()
    torch.save(pair, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@every_rule
@pytest.mark.parametrize("copied", [deep, pickled, saved])
def test_a_copy_of_network_and_optimizer_trains_on_as_they_do(name, copied):
    weights = layers()
    optimizer = built(name, weights)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)  # wraps its step
    train(weights, optimizer)
    twins, twin = copied((weights, optimizer))
    assert equal(twins, values(weights))
    train(weights, optimizer, seed=1)
    train(twins, twin, seed=1)
    assert equal(twins, values(weights))
    train(twins, twin, seed=2)
    assert not torch.equal(twins[0], weights[0]) or name == "lottery-ticket", "the copy shares what it should own"


@every_rule
def test_groups_have_settings_of_their_own_and_parameters_names(name):
    weights = layers()
    named = [(f"layer {number}", weight) for number, weight in enumerate(weights)]
    groups = [{"params": named[:2], "lr": 0.0}, {"params": named[2:], "lr": 0.5}]
    optimizer = built(name, groups)
    alike = built(name, others := layers())
    assert list(optimizer.options.values()) == list(alike.options.values())
    if not SELECTIONS[name].draws:
        assert equal(weights, others), "layers are told apart by their order, whatever their groups"
    before = values(weights)
    train(weights, optimizer, steps=20)
    if not SELECTIONS[name].draws:
        assert torch.equal(weights[0], before[0])
    assert optimizer.param_groups[1]["param_names"][0] == "layer 2"
    assert len(optimizer.options) == len(SHAPES)


@every_rule
def test_layers_that_are_added_later_are_those_that_would_have_been_there_at_once(name):
    weights, others = layers((30, 20), (9, 7)), layers((30, 20), (9, 7))
    built(name, weights)
    later = built(name, others[:1])
    if name == "greedy-shared-network":
        with pytest.raises(ValueError, match="all its layers at once"):
            later.add_param_group({"params": others[1:]})
        assert len(later.param_groups) == 1
        return
    later.add_param_group({"params": others[1], "lr": 0.2})
    if not SELECTIONS[name].draws:
        assert equal(weights, others)
    train(others, later)
    assert others[1].abs().max() > 0


@every_rule
def test_a_state_is_taken_up_by_its_like_alone(name):
    weights = layers()
    optimizer = built(name, weights)
    train(weights, optimizer)
    state = copy.deepcopy(optimizer.state_dict())

    alike = built(name, others := [nn.Parameter(weight.detach().clone()) for weight in weights])
    learned = not hasattr(optimizer, "a")
    if learned:  # whose weights are not in its optimizer's state
        for other, weight in zip(others, weights, strict=True):
            other.data.copy_(weight)
    torch.manual_seed(5)
    alike.load_state_dict(copy.deepcopy(state))
    train(weights, optimizer, seed=1)
    train(others, alike, seed=1)
    assert equal(weights, others)

    another = "learned" if name != "learned" else "greedy"
    unlike = [
        (built(name, layers(), seed=1), "state of seed 0 is none for seed 1"),
        (built(name, layers(), option_bound=1.0), "option_bound"),
        (built(another, layers()), "state of rule"),
        (built(name, layers((20, 30), *SHAPES[1:])), r"\[30, 20\] is none for \[20, 30\]"),
        (built(name, layers(*SHAPES[:-1])), "6 parameters is none for 5"),
    ]
    if SELECTIONS[name].has_options:
        unlike.append((built(name, layers(), k=4), "state of k 8 is none for k 4"))
    for stranger, words in unlike:
        before = values(stranger.options), copy.deepcopy(stranger.state_dict())
        with pytest.raises(ValueError, match=words):
            stranger.load_state_dict(state)
        assert equal(values(stranger.options), before[0]), "a refused state changes nothing"
        assert stranger.state_dict()["param_groups"] == before[1]["param_groups"]

    with pytest.raises(ValueError, match="state of rule another rule"):
        optimizer.load_state_dict(torch.optim.SGD(layers(), lr=0.1).state_dict())


@pytest.mark.parametrize("name", ["greedy", "probabilistic", "edge-popup", "lottery-ticket"])
def test_a_state_that_lacks_a_part_is_refused(name):
    optimizer = built(name, layers())
    state = copy.deepcopy(optimizer.state_dict())
    part = sorted(state["state"][1])[0]
    del state["state"][1][part]
    with pytest.raises(ValueError, match=f"without {part} of parameter 1"):
        optimizer.load_state_dict(state)


@every_rule
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64, torch.int64])
def test_other_types_than_float32_and_float64_are_refused(name, dtype):
    number = nn.Parameter(torch.zeros(3, 4, dtype=dtype), requires_grad=dtype.is_floating_point)
    with pytest.raises(ValueError, match=f"bias is {dtype}: a rule takes dense float32 or float64"):
        built(name, [("weight", nn.Parameter(torch.zeros(3, 4))), ("bias", number)])


@every_rule
@pytest.mark.parametrize("part", ["columns", "rows", "repeated"])
def test_a_parameter_that_does_not_fill_its_memory_is_refused_and_its_neighbours_stay(name, part):
    base = torch.full((6, 8), 3.0)
    view = {"columns": base[:, :5], "rows": base[::2], "repeated": base[:1].expand(6, 8)}[part]
    with pytest.raises(ValueError, match=r"parameter 0.*does not fill its memory"):
        built(name, [view])
    assert bool((base == 3).all())


@every_rule
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": -0.1}, "lr = -0.1"),
        ({"lr": torch.tensor(-0.5)}, "lr = -0.5"),
        ({"momentum": -0.5}, "momentum = -0.5"),
        ({"weight_decay": -1e-4}, "weight_decay = -0.0001"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"weight_decay": float("inf")}, "weight_decay = inf"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs momentum"),
        ({"k": 0}, "k = 0"),
        ({"seed": 2**32}, "seed 4294967296"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name, settings, words):
    with pytest.raises(ValueError, match=words):
        built(name, layers(), **settings)


@every_rule
def test_settings_of_a_group_are_held_to_the_same(name):
    weights = layers((4, 5), (6, 7))
    optimizer = built(name, weights[:1])
    for settings, words in (
        ({"lr": -1.0}, "lr = -1"),
        ({"k": 3}, "no k of its own"),
        ({"maximize": True}, "no maximize"),
    ):
        with pytest.raises(ValueError, match=words if name != "greedy-shared-network" else f"{words}|at once"):
            optimizer.add_param_group({"params": weights[1:], **settings})
    with pytest.raises(ValueError, match=r"more than one|at once"):
        optimizer.add_param_group({"params": weights[:1]})
    assert len(optimizer.param_groups) == 1
    train(weights[:1], optimizer)


def test_a_learning_rate_that_turns_negative_is_refused_at_the_next_step():
    optimizer = built("greedy", weights := layers((4, 5)))
    optimizer.param_groups[0]["lr"] = -0.1
    with pytest.raises(ValueError, match=r"lr = -0\.1"):
        train(weights, optimizer)
