"""What docs/gpu.md plans for a machine without git is done on a CPU: from a clone to a plain copy, and home again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
THERE, HOME = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.M | re.S)[:2]
PLANNED = [
    command
    for minute in re.findall(r"^\| \d+ \| (.*?) \|", PAGE, re.M)
    for command in re.findall(r"`((?:python|slotbench) .*?)`", minute)
]
CELLS = "{dataset: digits, architecture: lenet, selection: [greedy, learned], k: 2, seed: 0}"
STOPPED = """
import pathlib, sys
from slotbench import cli
from slotbench.cells import Cell
from slotbench.training.train import train_cell
cell = Cell("quick", "digits", "lenet", "learned", 1, "none", 0)
def stop(epoch, *_):
    if epoch == 3:
        raise KeyboardInterrupt
try:
    train_cell(cell, pathlib.Path("results/paper/cells", cell.path), pathlib.Path("data"), None, stop)
except KeyboardInterrupt:
    sys.argv = {words!r}
    cli.main()
"""


class Clone:
    """A clone whose config.yaml has two short cells, a copy of it as the page makes it, and a machine for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        for name in ("slotbench", "config", "benchmarks", "tests"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.folder)
        (self.folder / "config" / "config.yaml").write_text(f"run: paper\nrecipe: quick\ngrids:\n  - {CELLS}\n")
        (self.folder / "results").mkdir()
        commands = folder / "bin"
        commands.mkdir()
        (commands / "slotbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m slotbench "$@"\n')
        (commands / "slotbench").chmod(0o755)
        (folder / "nothing").mkdir()
        self.here = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(self.folder)}
        self.there = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.there |= {"PATH": str(folder / "nothing")}

    def type(self, block: str) -> str:
        return ran(["bash", "-ec", block], self.folder, self.here)

    def on_the_machine(self, *words: str) -> str:
        return ran([sys.executable, *words], self.folder / "gpu-copy", self.there)


def ran(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Clone:
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    return Clone(tmp_path)


@pytest.mark.slow
def test_a_cell_that_a_plain_copy_trains_without_git_counts_at_home_and_a_state_goes_on_there(clone):
    clone.type("git init -q && git add . && git -c user.name=A -c user.email=a@b commit -qm all")
    commit = clone.type("git rev-parse HEAD").strip()
    clone.type("slotbench fetch digits")
    clone.type(THERE)

    assert "python -m slotbench run config/config.yaml --minutes 4" in PLANNED
    assert "python -m slotbench state pack paper" in PLANNED
    clone.on_the_machine("-c", STOPPED.format(words=["slotbench", "state", "pack", "config/config.yaml"]))
    shutil.rmtree(clone.folder / "gpu-copy" / "results" / "paper" / "cells" / "quick" / "digits" / "lenet" / "learned")
    config = clone.folder / "gpu-copy" / "config" / "config.yaml"
    config.write_text(config.read_text().replace("[greedy, learned]", "greedy"))
    clone.on_the_machine("-m", "slotbench", "run", "config/config.yaml", "--minutes", "4")

    told = clone.type(HOME)
    assert "learned/k1/none/seed0: goes on from epoch" in told
    assert "1 done" in told
    (record,) = (clone.folder / "results").rglob("seed0.json")
    assert f'"commit": "{commit}"' in record.read_text()
    assert '"dirty": false' in record.read_text()
    assert clone.type(f"slotbench why '{record}'").strip().endswith(": up to date")


def test_what_the_plan_types_on_the_machine_is_there(clone):
    """Programs and tests by what they import, commands by their options; none is run."""
    shutil.copytree(clone.folder, clone.folder / "gpu-copy")
    assert len(PLANNED) == 8
    for command in PLANNED:
        _python, *words = command.split()
        if words[1] == "pytest":
            assert "test" in clone.on_the_machine(*words, "--collect-only", "-p", "no:cacheprovider")
        else:
            assert "usage" in clone.on_the_machine(*words, "--help").lower()
