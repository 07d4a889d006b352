"""Snakemake itself killed in mid-run; the next one goes on, after `snakemake --unlock` where it was SIGKILL."""

import os
import signal
import sys

import pytest

from tests.support.program import Program, cell, ended, states, until
from tests.support.records import same

CELL = cell(k=8)
RECORD = f"results/killed/cells/{CELL.path}"
SNAKEMAKE = (RECORD, "--configfile", "killed.yaml", "--cores", "1")


@pytest.fixture
def tree(tmp_path) -> Program:
    program = Program(tmp_path)
    (tmp_path / "killed.yaml").write_text(
        "run: killed\nrecipe: faults\ngrids:\n"
        "  - {dataset: digits, architecture: lenet, selection: greedy, k: 8, seed: 0}\n"
    )
    return program


@pytest.mark.parametrize(
    ("kill", "number"),
    [(os.kill, signal.SIGKILL), (os.killpg, signal.SIGTERM)],
    ids=["alone, as for want of memory", "with all it started, as a cluster ends a job"],
)
def test_the_next_snakemake_goes_on(kill, number, tree, program):
    out = tree.folder / RECORD
    process = tree.start(*SNAKEMAKE, command=("setsid", sys.executable, "-m", "snakemake"))
    until(lambda: len(states(out)) >= 2, process)
    kill(process.pid, number)
    ended(process)
    if number == signal.SIGKILL:
        assert "--unlock" in tree.snakemake(*SNAKEMAKE).stderr
        assert tree.snakemake("--unlock").returncode == 0
    done = tree.snakemake(*SNAKEMAKE)
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELL))
