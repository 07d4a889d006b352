"""What a recipe asks of the machine reaches torch, and nothing of it changes weights' type or a CPU's results."""

from pathlib import Path

import pytest
import torch
from torch import nn

from slotbench import recipes
from slotbench.training import device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def as_it_was():
    threads = torch.get_num_threads()
    yield
    device.prepare(threads)


@pytest.mark.parametrize(("precision", "rounding"), [("float32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_only_tf32_lets_a_gpu_round_its_factors(precision, rounding):
    device.prepare(1, precision)
    assert torch.backends.cuda.matmul.fp32_precision == rounding
    assert torch.backends.cudnn.conv.fp32_precision == rounding  # type: ignore[attr-defined]
    device.prepare(1)
    again = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    assert again == "ieee", "a later cell's own setting counts"


def test_algorithms_are_never_chosen_by_the_clock():
    device.prepare(1)
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic


def test_deterministic_makes_torch_refuse_what_does_not_repeat_itself():
    images = torch.rand(1, 1, 4, 4, requires_grad=True)
    for deterministic in (False, True, False):
        device.prepare(1, deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() == deterministic
    device.prepare(1, deterministic=True)
    with pytest.raises(RuntimeError, match="deterministic"):
        nn.functional.max_unpool2d(images, torch.zeros(1, 1, 4, 4, dtype=torch.int64), 2).sum().backward()


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_products_are_of_the_recipes_precision_and_gradients_of_the_weights(precision):
    layer = nn.Linear(20, 10, bias=False)
    images = torch.rand(5, 20)
    with device.autocast(precision, CPU):
        outputs = layer(images)
    outputs.float().sum().backward()
    assert outputs.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32
    if precision != "bf16":
        assert torch.equal(outputs, images @ layer.weight.T)


def test_convolutions_are_channels_last_and_products_as_they_were():
    convolution, product = nn.Conv2d(3, 4, 3), nn.Linear(20, 10)
    values = convolution.weight.clone()
    device.place(nn.Sequential(convolution, product), CPU)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(convolution.weight, values)
    assert product.weight.is_contiguous()


@pytest.mark.parametrize("precision", ["tf32", "float32", "tf32", "bf16"])
def test_what_reads_the_rounding_by_its_older_name_can(precision):
    device.prepare(1, precision)
    assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32")
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")


def test_each_cells_peak_of_memory_is_its_own():
    device.prepare(1)
    large = torch.ones(2**25)
    peak = device.peak_bytes(CPU)
    assert peak > 2**27
    del large
    device.prepare(1)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        pytest.skip("this system forgets no peak")
    assert device.peak_bytes(CPU) < peak - 2**26


def test_a_recipe_names_them(tmp_path, monkeypatch):
    settings = {"epochs": 1, "learning_rate": 0.1, "option_bound": 1, "score_bounds": (1, 1), "evaluate_by": "highest"}
    recipe = recipes.Recipe(**settings)
    assert (recipe.precision, recipe.deterministic) == ("float32", False)
    assert recipes.Recipe(**settings, precision="bf16", deterministic=True).deterministic
    with pytest.raises(ValueError, match="precision"):
        recipes.Recipe(**settings, precision="float16")


@pytest.mark.parametrize(("rows", "inner", "columns"), [(128, 784, 300), (300, 128, 784), (500, 300, 100), (1, 10, 10)])
def test_whatever_multiplies_a_cpus_matrices_rounds_no_float32_factor(rows, inner, columns):
    device.prepare(1)
    factor = torch.rand(rows, inner)
    assert torch.equal(factor @ torch.eye(inner), factor)
    other = torch.rand(columns, inner)
    exact = factor.double() @ other.double().T
    for product in (factor @ other.T, nn.functional.linear(factor, other)):
        torch.testing.assert_close(product.double(), exact, rtol=1e-5, atol=1e-5)
