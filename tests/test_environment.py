"""One list of dependencies in three files: pyproject.toml, constraints.txt (pip), environment.yml (conda)."""

import itertools
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [*map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])]
CONDA_NAMES = {"torch": "pytorch"}
CONDA_ONLY = {"python", "make", "pip"}
PIP_ONLY = {"triton"}  # which conda-forge's pytorch brings where it is of use


def conda() -> dict[str, Requirement]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return {package.name: package for package in map(Requirement, (line for line in listed if isinstance(line, str)))}


def test_conda_installs_the_packages_that_pip_does_within_the_same_bounds():
    wanted = {
        CONDA_NAMES.get(package.name, package.name): package.specifier
        for package in REQUIRED
        if package.name not in PIP_ONLY
    }
    offered = {name: package.specifier for name, package in conda().items() if name not in CONDA_ONLY}
    assert offered == wanted


def test_conda_installs_the_python_that_pip_asks_for():
    assert conda()["python"].specifier == Requirement(f"python{PROJECT['requires-python']}").specifier


EXTRAS = PROJECT["optional-dependencies"].values()


@pytest.mark.parametrize("required", sorted({*REQUIRED, *map(Requirement, itertools.chain(*EXTRAS))}, key=str), ids=str)
def test_every_dependency_is_pinned_to_a_version_within_its_bounds(required):
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    version = {canonicalize_name(name): pin for name, pin in pins.items()}[canonicalize_name(required.name)]
    assert version in required.specifier
