"""What Snakemake would run, and why, as it says itself; without torch, whatever the interpreter."""

import os
import subprocess
import sys

import pytest

from slotbench.cells import Cell
from slotbench.results.plan import Plan
from tests.support.project import CELLS, ROOT, Tree

QUICK = ("--configfile", "config/quick.yaml")
GREEDY = Cell("quick", "digits", "lenet", "greedy", 8, "none", 0)
FINETUNED = Cell("quick", "digits", "lenet", "greedy", 8, "e4", 0)


@pytest.fixture
def finished(tmp_path):
    tree = Tree(tmp_path)
    tree.finish()
    assert tree.trained(*QUICK) == set()
    return tree


def test_a_record_that_is_gone_is_trained_again_parents_and_finetuned_ones_too(finished):
    for cell in (GREEDY, FINETUNED):
        content = finished.record(cell).read_bytes()
        finished.record(cell).unlink()
        assert finished.trained(*QUICK) == {cell}
        finished.record(cell).write_bytes(content)
        os.utime(finished.record(cell), (0, 0))  # as `cp -p` of an older copy
        assert finished.trained(*QUICK) == set()


def test_a_job_says_why_in_snakemakes_own_words(finished):
    code = finished.folder / "slotbench" / "selection" / "probabilistic.py"
    code.write_text(code.read_text(encoding="utf-8") + "\n\nCHANGED = 1\n", encoding="utf-8")
    done = finished.snakemake("-n", *QUICK)
    cell = Cell("quick", "digits", "lenet", "probabilistic", 2, "none", 0)
    assert f": train quick/{cell} (code changed: selection/probabilistic)" in done.stdout + done.stderr
    assert "Forced execution" not in done.stdout + done.stderr


def test_without_its_checkpoint_a_parent_is_trained_for_a_child_that_is_due(finished):
    finished.record(FINETUNED).unlink()
    for path in finished.folder.rglob("*.safetensors"):
        path.unlink()
    assert finished.trained(*QUICK) == {GREEDY, FINETUNED}
    done = finished.snakemake("-n", *QUICK)
    assert f"train quick/{GREEDY} (checkpoint e4 is not there" in done.stdout + done.stderr


def test_seed_0_of_every_comparison_comes_first(tmp_path):
    assert [cell.seed for cell in Plan(_run(), tmp_path).due()] == sorted(cell.seed for cell in CELLS)


def _run():
    from slotbench import config

    return config.load(ROOT / "config" / "quick.yaml")


def test_the_code_of_another_folder_is_told_in_one_sentence_before_anything_runs(finished, tmp_path_factory):
    """As in a copied clone whose environment imports the first one's code; the workflow runs the code beside it."""
    tree = Tree(tmp_path_factory.mktemp("elsewhere"))

    def ran(*command: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(finished.folder), "PYTHONSAFEPATH": "1"}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tree.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

    told = ran("slotbench", "cells", "config/quick.yaml").stderr
    assert told.startswith(f"slotbench: the code that runs lies in {finished.folder.resolve()}, not in this checkout")
    assert told.count("\n") == 1
    planned = ran("snakemake", "-n", "-p", *QUICK)
    assert f"PYTHONPATH={tree.folder.resolve()}" in planned.stdout + planned.stderr


def test_git_s_own_variables_change_nothing(tmp_path):
    """A hook, and `git rebase --exec`, set GIT_DIR for all that they start."""
    program = "from slotbench.results import provenance; print(provenance.commit())"
    plain, hooked = (
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, {"GIT_DIR": str(tmp_path), "GIT_WORK_TREE": str(tmp_path)})
    )
    assert plain == hooked
