"""The kernels of a GPU, in Triton. Without a GPU Triton's interpreter runs them, wherever Triton can be imported."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from slotbench.selection import kernel
from slotbench.selection.greedy import Greedy
from slotbench.selection.probabilistic import Probabilistic

INTERPRETED = Path(__file__).with_name("interpreted.py")
with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


@with_triton
def test_they_select_what_a_cpu_selects_under_triton_s_interpreter():
    """In a process of its own: Triton reads the variable when it is imported, which may have happened here."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", str(INTERPRETED)],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTEST_ADDOPTS": ""},
        cwd=INTERPRETED.parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "passed" in ran.stdout


def test_a_failure_of_triton_is_said_and_selection_runs_by_torch(monkeypatch, capsys):
    class Broken:
        def __getattr__(self, name):
            raise RuntimeError("no Python.h\nand more")

    monkeypatch.setitem(sys.modules, "slotbench.selection.kernel_gpu", Broken())
    monkeypatch.setattr("slotbench.selection.kernel_gpu", Broken(), raising=False)
    kernel.gpu.cache_clear()
    try:
        device = torch.device("cuda", 7)
        assert [kernel.path(device) for _ in range(3)] == ["torch"] * 3
        told = capsys.readouterr().err
        assert told.splitlines() == [
            "slotbench: selection runs without Triton on cuda:7, which makes a step several times as long "
            "(RuntimeError: no Python.h)"
        ]
    finally:
        kernel.gpu.cache_clear()


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [Greedy, Probabilistic])
def test_a_gpu_gives_the_bits_of_a_cpu(rule, dtype):
    if kernel.library() is None:
        pytest.skip("no C compiler on this machine")
    weights = [nn.Parameter(torch.empty(70, 30, dtype=dtype, device=device)) for device in ("cuda", "cpu")]
    for weight in weights:
        torch.manual_seed(0)
        optimizer = rule([weight], k=64, seed=0, lr=0.5, momentum=0.9, weight_decay=1e-2)
        generator = torch.Generator().manual_seed(0)
        for _ in range(15):
            weight.grad = torch.randn(70, 30, dtype=dtype, generator=generator).to(weight)
            optimizer.step()
    assert kernel.path(weights[0].device) == "triton"
    assert torch.equal(weights[0].cpu(), weights[1])
