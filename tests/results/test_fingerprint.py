"""A fingerprint names the code that a cell can execute, and changes with that code alone."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from slotbench.cells import Cell
from slotbench.results import fingerprint as code
from slotbench.results.fingerprint import canonical, fingerprint, without_comments

CELLS = {
    selection: Cell("quick", "digits", "lenet", selection, 2 if selection != "learned" else 1, "none", 0)
    for selection in ("greedy", "probabilistic", "learned")
} | {"finetuned": Cell("quick", "digits", "lenet", "greedy", 2, "e4", 0)}
ALL = set(CELLS)
WITH_OPTIONS = {"greedy", "probabilistic"}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    """A copy of slotbench that a test may edit, and that provenance looks at."""
    copied = tmp_path / "slotbench"
    shutil.copytree(code.PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", copied)
    forget()
    yield copied
    forget()


def forget() -> None:
    for function in (code.reached, code.imports, code.parsed, code.module_hash):
        function.cache_clear()


@pytest.mark.parametrize(
    ("edit", "file", "old", "new", "concerned"),
    [
        ("comment", "selection/greedy.py", "import torch\n", "import torch  # a comment\n", set()),
        ("docstring", "training/session.py", '"""A cell in training', '"""A cell, in training', set()),
        ("formatting", "selection/rule.py", "SQRT3 = 3**0.5", "SQRT3 = (\n    3 ** 0.5\n)", set()),
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
        ("a C comment", "selection/step.c", "enum { LANES = 8 };", "enum { LANES  = /*\n*/ 8 }; // eight", set()),
        ("an annotation", "selection/slots.py", "def train(self) -> None:", "def train(self):", set()),
        ("an error's words", "selection/rule.py", "needs at least one option", "has to have an option", set()),
        ("an import's place", "data/batches.py", "import numpy as np\n", "", ALL),
        ("how a config is read", "config.py", "MAX_CELLS = 1_000_000", "MAX_CELLS = 2_000_000", set()),
        ("how a record is written", "results/records.py", "indent=1", "indent=2", set()),
        ("how data is fetched", "data/sources.py", "import", "import os\nimport", set()),
        ("a recipe's new setting", "recipes/__init__.py", "    batch: ", "    warmth: float = 0.0\n    batch: ", set()),
        ("a new field of entries", "selection/__init__.py", "draws: bool", "hue: str = ''\n    draws: bool", set()),
        ("a dataset", "data/datasets.py", "DATASETS = {", 'DATASETS = {"bars": Dataset((1, 28, 28), 0.1),', set()),
        ("figures", "report/figures/accuracy.py", "import", "import os\nimport", set()),
        ("command line", "cli.py", "DATA = Path", "DATUM = Path", set()),
        ("an entry", "selection/__init__.py", "SELECTIONS = {", 'SELECTIONS = {"another": Selection("a:B"),', set()),
    ],
)  # fmt: skip
def test_changes_with_the_code_that_its_cell_can_execute(package, edit, file, old, new, concerned):
    before = {name: fingerprint(cell) for name, cell in CELLS.items()}
    path = package / file
    assert old in path.read_text(encoding="utf-8"), f"{edit}: the edit finds nothing to change"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    forget()
    after = {name: fingerprint(cell) for name, cell in CELLS.items()}
    assert {name for name in CELLS if before[name] != after[name]} == concerned


@pytest.mark.slow
def test_names_every_module_that_training_loads():
    """What Python itself has imported after training is what the fingerprint says."""
    pytest.importorskip("torch")
    import subprocess
    import sys

    program = """
import sys
from importlib import import_module
for module in ("slotbench.training.session", "slotbench.architectures.lenet", "slotbench.selection.greedy",
               "slotbench.training.layer_statistics"):
    import_module(module)
print(*sorted(name for name in sys.modules if name.startswith("slotbench.")))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    deciding = {name for name in loaded if not code.decides_nothing(name)}
    assert deciding <= set(fingerprint(CELLS["greedy"]))
    assert {"slotbench.training.session", "slotbench.selection.kernel"} <= deciding
    assert {"slotbench.recipes", "slotbench.results.records"} <= set(loaded) - deciding


SAMPLE = """
import b, a
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import c
class Layer(Base):
    'What it is.'
    width: int = 3
    'and of what'
    def forward(self, x: float, *, scale: float | None = None) -> float:
        'Doc.'
        if x < 0:
            raise ValueError(f"x = {x}: below 0")
        assert x > 1e-7, "small"
        match x:
            case 1 | 2: return f"{x:>{self.width}}" 'a' f'b{x!r}'
            case _: return [i ** 2 for i in range(10) if i] + [-1, 1_000, 0x10, b"q", ...]
"""
PINNED = "15e1ea99a45e5f93"


def test_the_canonical_form_is_the_same_under_every_python():
    """This hash holds for 3.11, 3.12, 3.13 and later, whatever `ast.dump` writes there."""
    assert code.digest(" ".join(map(canonical, code.kept(ast.parse(SAMPLE).body)))) == PINNED


def test_line_ends_do_not_count(package):
    before = fingerprint(CELLS["greedy"])
    for path in [*package.rglob("*.py"), *package.rglob("*.c")]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    forget()
    assert fingerprint(CELLS["greedy"]) == before


def test_c_comments_and_layout_do_not_count_and_its_code_does():
    assert without_comments("int a; // b\n\n  /* c\n d */ int  e;\n") == without_comments("int a;\nint e;")
    assert without_comments("#define A(x) \\\n  x\n") == without_comments("#define A(x)    x\n")
    assert without_comments("int a;") != without_comments("int b;")
