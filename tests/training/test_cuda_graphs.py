"""The loss of a batch, and what a GPU's graphs of it may not change."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from slotbench.training import cuda_graphs

ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 10))


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


def test_on_a_cpu_nothing_is_captured():
    loss = cuda_graphs.Loss(network(), (None, None), "float32")
    assert cuda_graphs.captured(loss, *batch()) is loss


def test_capturing_leaves_buffers_and_the_generator_as_they_were(monkeypatch):
    """Torch's warm-up, as its documentation describes it, on a CPU."""

    def warm_up(module, sample):
        for _ in range(3):
            torch.autograd.grad(module(*sample), list(module.parameters()))
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", warm_up)
    model = network()
    loss = cuda_graphs.Loss(model, (None, None), "float32")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generator = torch.get_rng_state()
    graphed = cuda_graphs.graph(loss, *batch())
    assert graphed is not loss
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@ON_A_GPU
def test_a_graph_trains_as_the_network_does_batches_of_another_size_included():
    device = torch.device("cuda")
    ours, theirs = network().to(device).train(), network().to(device).train()
    loss = cuda_graphs.Loss(theirs, (None, None), "float32")
    graphed = cuda_graphs.captured(
        cuda_graphs.Loss(ours, (None, None), "float32"), *(one.to(device) for one in batch())
    )
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (ours, theirs)]
    for size in (16, 16, 5, 16):
        images, labels = (one.to(device) for one in batch(size))
        losses = []
        for function, optimizer in zip((graphed, loss), optimizers, strict=True):
            torch.manual_seed(size)
            losses.append(function(images, labels))
            losses[-1].backward()
            optimizer.step()
            optimizer.zero_grad()
        torch.testing.assert_close(*losses)
    for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
