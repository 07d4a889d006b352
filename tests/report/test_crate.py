"""A run as an RO-Crate: complete, described, and with a report whose links hold."""

from __future__ import annotations

import json
import zipfile

import pytest

pytest.importorskip("rocrate", reason="the extra `crate` is not installed")

from rocrate.rocrate import ROCrate

from tests.support import synthetic
from tests.support.command import slotbench
from tests.support.pages import Page, local, rendered


def test_a_crate_has_records_table_and_report_and_says_which_code_made_them(tmp_path):
    cells = synthetic.grid(ks=(8,), seeds=2)
    rendered(tmp_path, cells)
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
