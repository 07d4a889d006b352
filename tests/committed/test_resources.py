"""What cells ask a cluster for, held to every committed record."""

import json

import pytest

from slotbench.cells import Cell
from slotbench.cluster import resources
from tests.support.project import ROOT

RECORDS = sorted((ROOT / "results" / "reference").rglob("seed*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: "-".join(path.parts[-5:]))
def test_a_cell_asks_for_more_than_its_committed_record_took(path):
    record, cell = json.loads(path.read_text()), Cell.from_path(path)
    assert resources.minutes(cell) > record["costs"]["wall_seconds"] / 60
    assert resources.mem_mb(cell) > record["costs"]["peak_bytes"] / 1e6
