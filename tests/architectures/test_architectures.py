"""The paper's networks, held to the numbers of weights that it and the lottery-ticket papers publish."""

import pytest
import torch
from torch import nn

from slotbench.architectures import ARCHITECTURES, build

AUTHORS_PADDING = (0, 0, 1)


@pytest.mark.parametrize(
    ("name", "millions"), [("lenet", 0.2662), ("conv2", 4.3), ("conv4", 2.4), ("conv6", 2.3), ("vgg19", 20.0)]
)
def test_has_the_published_number_of_weights(name, millions):
    assert sum(weight.numel() for weight in build(name).parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_lenet_is_784_300_100_10():
    assert [tuple(weight.shape) for weight in build("lenet").parameters()] == [(300, 784), (100, 300), (10, 100)]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("padding", [(1, 1, 1), AUTHORS_PADDING])
def test_maps_images_to_ten_logits_without_biases_or_learned_normalisation(name, padding):
    network = build(name, padding=padding, dropout=0.5)
    logits = network(torch.rand(2, *ARCHITECTURES[name].input_shape))
    assert logits.shape == (2, 10)
    assert {weight.dim() for weight in network.parameters()} <= {2, 4}
    logits.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("name", ["conv2", "conv4", "conv6"])
def test_conv_drops_out_before_each_of_the_first_two_linear_layers(name):
    modules = [type(module) for module in build(name, dropout=0.3).children()]
    places = [place for place, kind in enumerate(modules) if kind is nn.Dropout]
    linear = [place for place, kind in enumerate(modules) if kind is nn.Linear]
    assert places == [place - 1 for place in linear[:2]]
    assert all(module.p == 0.3 for module in build(name, dropout=0.3).children() if isinstance(module, nn.Dropout))


def test_vgg19_has_sixteen_normalised_convolutions_and_one_linear_layer():
    modules = list(build("vgg19").children())
    assert sum(isinstance(module, nn.Conv2d) for module in modules) == 16
    assert sum(isinstance(module, nn.Linear) for module in modules) == 1
    assert sum(isinstance(module, nn.BatchNorm2d) and not module.affine for module in modules) == 16
    assert sum(isinstance(module, nn.MaxPool2d) for module in modules) == 4


def rectified_before_pooling(network: nn.Sequential) -> nn.Sequential:
    """The network as the paper writes it: a rectifier after each convolution, before any pooling."""
    modules: list[nn.Module] = []
    for module in network:
        if isinstance(module, nn.ReLU) and isinstance(modules[-1], nn.MaxPool2d):
            modules.insert(-1, nn.ReLU())
        else:
            modules.append(nn.ReLU() if isinstance(module, nn.ReLU) else module)
    return nn.Sequential(*modules)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv2", "conv4", "vgg19"])
@pytest.mark.parametrize("bf16", [False, True])
def test_rectifying_after_pooling_changes_no_bit(name, bf16):
    ours = build(name, padding=(1, 1, 1), dropout=0.5)
    assert any(isinstance(module, nn.MaxPool2d) for module in ours.children())
    images, passes = torch.rand(4, 3, 32, 32), []
    for network in (ours, rectified_before_pooling(ours)):
        network.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images)
        logits.float().square().sum().backward()
        passes.append([logits.detach(), *(weight.grad.clone() for weight in network.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*passes, strict=True))
