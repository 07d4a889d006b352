"""The step of a GPU selects what the textbook selects: run by Triton's interpreter where there is no GPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
pytest.importorskip("triton", reason="Triton is not on this machine; it comes with torch's builds for GPUs")

from slotbench.selection import kernel, kernel_gpu
from slotbench.selection.greedy import Greedy
from tests.support.textbook import compare

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def step_of_a_gpu(monkeypatch):
    monkeypatch.setattr(kernel, "greedy_step_of", lambda weights: kernel_gpu.greedy_step)


def test_it_can_be_tried_out():
    kernel_gpu.try_out(DEVICE)


@pytest.mark.usefixtures("step_of_a_gpu")
@pytest.mark.skipif(DEVICE.type == "cuda", reason="the oracle's networks are on the CPU")
@pytest.mark.parametrize(
    ("kind", "k", "settings"),
    [
        ("linear", 1, {}),
        ("linear", 8, {"momentum": 0.0}),
        ("linear", 64, {"weight_decay": 1e-3}),
        ("convolutional", 8, {"weight_decay": 1e-3, "nesterov": True}),
        ("channels-last", 3, {}),
    ],
)
def test_selects_what_the_textbook_selects(kind, k, settings):
    compare(kind, k, steps=40, schedule="cosine", **{"lr": 0.5, "momentum": 0.9} | settings)


@pytest.mark.usefixtures("step_of_a_gpu")
@pytest.mark.skipif(DEVICE.type == "cuda", reason="the oracle's networks are on the CPU")
def test_selects_the_same_while_a_goes_through_zero():
    slots = compare("linear", 8, steps=40, lr=0.1, momentum=0.9, weight_decay=0.5)
    assert len(slots._climbers) == 2 * len(slots.options), "a never was negative"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 1e-2}, {"momentum": 0.9, "nesterov": True}])
def test_gives_the_same_bits_as_the_compiled_step_of_a_cpu(dtype, settings, monkeypatch):
    if kernel.library() is None:
        pytest.skip("no C compiler on this machine")
    weights = [nn.Parameter(torch.empty(70, 30, dtype=dtype, device=one)) for one in (DEVICE, "cpu")]
    on_gpu, on_cpu = (Greedy([weight], k=64, seed=0, lr=0.5, **settings) for weight in weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        weights[1].grad = torch.randn(70, 30, dtype=dtype, generator=generator)
        weights[0].grad = weights[1].grad.to(DEVICE)
        with monkeypatch.context() as patched:
            patched.setattr(kernel, "greedy_step_of", lambda weights: kernel_gpu.greedy_step)
            on_gpu.step()
        on_cpu.step()
        assert torch.equal(weights[0].cpu(), weights[1])
        for name in ("b", "momentum"):
            assert torch.equal(on_gpu.state[weights[0]][name].cpu(), on_cpu.state[weights[1]][name])


def test_compiles_for_a_gpu_without_fusing_what_is_rounded_twice():
    """To the machine code of an H100, which needs none at hand. A thread has 8 connections, and each 5 products:
    momentum, and a times the breakpoints around a level, before the climb and in it."""
    program = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from slotbench.selection.kernel_gpu import step

numbers = ["weight", "gradient", "b", "momentum", "low", "high", "levels", "breakpoints"]
signature = dict.fromkeys(step.arg_names, "constexpr") | dict.fromkeys(numbers, "*fp32")
signature |= {"entry": "*i32", "connections": "i32"} | dict.fromkeys(["lr", "mu", "decay", "a"], "fp64")
settings = {"has_momentum": True, "nesterov": True, "decays": True, "block": 1024}
compiled = compile(ASTSource(step, signature, settings), GPUTarget("cuda", 90, 32), {"enable_fp_fusion": False})
code = compiled.asm["ptx"]
print(code.count("mul.f32") + code.count("mul.rn.f32"), code.count("fma.rn.f32"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == [str(8 * 5), str(8 * 3)], ran.stderr
