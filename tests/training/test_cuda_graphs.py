"""The loss of a batch, and what a GPU's graphs of it may not change."""

import gc
import weakref
from importlib import import_module

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from slotbench.selection import SELECTIONS
from slotbench.training import cuda_graphs

ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    convolution, product = nn.Conv2d(1, 4, 3, bias=False), nn.Linear(144, 10, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Dropout(0.5), product)


def batch(size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    return (
        torch.randint(256, (size, 1, 8, 8), generator=generator, dtype=torch.uint8),
        torch.randint(10, (size,), generator=generator),
    )


def test_it_is_the_cross_entropy_of_scaled_or_normalised_images():
    model = network().eval()
    images, labels = batch()
    pixels = images.float() / 255
    mean, std = torch.tensor([[[0.3]]]), torch.tensor([[[0.2]]])
    torch.testing.assert_close(
        cuda_graphs.Loss(model, (None, None), "float32")(images, labels), cross_entropy(model(pixels), labels)
    )
    torch.testing.assert_close(
        cuda_graphs.Loss(model, (mean, std), "float32")(images, labels),
        cross_entropy(model((pixels - mean) / std), labels),
    )


def test_in_bf16_it_is_nearly_the_same_and_still_float32():
    model = network().eval()
    half, full = (cuda_graphs.Loss(model, (None, None), precision)(*batch()) for precision in ("bf16", "float32"))
    assert half.dtype == torch.float32
    assert 0 < abs(half - full) < 0.02


def eagerly(body, _device):
    """Stands in for `cuda_graphs.record` on a CPU: a replay runs the body, and writes where a graph would."""
    for _ in range(cuda_graphs.WARM_UPS):
        body()
    outputs = body()

    def replay():
        gradients = [weight.grad for weight in body.__self__.weights]
        for output, value in zip(outputs, [tensor.clone() for tensor in body()], strict=True):
            output.copy_(value)
        for weight, gradient in zip(body.__self__.weights, gradients, strict=True):
            weight.grad = gradient

    return outputs, replay


def test_on_a_cpu_nothing_is_captured():
    loss = cuda_graphs.Loss(network(), (None, None), "float32")
    assert cuda_graphs.passes(loss, *batch()) == loss.passes


def test_capturing_leaves_buffers_gradients_and_the_generator_as_they_were(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "record", eagerly)
    model = network()
    loss = cuda_graphs.Loss(model, (None, None), "float32")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    cuda_graphs.OneGraph(loss, *batch())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("selection", sorted(SELECTIONS))
def test_one_graph_trains_to_the_bits_of_the_plain_path_for_every_rule(selection, monkeypatch):
    """Batches of another size, a change of rate, dropout and batch normalisation included."""
    monkeypatch.setattr(cuda_graphs, "record", eagerly)
    module, _, rule = SELECTIONS[selection].optimizer.partition(":")
    trained = []
    for graph in (False, True):
        model = network().to(memory_format=torch.channels_last).train()
        k = 3 if SELECTIONS[selection].has_options else 1
        optimizer = getattr(import_module(f"slotbench.selection.{module}"), rule)(
            model.parameters(), k=k, seed=0, lr=0.1, momentum=0.9, weight_decay=0.01
        )
        loss = cuda_graphs.Loss(model, (None, None), "float32")
        passes = cuda_graphs.OneGraph(loss, *batch()) if graph else loss.passes
        optimizer.train()
        losses = []
        for number, size in enumerate((16, 16, 5, 16)):
            torch.manual_seed(number)
            losses.append(passes(*batch(size)).clone())
            optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)
            optimizer.step()
            optimizer.zero_grad()
        trained.append([*losses, *model.state_dict().values()])
    assert all(torch.equal(plain, graphed) for plain, graphed in zip(*trained, strict=True))


def test_nothing_is_collected_while_a_graph_is_captured():
    class Cycle:
        itself: object

    cycle = Cycle()
    cycle.itself = cycle
    gone = weakref.ref(cycle)
    del cycle
    with cuda_graphs.uncollected():
        assert gone() is None, "an earlier graph has gone before"
        assert not gc.isenabled()
    assert gc.isenabled()


@ON_A_GPU
def test_a_graph_trains_as_the_network_does_batches_of_another_size_included():
    device = torch.device("cuda")
    ours, theirs = network().to(device).train(), network().to(device).train()
    loss = cuda_graphs.Loss(theirs, (None, None), "float32")
    graphed = cuda_graphs.passes(
        cuda_graphs.Loss(ours, (None, None), "float32"), *(tensor.to(device) for tensor in batch())
    )
    assert isinstance(graphed, cuda_graphs.OneGraph)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (ours, theirs)]
    for size in (16, 16, 5, 16):
        images, labels = (tensor.to(device) for tensor in batch(size))
        losses = []
        for passes, optimizer in zip((graphed, loss.passes), optimizers, strict=True):
            torch.manual_seed(size)
            losses.append(passes(images, labels).clone())
            optimizer.step()
            optimizer.zero_grad()
        torch.testing.assert_close(*losses)
    for tensor, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, other)
