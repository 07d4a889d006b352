"""Which cells `snakemake -n` lists after an edit, in a tree of cells that were really trained."""

import os
import re

import pytest

from slotbench.cells import Cell
from tests.faults.program import Program

pytestmark = pytest.mark.xdist_group("rerun")  # trained once

CONFIG = """run: edits
recipe: quick
grids:
  - {dataset: digits, architecture: lenet, selection: [greedy, probabilistic, learned], k: 2, seed: 0}
  - {dataset: digits, architecture: lenet, selection: greedy, k: 2, finetune: e4, seed: 0}
"""
SNAKEMAKE = ("--configfile", "edits.yaml", "--cores", "2")
ALL = {"greedy", "finetuned", "probabilistic", "learned"}
GREEDY = {"greedy", "finetuned"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Program:
    program = Program(tmp_path_factory.mktemp("edits"))
    (program.folder / "edits.yaml").write_text(CONFIG)
    done = program.snakemake(*SNAKEMAKE)
    assert done.returncode == 0, done.stderr
    assert program.planned(*SNAKEMAKE) == {}
    return program


@pytest.fixture
def edited(tree):
    """Changes a file, and after the test puts it back as it was, its time included."""
    path, before, content = None, None, None

    def edit(file: str, old: str, new: str) -> None:
        nonlocal path, before, content
        path = tree.folder / file
        before, content = path.stat(), path.read_text()
        assert re.search(old, content), f"{file}: the edit finds nothing to change"
        path.write_text(re.sub(old, new, content))

    yield edit
    path.write_text(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


EDITS = [
    ("comment", "slotbench/selection/greedy.py", r"^import torch\n", "import torch  # a comment\n", set(), False),
    ("docstring", "slotbench/training.py", r'\A"""', '"""More: ', set(), False),
    ("rename of a local", "slotbench/selection/greedy.py", r"\bchanged\b", "moved", GREEDY, False),
    ("probabilistic", "slotbench/selection/probabilistic.py", r"amax\(0\)", "amax(dim=0)", {"probabilistic"}, False),
    ("greedy", "slotbench/selection/greedy.py", r"a = abs\(a\)", "a = abs(a) + 0", GREEDY, False),
    ("staircase", "slotbench/selection/staircase.py", r"corner, reached", "reached, corner", GREEDY, False),
    ("architecture", "slotbench/architectures/lenet.py", "784, 300", "28 * 28, 300", ALL, False),
    ("another architecture", "slotbench/architectures/vgg19.py", r"\(64, 2\)", "(64, 3)", set(), False),
    ("data", "slotbench/data/batches.py", r"div_\(255\)", "div_(256)", ALL, False),
    ("figure", "slotbench/figures.py", r"\Z", "\nCHANGED = 1\n", set(), True),
    ("claims", "config/published.csv", r"\Z", "\n", set(), True),
    ("recipe", "config/recipes/quick.yaml", r"(selection: learned.*\n.*rate): 0.05", r"\1: 0.06", {"learned"}, False),
    ("recipe of a parent", "config/recipes/quick.yaml", "checkpoints: .4, 12.", "checkpoints: [4]", ALL, False),
    ("another recipe", "config/recipes/paper.yaml", "momentum: 0.9", "momentum: 0.8", set(), False),
    ("about", "config/recipes/quick.yaml", "A dozen", "Twelve", set(), True),
]


def name(path: str) -> str:
    cell = Cell.from_path(path)
    return "finetuned" if cell.parent else cell.selection


@pytest.mark.parametrize(("edit", "file", "old", "new", "trained", "redrawn"), EDITS, ids=[edit[0] for edit in EDITS])
def test_an_edit_runs_again_what_it_concerns_and_nothing_else(tree, edited, edit, file, old, new, trained, redrawn):
    edited(file, f"(?m){old}" if not old.startswith(r"\A") else old, new)
    plan = tree.planned(*SNAKEMAKE)
    assert {name(path) for path in plan.pop("train", set())} == trained
    assert set(plan) == ({"complete_report"} if trained or redrawn else set())


def test_why_names_what_has_changed(tree, edited):
    cells = "results/edits/cells/quick/digits/lenet"
    edited("slotbench/selection/greedy.py", r"a = abs\(a\)", "a = abs(a) + 0")
    told = {cell: tree.run("why", f"{cells}/{cell}/seed0.json") for cell in ("greedy/k2/none", "probabilistic/k2/none")}
    assert all(done.returncode == 0 for done in told.values())
    assert "slotbench.selection.greedy" in told["greedy/k2/none"].stdout
    assert "up to date" in told["probabilistic/k2/none"].stdout


def test_a_child_runs_again_though_only_its_parent_was_trained_before_the_kill(tree, edited):
    """Parent and child are to run; the parent has, and a kill then stops Snakemake."""
    parent = "results/edits/cells/quick/digits/lenet/greedy/k2/none/seed0.json"
    kept = {path: path.read_bytes() for path in (tree.folder / parent).parent.rglob("*") if path.is_file()}
    edited("config/recipes/quick.yaml", "batch: 32", "batch: 33")
    done = tree.snakemake(parent, *SNAKEMAKE)
    assert done.returncode == 0, done.stderr
    assert {name(path) for path in tree.planned(*SNAKEMAKE)["train"]} == ALL - {"greedy"}
    for path, content in kept.items():
        path.write_bytes(content)
