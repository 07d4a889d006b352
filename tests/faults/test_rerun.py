"""Which cells `snakemake -n` lists after an edit, in a tree of cells that were really trained."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slotbench.cells import Cell
from tests.support.program import Program

CONFIG = """run: edits
recipe: quick
grids:
  - {dataset: digits, architecture: lenet, selection: [greedy, probabilistic, learned], k: 2, seed: 0}
  - {dataset: digits, architecture: lenet, selection: greedy, k: 2, finetune: e4, seed: 0}
"""
SNAKEMAKE = ("--configfile", "edits.yaml", "--cores", "2")
CELLS = "results/edits/cells/quick/digits/lenet"
GREEDY = {"greedy", "finetuned"}
WITH_OPTIONS = GREEDY | {"probabilistic"}
ALL = WITH_OPTIONS | {"learned"}
ONLY_REPORT = {"report"}

EDITS = {
    "a comment": ("slotbench/selection/greedy.py", r"^import torch\n", "import torch  # a comment\n", set()),
    # Drawing is cheap and goes by file times: the report draws staircases, so it reads that module
    "a comment on stairs": ("slotbench/selection/staircase.py", r"^import numpy", "#\nimport numpy", ONLY_REPORT),
    "a docstring": ("slotbench/training/session.py", r'\A"""', '"""More: ', set()),
    "a local's name": ("slotbench/selection/greedy.py", r"\bchanged\b", "moved", GREEDY),
    "greedy selection": ("slotbench/selection/greedy.py", r"while len\(moving\):", "while len(moving) > 0:", GREEDY),
    "probabilistic selection": ("slotbench/selection/probabilistic.py", r"amax\(0\)", "amax(dim=0)", {"probabilistic"}),
    "the staircase": ("slotbench/selection/staircase.py", r"maximum\(_round", "fmax(_round", WITH_OPTIONS),
    "the architecture": ("slotbench/architectures/lenet.py", "784, 300", "28 * 28, 300", ALL),
    "another architecture": ("slotbench/architectures/vgg19.py", r"\(64, 2\)", "(64, 3)", set()),
    "data": ("slotbench/data/batches.py", r"div_\(255\)", "div_(256)", ALL),
    "a figure": ("slotbench/report/figures/accuracy.py", r"\Z", "\nCHANGED = 1\n", ONLY_REPORT),
    "what the paper claims": ("slotbench/report/claims.yaml", r"\Z", "\n", ONLY_REPORT),
    "what the paper published": ("slotbench/results/published.csv", r"\Z", "\n", ONLY_REPORT),
    "a value of the recipe": ("slotbench/recipes/quick.yaml", r"(learned}\n.*rate): 0.05", r"\1: 0.06", {"learned"}),
    "another recipe": ("slotbench/recipes/paper.yaml", "momentum: 0.9", "momentum: 0.8", set()),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Program:
    program = Program(tmp_path_factory.mktemp("edits"))
    (program.folder / "edits.yaml").write_text(CONFIG)
    done = program.snakemake(*SNAKEMAKE)
    assert done.returncode == 0, done.stderr
    assert planned(program) == set()
    return program


@contextmanager
def edited(tree: Program, file: str, old: str, new: str) -> Iterator[None]:
    """A file with a change in it, and then as it was before, its time included."""
    path = tree.folder / file
    content, before = path.read_text(), path.stat()
    changed, count = re.subn(old, new, content, flags=re.M)
    assert count, f"{file}: the edit finds nothing to change"
    path.write_text(changed)
    yield
    path.write_text(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def planned(tree: Program) -> set[str]:
    """The cells that Snakemake would train, by their selection; or the report, if it would only draw that."""
    plan = tree.planned(*SNAKEMAKE)
    cells = [Cell.from_path(path) for rule in ("train", "finetune") for path in plan.get(rule, ())]
    return {"finetuned" if cell.parent else cell.selection for cell in cells} or ({"report"} if plan else set())


def test_an_edit_runs_again_what_it_concerns_and_nothing_else(tree):
    runs = {}
    for edit, (file, old, new, _) in EDITS.items():
        with edited(tree, file, old, new):
            runs[edit] = planned(tree)
    assert runs == {edit: concerned for edit, (*_, concerned) in EDITS.items()}


def test_why_names_what_has_changed(tree):
    with edited(tree, *EDITS["greedy selection"][:3]):
        greedy = tree.run("why", f"{CELLS}/greedy/k2/none/seed0.json")
        probabilistic = tree.run("why", f"{CELLS}/probabilistic/k2/none/seed0.json")
    assert "code changed: selection/greedy" in greedy.stdout
    assert "up to date" in probabilistic.stdout


def test_a_damaged_record_is_made_again(tree):
    record = tree.folder / CELLS / "learned/k1/none/seed0.json"
    file = str(record.relative_to(tree.folder))
    with edited(tree, file, '("test_accuracy_last": 0.)(.)', lambda match: f"{match[1]}{9 - int(match[2])}"):
        assert planned(tree) == {"learned"}


def test_a_child_runs_again_although_a_kill_came_after_its_parent_was_trained(tree):
    parent = f"{CELLS}/greedy/k2/none/seed0.json"
    kept = {path: path.read_bytes() for path in (tree.folder / parent).parent.rglob("*") if path.is_file()}
    with edited(tree, "slotbench/recipes/quick.yaml", "batch: 32", "batch: 33"):
        done = tree.snakemake(parent, *SNAKEMAKE)
        assert done.returncode == 0, done.stderr
        assert planned(tree) == ALL - {"greedy"}
    for path, content in kept.items():
        path.write_bytes(content)
