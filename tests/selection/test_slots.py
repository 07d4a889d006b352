"""A step is right whatever lies around it: layouts in memory, missing gradients, momentum that comes and goes, weights
that others write to, states of another time; or it is refused in words."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from slotbench.selection.greedy import Greedy, units
from slotbench.selection.probabilistic import Probabilistic
from slotbench.selection.supermask import Supermask
from tests.support.oracle import Textbook
from tests.support.textbook import offered

pytestmark = pytest.mark.usefixtures("every_path")
SHAPES = [(4, 3, 3, 3), (8, 1, 3, 3), (1, 5, 1, 2), (5, 7), (6,), (), (0, 4)]
RATES = [(0.5, 0.0), (1.0, 0.0), (0.5, 0.05), (1.0, 0.5), (1.0, 1.0), (0.1, 0.5)]
"""Learning rate and weight decay: a stays, falls slowly or fast, is exactly 0 after a step, or crosses it"""


def laid_out(tensor: Tensor, order: str) -> Tensor:
    """A copy of `tensor` in one of the orders that a dense tensor can have in memory."""
    if order == "channels-last" and tensor.dim() == 4:
        return tensor.clone(memory_format=torch.channels_last)
    if order == "transposed" and tensor.dim() > 1:
        return tensor.transpose(0, 1).clone(memory_format=torch.contiguous_format).transpose(0, 1)
    return tensor.clone(memory_format=torch.contiguous_format)


ORDERS = st.sampled_from(["row-major", "channels-last", "transposed"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_selects_what_the_textbook_selects_whatever_is_done_around_a_step(data):
    shapes = data.draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3), label="shapes")
    k, momentum = data.draw(st.sampled_from([1, 2, 8])), data.draw(st.sampled_from([0.0, 0.9]))
    lr, weight_decay = data.draw(st.sampled_from(RATES))
    sgd = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    weights = [nn.Parameter(laid_out(torch.zeros(shape).double(), data.draw(ORDERS))) for shape in shapes]
    slots = Greedy(weights, k=k, seed=1, **sgd)
    theirs = [nn.Parameter(weight.detach().clone()) for weight in weights]
    textbook = Textbook(theirs, list(slots.options.values()), **sgd)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    for _ in range(6):
        if data.draw(st.integers(0, 4)) == 0:
            for optimizer in (slots, textbook):
                optimizer.param_groups[0]["momentum"] = 0.9 - optimizer.param_groups[0]["momentum"]
        for weight, other in zip(weights, theirs, strict=True):
            weight.grad = other.grad = None
            happens = data.draw(
                st.sampled_from(["nothing", "nothing", "no gradient", "moved", "written to", "negated"])
            )
            if happens == "no gradient":
                continue
            if happens == "moved":  # as by network.to(memory_format=...)
                weight.data = laid_out(weight.detach(), data.draw(ORDERS))
            if happens == "written to":  # as by network.load_state_dict
                with torch.no_grad():
                    weight.fill_(7)
            other.grad = torch.randn(weight.shape, generator=generator).double()
            other.grad *= torch.rand(weight.shape, generator=generator) < 0.7
            weight.grad = laid_out(other.grad, data.draw(ORDERS))
            if happens == "negated":  # lazily: the numbers in memory have the other sign
                weight.grad = torch.complex(torch.zeros_like(weight.grad), -weight.grad).conj().imag
                assert weight.grad.is_neg()
        slots.step()
        textbook.step()
        if data.draw(st.integers(0, 4)) == 0:  # goes on from a state on disk, which is row-major, in another layout
            state = copy.deepcopy(slots.state_dict())
            for parts in state["state"].values():
                parts |= {name: part.contiguous() for name, part in parts.items()}
            weights = [nn.Parameter(laid_out(weight.detach(), data.draw(ORDERS))) for weight in weights]
            slots = Greedy(weights, k=k, seed=1, **sgd)
            slots.load_state_dict(state)
        for weight, expected in zip(weights, theirs, strict=True):
            assert torch.equal(weight, expected), f"{list(weight.shape)}, a = {slots.a[weight]}"


def test_a_grouped_convolution_that_is_channels_last_trains_as_one_that_is_not():
    """Its gradient comes in other strides than its weight's, of which the dimensions of length 1 have any."""
    images = torch.rand(4, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    trained = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer = nn.Conv2d(8, 8, 3, groups=8, bias=False).to(memory_format=memory_format)
        slots = Greedy(layer.parameters(), k=8, seed=0, lr=0.5, momentum=0.9)
        for _ in range(5):
            slots.zero_grad()
            layer(images.to(memory_format=memory_format)).square().mean().backward()
            slots.step()
        trained.append((layer.weight.detach(), slots.state[layer.weight]["b"]))
    (row_major, b), (channels_last, other_b) = trained
    torch.testing.assert_close(b, other_b, rtol=1e-4, atol=1e-6)
    assert torch.equal(row_major, channels_last)
    assert 0 < b.abs().max() < 100


def test_a_gradient_in_its_weight_s_layout_is_not_copied():
    for order in ("row-major", "channels-last"):
        weight = nn.Parameter(laid_out(torch.zeros(8, 4, 3, 3), order))
        slots = Greedy([weight], k=2, seed=0, lr=0.1)
        weight.grad = torch.zeros_like(weight)
        assert slots._layer(weight, 1.0).gradient is weight.grad


@pytest.mark.parametrize("rule", [Greedy, Probabilistic, Supermask])
@pytest.mark.parametrize("change", ["float64", "another shape", "a part"])
def test_a_weight_that_its_optimizer_can_no_longer_train_is_refused_at_the_next_step(rule, change):
    weight = nn.Parameter(torch.zeros(4, 6))
    optimizer = rule([weight], k=1, seed=0, lr=0.1)
    replaced = {
        "float64": torch.zeros(4, 6).double(),
        "another shape": torch.zeros(6),
        "a part": torch.zeros(4, 9)[:, :6],
    }
    weight.data = replaced[change]
    weight.grad = torch.ones_like(weight)
    with pytest.raises(
        RuntimeError, match="no longer fills its memory" if change == "a part" else "move the network first"
    ):
        optimizer.step()


def test_a_sparse_gradient_is_refused_in_words():
    table = nn.Embedding(5, 3, sparse=True)
    slots = Greedy(table.parameters(), k=2, seed=0, lr=0.1)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(RuntimeError, match="has to be dense"):
        slots.step()


def test_layers_without_a_gradient_keep_their_scores():
    """As torch's SGD leaves them: weight decay moves nothing of a frozen layer."""
    weights = [nn.Parameter(torch.zeros(20, 30).double()) for _ in range(2)]
    slots = Greedy(weights, k=8, seed=0, lr=0.5, momentum=0.9, weight_decay=0.1)
    before = weights[1].detach().clone()
    for _ in range(20):
        weights[0].grad = torch.ones_like(weights[0])
        slots.step()
    assert slots.a[weights[0]] < 1
    assert slots.a[weights[1]] == 1
    assert torch.equal(weights[1], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("decay", "steps"), [(0.5, 1080), (0.99, 165)])
def test_what_ties_at_the_start_ties_however_small_a_has_become(dtype, decay, steps):
    """To the smallest number that there is, from which a half takes nothing, or to 0."""
    generator = torch.Generator().manual_seed(0)
    options, scores = torch.rand(500, 8, generator=generator) - 0.5, torch.randint(3, (500, 8), generator=generator)
    ties = (scores == scores.amax(1, keepdim=True)).sum(1) > 1
    assert 100 < ties.sum() < 500
    weight = nn.Parameter(torch.zeros(500, 1, dtype=dtype))
    slots = offered(weight, options, scores, lr=1.0, weight_decay=decay)
    first = options.gather(1, scores.argmax(1, keepdim=True)).to(dtype)
    assert torch.equal(weight, first)
    smallest = 1.0
    for _ in range(steps):
        weight.grad = torch.zeros_like(weight)
        slots.step()
        a = slots.a[weight]
        assert torch.equal(weight, first if a else options[:, :1].to(dtype)), f"a = {a}"
        smallest = a or smallest
    assert smallest < 1e-300
    assert slots.a[weight] == (5e-324 if decay == 0.5 else 0)


def test_where_a_is_zero_the_sign_of_b_decides_and_the_first_option_where_it_is_zero():
    weight = nn.Parameter(torch.zeros(300, 1).double())
    slots = Greedy([weight], k=8, seed=0, lr=1.0, weight_decay=1.0)
    weight.grad = torch.tensor([-1.0, 0.0, 1.0]).double().repeat(100)[:, None]
    slots.step()
    assert slots.a[weight] == 0
    options = torch.from_numpy(slots.options[weight].whole()[0]).double()
    expected = torch.stack([options.amax(1)[0::3], options[1::3, 0], options.amin(1)[2::3]], 1).view(300, 1)
    assert torch.equal(weight, expected)


@given(a=st.floats(5e-324, 2), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_units_keep_the_smallest_breakpoint_and_change_no_comparison(a, dtype):
    unit, scale = units(-a, dtype)
    assert math.log2(unit).is_integer()
    assert scale >= min(a, 1)
    assert torch.tensor(torch.finfo(dtype).tiny, dtype=dtype) * scale > 0
    if a >= torch.finfo(dtype).tiny:  # of a smaller a it takes the smallest normal number
        assert scale / unit == a


def test_weights_of_a_loaded_network_are_selected_again_where_there_is_no_gradient_too():
    network = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False))
    slots = Greedy(network.parameters(), k=8, seed=0, lr=0.5)
    selected = copy.deepcopy(network.state_dict())
    network.load_state_dict({name: torch.zeros_like(weight) for name, weight in selected.items()})
    slots.step()
    assert all(torch.equal(weight, selected[name]) for name, weight in network.state_dict().items())


