"""A fingerprint names the code that a cell can execute, and changes with that code alone."""

import json
import shutil
from pathlib import Path

import pytest

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.results import provenance, records
from slotbench.results.provenance import fingerprint, stale
from tests.support.synthetic import record

CELLS = {
    selection: Cell("quick", "digits", "lenet", selection, 2 if selection != "learned" else 1, "none", 0)
    for selection in ("greedy", "probabilistic", "learned")
} | {"finetuned": Cell("quick", "digits", "lenet", "greedy", 2, "e4", 0)}
ALL = set(CELLS)
WITH_OPTIONS = {"greedy", "probabilistic"}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A copy of slotbench that a test may edit, and that provenance looks at."""
    copied = tmp_path / "slotbench"
    shutil.copytree(provenance.PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", copied)
    forget()
    yield copied
    forget()


def forget() -> None:
    for function in (provenance.reached, provenance.imports, provenance.module_hash):
        function.cache_clear()


@pytest.mark.parametrize(
    ("edit", "file", "old", "new", "concerned"),
    [
        ("comment", "selection/greedy.py", "import torch\n", "import torch  # a comment\n", set()),
        ("docstring", "training/session.py", '"""A cell in training', '"""A cell, in training', set()),
        ("formatting", "selection/slots.py", "SQRT3 = 3**0.5", "SQRT3 = (\n    3 ** 0.5\n)", set()),
        ("greedy", "selection/greedy.py", "while len(moving):", "while len(moving) > 0:", {"greedy"}),
        ("probabilistic", "selection/probabilistic.py", "amax(0)", "amax(dim=0)", {"probabilistic"}),
        ("staircase", "selection/staircase.py", "maximum(_round(", "fmax(_round(", WITH_OPTIONS),
        ("what is recorded of layers", "training/layer_statistics.py", "BINS = 40", "BINS = 20", WITH_OPTIONS),
        ("kernel", "selection/step.c", "BLOCK = 512", "BLOCK = 256", {"greedy", "probabilistic"}),
        ("options", "selection/options.py", "options -= 1", "options -= 1.0", ALL),
        ("architecture", "architectures/lenet.py", "784, 300", "28 * 28, 300", ALL),
        ("another architecture", "architectures/vgg19.py", "(64, 2)", "(64, 3)", set()),
        ("training", "training/session.py", "EVALUATION_BATCH = 500", "EVALUATION_BATCH = 1000", ALL),
        ("batches", "data/batches.py", "div_(255)", "div_(256)", ALL),
        ("figures", "report/figures/accuracy.py", "import", "import os\nimport", set()),
        ("command line", "cli.py", "DATA = Path", "DATUM = Path", set()),
        ("an entry", "selection/__init__.py", "SELECTIONS = {", 'SELECTIONS = {"another": Selection("a:B"),', set()),
    ],
)  # fmt: skip
def test_changes_with_the_code_that_its_cell_can_execute(package, edit, file, old, new, concerned):
    before = {name: fingerprint(cell) for name, cell in CELLS.items()}
    path = package / file
    assert old in path.read_text(), f"{edit}: the edit finds nothing to change"
    path.write_text(path.read_text().replace(old, new, 1))
    forget()
    after = {name: fingerprint(cell) for name, cell in CELLS.items()}
    assert {name for name in CELLS if before[name] != after[name]} == concerned


def test_names_every_module_that_training_loads():
    """What Python itself has imported after training is what the fingerprint says."""
    import subprocess
    import sys

    code = """
import sys
from importlib import import_module
for module in ("slotbench.training.session", "slotbench.architectures.lenet", "slotbench.selection.greedy",
               "slotbench.training.layer_statistics"):
    import_module(module)
print(*sorted(name for name in sys.modules if name.startswith("slotbench.")))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = {"slotbench.data", "slotbench.architectures", "slotbench.selection"}
    assert set(loaded) - packages <= set(fingerprint(CELLS["greedy"]))


def test_a_record_is_stale_when_its_recipe_or_code_has_moved_on(tmp_path):
    path = tmp_path / "seed0.json"
    cell = CELLS["greedy"]
    made_up = record(cell).model_dump()
    recipe = json.loads(recipes.of(cell).model_dump_json())

    def written(recipe: dict, fingerprint: dict) -> str | None:
        provenance = made_up["provenance"] | {"fingerprint": fingerprint}
        records.write(records.Record(**made_up | {"recipe": recipe, "provenance": provenance}), path)
        return stale(cell, path)

    assert written(recipe, fingerprint(cell)) is None
    assert written(recipe | {"batch": 31}, fingerprint(cell)) == "recipe 'quick' changed: batch was 31 and is 32"
    moved_on = fingerprint(cell) | {"slotbench.training.session": "0"}
    assert written(recipe, moved_on) == "code changed: slotbench.training.session"
    for broken in ("", "[]", "{}"):
        path.write_text(broken)
        assert "not a record" in str(stale(cell, path))
