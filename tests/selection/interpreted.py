"""The kernels of a GPU, run by Triton's interpreter: test_kernel_gpu.py runs this file in a process of its own."""

import ctypes
import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from triton.runtime import interpreter

from slotbench.selection import kernel, kernel_gpu, probabilistic
from slotbench.selection.greedy import Greedy
from slotbench.selection.probabilistic import Probabilistic
from tests.support.textbook import compare

DEVICE = torch.device("cpu")


def of_c(name: str, number: type) -> np.ufunc:
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.restype, function.argtypes = number, [number] * 3
    return np.frompyfunc(function, 3, 1)


FMA = {np.dtype("float32"): of_c("fmaf", ctypes.c_float), np.dtype("float64"): of_c("fma", ctypes.c_double)}


@pytest.fixture(autouse=True)
def an_fma_that_rounds_once(monkeypatch):
    """As a GPU's does, and C's; the interpreter's own rounds twice in most versions of Triton."""

    def create_fma(_builder, x, y, z):
        product = FMA[z.data.dtype](x.data, y.data, z.data)
        return interpreter.TensorHandle(np.asarray(product, z.data.dtype), z.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_fma", create_fma)


@pytest.fixture
def step_of_a_gpu(monkeypatch):
    monkeypatch.setattr(kernel, "greedy_step_of", lambda weight: kernel_gpu.greedy_step)


compiled = pytest.mark.skipif(kernel.library() is None, reason="no C compiler on this machine")


def test_it_can_be_tried_out():
    kernel_gpu.try_out(DEVICE)


@pytest.mark.usefixtures("step_of_a_gpu")
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
def test_selects_the_same_while_a_goes_through_zero():
    slots = compare("linear", 8, steps=40, lr=0.1, momentum=0.9, weight_decay=0.5)
    assert len(slots._climbers) == 2 * len(slots.options), "a never was negative"


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "weight_decay": 1e-2}, {"momentum": 0.9, "nesterov": True}])
def test_gives_the_same_bits_as_the_compiled_step_of_a_cpu(dtype, settings, monkeypatch):
    weights = [nn.Parameter(torch.empty(70, 30, dtype=dtype)) for _ in range(2)]
    on_gpu, on_cpu = (Greedy([weight], k=64, seed=0, lr=0.5, **settings) for weight in weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(15):
        for weight in weights:
            weight.grad = (
                torch.randn(70, 30, dtype=dtype, generator=generator) if weight is weights[0] else weights[0].grad
            )
        with monkeypatch.context() as patched:
            patched.setattr(kernel, "greedy_step_of", lambda weight: kernel_gpu.greedy_step)
            on_gpu.step()
        on_cpu.step()
        assert torch.equal(*weights)
        for name in ("b", "momentum"):
            assert torch.equal(on_gpu.state[weights[0]][name], on_cpu.state[weights[1]][name])


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("connections", "k"), [(1, 1), (7, 2), (300, 8), (513, 16), (9, 64)])
def test_draws_what_the_compiled_draw_of_a_cpu_and_torch_draw(dtype, connections, k):
    weight = nn.Parameter(torch.zeros(connections, dtype=dtype))
    sampler = Probabilistic([weight], k=k, seed=0, lr=30.0, momentum=0.9, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        weight.grad = torch.randn(connections, dtype=dtype, generator=generator) * 0.1
        sampler.step()
    options, initial = sampler._drawn[weight]
    b, a = sampler.state[weight]["b"], sampler.a[weight]
    different = set()
    seeds = (0, 1, -1, 12345, 2**63 - 1, -(2**63))
    for seed in seeds if k <= 8 else seeds[-2:]:  # the interpreter takes a second for many scores
        drawn = [torch.zeros(connections, dtype=dtype) for _ in range(2)]
        kernel.draw(drawn[0], b, options, initial, a, seed)
        kernel_gpu.draw(drawn[1], b, options, initial, a, seed)
        assert torch.equal(*drawn)
        assert torch.equal(drawn[0], probabilistic.chosen(sampler.scores(weight, a), options, seed).view(-1))
        different.add(tuple(drawn[0].tolist()))
    assert len(different) > 1 or k == 1


def test_a_rule_draws_by_it(monkeypatch):
    calls = []

    def draw(*arguments):
        calls.append(arguments)
        kernel_gpu.draw(*arguments)

    weights = [nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(2)]
    torch.manual_seed(0)
    Probabilistic([weights[0]], k=8, seed=0, lr=1.0)
    monkeypatch.setattr(kernel, "draw_of", lambda weight: draw)
    torch.manual_seed(0)
    Probabilistic([weights[1].requires_grad_()], k=8, seed=0, lr=1.0)
    assert len(calls) == 1
    assert torch.equal(*weights)


COMPILES = """
from types import SimpleNamespace

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

class H100:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = staticmethod(lambda: 0)
    get_current_stream = staticmethod(lambda device: 0)

driver.set_active(H100())
compiled = []
jit.JITFunction.__getitem__ = lambda self, grid: lambda *given, **named: compiled.append(
    self.warmup(*given, grid=grid, **named)
)

from slotbench.selection import kernel_gpu
from slotbench.selection.slots import Layer, Settings

kernel_gpu.try_out(torch.device("cpu"))
for dtype in (torch.float32, torch.float64):
    for connections in (1, 1000, 1024):
        numbers = torch.zeros(connections, dtype=dtype)
        climber = SimpleNamespace(entry=numbers.int(), low=numbers, high=numbers, levels=numbers, breakpoints=numbers)
        layer = Layer(numbers, numbers, numbers, numbers, 1.0)
        for momentum, decay, nesterov in ((0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.01, True)):
            kernel_gpu.greedy_step(layer, climber, Settings(0.1, momentum, decay, nesterov), (1.0, 1.0))
        for k in (1, 2, 64):
            options = torch.zeros(k, connections, dtype=dtype)
            kernel_gpu.draw(numbers, numbers, options, options, 1.0, -(2**63))
    if dtype == torch.float32:
        step, draw = compiled[-4], compiled[-1]

for code in (step.asm["ptx"], draw.asm["ptx"]):
    print(code.count("mul.f32") + code.count("mul.rn.f32"), code.count("fma.rn.f32"))
print(len(compiled))
"""


def test_compiles_for_a_gpu_without_fusing_what_is_rounded_twice():
    """To the machine code of an H100, which needs none at hand, by the very calls that launch there: Triton makes of a
    signature a function with names of its own, and of a 1 a constant. Of the step, a thread has 8 connections, and each
    6 products: momentum, b's unit, and a times the breakpoints around a level, before the climb and in it; and 3 fused
    ones. Of the draw it has 2: 3 fused ones, and the product of each in 3 loops; in 2 of these also the exponential's
    11, and at last the uniform number's 2."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run([sys.executable, "-c", COMPILES], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    step, drawing, (calls,) = (tuple(map(int, line.split())) for line in ran.stdout.splitlines())
    assert step == (8 * 6, 8 * 3)
    assert drawing == (2 * (3 + 2 * 11 + 2), 2 * 3)
    assert calls == 2 + 2 * 3 * (3 + 3)