def test_a_diverged_connection_has_one_of_its_options():
    weight = nn.Parameter(torch.zeros(30, 20))
    slots = Greedy([weight], k=8, seed=0, lr=0.5, momentum=0.9)
    options = torch.from_numpy(slots.options[weight].whole()[0]).view(30, 20, 8)
    for number in (math.inf, -math.inf, math.nan):
        weight.grad = torch.full_like(weight, number)
        slots.step()
        assert (options == weight.detach()[..., None]).any(-1).all()


def test_a_learning_rate_can_be_a_tensor():
    weights = [nn.Parameter(torch.zeros(9, 7)) for _ in range(2)]
    rates = (torch.tensor(0.5), 0.5)
    optimizers = [
        Greedy([weight], k=8, seed=0, lr=lr, weight_decay=0.1) for weight, lr in zip(weights, rates, strict=True)
    ]
    for seed in range(5):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = torch.randn(9, 7, generator=torch.Generator().manual_seed(seed))
            optimizer.step()
    assert torch.equal(*weights)
    assert len(set(optimizers[0].a.values()) | set(optimizers[1].a.values())) == 1


@pytest.mark.parametrize("order", ["row-major", "channels-last"])
def test_a_state_comes_back_in_its_weight_s_layout(order):
    weight = nn.Parameter(laid_out(torch.zeros(8, 4, 3, 3), order))
    optimizer = Supermask([weight], seed=0, lr=0.5, momentum=0.9)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0] = {name: part.contiguous() for name, part in state["state"][0].items()}
    optimizer.load_state_dict(state)
    assert {part.stride() for part in optimizer.state[weight].values()} == {weight.stride()}


def test_the_closure_of_a_step_gives_its_loss():
    layer = nn.Linear(6, 5, bias=False)
    slots = Greedy(layer.parameters(), k=8, seed=0, lr=0.5)

    def closure():
        slots.zero_grad()
        loss = functional.mse_loss(layer(torch.ones(2, 6)), torch.ones(2, 5))
        loss.backward()
        return loss

    assert slots.step(closure) > 0
