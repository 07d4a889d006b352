"""Copies of a checkout, for machines without git."""

import pytest

from slotbench.errors import InputError
from slotbench.results import manifest

COMMIT = 40 * "a"


@pytest.fixture
def copied(tmp_path):
    checkout, folder = tmp_path / "a checkout", tmp_path / "a copy"
    for name in (
        "slotbench/cells.py",
        "slotbench/selection/step.c",
        "slotbench/recipes/paper.yaml",
        "config/quick.yaml",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(name, encoding="utf-8")
    (checkout / "pyproject.toml").write_text("[project]", encoding="utf-8")
    (checkout / "results").mkdir()
    assert manifest.copy(checkout, COMMIT, folder) == 5
    return folder


def test_a_copy_says_which_commit_it_is(copied, tmp_path):
    assert manifest.commit_of(copied) == (COMMIT, False)
    assert manifest.commit_of(tmp_path) == (None, None)
    assert not (copied / "results").exists()


@pytest.mark.parametrize("name", ["slotbench/cells.py", "slotbench/selection/step.c", "slotbench/recipes/paper.yaml"])
def test_a_file_that_changed_came_or_went_is_told(name, copied):
    path = copied / name
    path.write_text("other", encoding="utf-8")
    assert manifest.commit_of(copied) == (COMMIT, True)
    path.write_text(name, encoding="utf-8")
    assert manifest.commit_of(copied) == (COMMIT, False)
    (path.parent / "more.py").write_text("", encoding="utf-8")
    assert manifest.commit_of(copied) == (COMMIT, True)
    (path.parent / "more.py").unlink()
    path.unlink()
    assert manifest.commit_of(copied) == (COMMIT, True)


def test_what_python_writes_and_other_configs_change_nothing(copied):
    cache = copied / "slotbench" / "__pycache__"
    cache.mkdir()
    (cache / "cells.cpython-312.pyc").write_bytes(b"")
    (copied / "config" / "mine.yaml").write_text("run: mine", encoding="utf-8")
    assert manifest.commit_of(copied) == (COMMIT, False)


def test_a_broken_manifest_and_a_full_folder_are_refused(copied):
    (copied / manifest.NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="manifest"):
        manifest.commit_of(copied)
    with pytest.raises(InputError, match="not empty"):
        manifest.copy(copied, COMMIT, copied)
