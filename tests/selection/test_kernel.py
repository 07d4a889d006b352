"""The compiled kernel: kept in the user's cache, built again where that is damaged, done without where it must be."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slotbench.selection import kernel

PROGRAM = """
import torch
import slotbench.training.device  # which spares torch's compiler
from slotbench.selection import kernel
print(kernel.path(torch.device("cpu")))
from slotbench.selection.probabilistic import Probabilistic
weight = torch.nn.Parameter(torch.zeros(50, 40))
torch.manual_seed(0)
sampler = Probabilistic([weight], k=8, seed=0, lr=20.0, momentum=0.9)
for _ in range(5):
    weight.grad = torch.randn(50, 40, generator=torch.Generator().manual_seed(1)) * 0.1
    sampler.step()
print(weight.detach().double().sum().item())
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")


def run(**environment: str | None) -> tuple[str, str, str]:
    """Which way selection runs, a sum over what it drew, and what it said, in a process with this environment."""
    changed = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=changed, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    way, drawn = ran.stdout.split()
    return way, drawn, ran.stderr


@functools.cache
def drawn_here() -> str:
    """What a process with the compiled kernel draws."""
    return run()[1]


def test_a_damaged_or_foreign_kernel_in_the_cache_is_built_again(tmp_path, monkeypatch):
    way, drawn, told = run(XDG_CACHE_HOME=str(tmp_path))
    assert (way, told) == ("compiled", "")
    (kept,) = (tmp_path / "slotbench").glob("*.so")
    whole = kept.read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    for damage in (whole[: len(whole) // 2], b"", b"another program's", flipped):
        kept.unlink()  # this process has it in its memory
        kept.write_bytes(damage)
        assert kernel.library.__wrapped__() is not None
        (again,) = (tmp_path / "slotbench").glob("*.so")
        assert again.read_bytes() not in (damage, b"")
        assert len(again.read_bytes()) == len(whole)
        kept = again
    kept.unlink()
    kept.write_bytes(flipped)
    assert run() == ("compiled", drawn, "")


def test_the_kernel_is_taken_from_the_cache_where_it_is_whole(tmp_path):
    run(XDG_CACHE_HOME=str(tmp_path))
    (kept,) = (tmp_path / "slotbench").glob("*.so")
    before = kept.stat().st_mtime_ns
    run(XDG_CACHE_HOME=str(tmp_path))
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("cache", ["/proc/nowhere", "a file"])
def test_without_a_cache_that_can_be_written_to_it_is_built_for_the_process_alone(cache, tmp_path):
    if cache == "a file":
        cache = str(tmp_path / "file")
        Path(cache).write_text("", encoding="utf-8")
    assert run(XDG_CACHE_HOME=cache)[0] == "compiled"


def test_a_user_without_a_home_and_a_passwd_entry_can_train(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None)\n"
        "import pwd; pwd.getpwuid = lambda number: (_ for _ in ()).throw(KeyError(number))\n"
        f"{PROGRAM}"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[0] == "compiled"
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lacking", ["no compiler", "one that fails"])
def test_without_a_compiler_it_draws_the_same_and_says_why_it_is_slower(lacking, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    if lacking == "one that fails":
        (folder / "cc").write_text("#!/bin/sh\necho 'no header at all' >&2\nexit 1\n")
        (folder / "cc").chmod(0o755)
    way, drawn, told = run(PATH=f"{folder}:/nowhere", XDG_CACHE_HOME=str(tmp_path))
    assert way == "torch"
    assert drawn == drawn_here()
    assert "slotbench: selection runs without its kernel, slower and to the same bits" in told
    assert ("no C compiler" if lacking == "no compiler" else "no header at all") in told
    assert len(told.splitlines()) == 1


def test_a_person_can_do_without_it():
    assert run(SLOTBENCH_KERNEL="0") == ("torch", drawn_here(), "")
