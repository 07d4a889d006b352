"""The package, installed as a wheel in a place without a checkout, is the whole program."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

import slotbench
from tests.support.command import slotbench as run
from tests.support.project import ROOT

Run = Callable[..., str]
CONFIG = """run: mine
recipe: quick
grids:
  - {dataset: digits, architecture: lenet, selection: greedy, k: 2, seed: 0}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the tools at hand: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    shutil.copytree(ROOT / "slotbench", tree / "slotbench", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(tree))
    (built,) = folder.glob("*.whl")
    return built


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Run:
    """`slotbench` of the wheel, which knows nothing of this checkout, in a folder of its own."""
    place = tmp_path / "site"
    pip("install", "--no-deps", "--target", str(place), str(wheel))
    work = tmp_path / "work"
    work.mkdir()

    def command(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(place)}
        done = subprocess.run(
            [sys.executable, "-m", "slotbench", *arguments], cwd=work, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


def test_it_trains_a_cell_and_renders_a_report(installed: Run, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "mine.yaml").write_text(CONFIG)
    installed("fetch", "digits")
    installed("run", "mine.yaml")
    assert installed("collect", "mine.yaml") == "1 done\n"
    index = work / installed("report", "mine.yaml").strip()
    assert "greedy" in index.read_text()
    assert "verdicts" in index.read_text()
    assert installed("--version") == f"slotbench {slotbench.__version__}\n"


def test_it_holds_all_that_the_code_reads_and_no_test(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    beside_code = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "slotbench").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert beside_code <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"slotbench"}


def test_it_says_who_made_it_under_which_licence_and_where_to_read_more(wheel: Path) -> None:
    (name,) = (name for name in ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    metadata = message_from_string(ZipFile(wheel).read(name).decode())
    assert metadata["Version"] == slotbench.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Author"] == "the slotbench authors"
    assert metadata["Project-URL"]
    assert "Programming Language :: Python :: 3.13" in metadata.get_all("Classifier", [])


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"slotbench {slotbench.__version__}\n")
