"""A run as an RO-Crate: complete, described, and with a report whose links hold."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("rocrate", reason="the extra `crate` is not installed")

from rocrate.rocrate import ROCrate

from tests.support import synthetic
from tests.support.command import slotbench
from tests.support.pages import Page, local, rendered

CELLS = synthetic.grid(ks=(8,), seeds=2)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    """A folder with a run of `CELLS`, collected and reported."""
    folder = tmp_path_factory.mktemp("made-up")
    rendered(folder, CELLS)
    return folder


def test_a_crate_has_records_table_and_report_and_says_which_code_made_them(made_up, tmp_path):
    cells = CELLS
    shutil.copytree(made_up, tmp_path, dirs_exist_ok=True)
    done = slotbench("crate", "made-up", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    archive = tmp_path / done.stdout.strip()
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        packed.extractall(tmp_path / "else")
    crate = ROCrate(tmp_path / "else")
    assert all((tmp_path / "else" / file.id).is_file() for file in crate.data_entities)
    (action,) = crate.get_by_type("CreateAction")
    records = {f"results/made-up/cells/{cell.path}" for cell in cells}
    assert {record.id for record in action["result"]} == records
    assert action["instrument"]["softwareVersion"] == "commit 0123456789abcdef0123456789abcdef01234567"
    assert crate.root_dataset["datePublished"] == synthetic.record(cells[0]).provenance.finished
    index = tmp_path / "else" / "report" / "made-up" / "index.html"
    assert all(file.is_file() for file, _ in local(Page(index.read_text()), index))
    described = json.loads((tmp_path / "else" / "ro-crate-metadata.json").read_text())
    assert {entity["@id"] for entity in described["@graph"]} >= records


def test_a_run_without_records_makes_no_crate(tmp_path):
    cells = synthetic.grid(ks=(8,), seeds=1)
    rendered(tmp_path, cells, without=cells)
    done = slotbench("crate", "made-up", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "slotbench: run made-up: no cell has a record; train some first\n")
    assert not list(tmp_path.glob("*.zip"))


def test_an_archive_appears_whole_or_the_earlier_one_stays_and_what_is_gone_is_named(made_up, tmp_path):
    cells = CELLS
    shutil.copytree(made_up, tmp_path, dirs_exist_ok=True)
    assert slotbench("crate", "made-up", folder=tmp_path).returncode == 0
    archive = tmp_path / "made-up.crate.zip"
    before = archive.read_bytes()

    def refused(*words: str) -> None:
        done = slotbench("crate", "made-up", folder=tmp_path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        for word in words:
            assert word in done.stderr
        assert archive.read_bytes() == before
        assert not list(tmp_path.glob(".*.part"))

    index = tmp_path / "report" / "made-up" / "index.html"
    index.rename(tmp_path / "index.html")
    refused("report/made-up/index.html: not there; run `slotbench report made-up` first")
    (tmp_path / "index.html").rename(index)
    gone = tmp_path / "results" / "made-up" / "cells" / cells[0].path
    gone.rename(tmp_path / "elsewhere.json")
    refused(f"made-up/cells/{cells[0].path}: gone since the table was written")
    gone.symlink_to(tmp_path / "elsewhere.json")
    refused(f"made-up/cells/{cells[0].path}: gone since the table was written")
