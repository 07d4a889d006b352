"""The tables of measurements in the docs, and that the programs that measure run."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import study, tables
from tests.test_workflow import ROOT

PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if "<!-- measured: " in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_says_what_was_measured(page):
    assert tables.filled(page.read_text()) == page.read_text(), "run python benchmarks/tables.py"


def test_a_table_says_once_what_all_of_its_rows_share():
    rows = [{"k": 2, "ms": 1.23456, "device": "a"}, {"k": 8, "ms": None, "device": "a"}]
    assert tables.table(rows) == "| k | ms |\n| --- | --- |\n| 2 | 1.235 |\n| 8 |  |\n\ndevice a\n"


def test_step_cost_measures_and_writes_its_rows(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, "benchmarks/step_cost.py", "--architecture", "lenet", "--k", "2", "--seconds", "0"]
    done = subprocess.run([*command, "--json", out], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert {row["selection"] for row in rows} == {"plain", "greedy", "textbook"}
    wanted = "architecture selection k batch device threads ms_per_step ratio_to_plain ratio_to_textbook"
    assert all({*wanted.split(), "bytes_per_connection"} <= row.keys() for row in rows)


def test_build_cost_measures_and_writes_its_rows(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, "benchmarks/build_cost.py", "--architecture", "lenet", "--k", "2", "--repeats", "1"]
    done = subprocess.run([*command, "--json", out], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())
    assert row["seconds_building"] > 0 < row["peak_gb"]


def test_the_study_of_a_distance_is_what_the_committed_records_say():
    assert json.loads((ROOT / "benchmarks" / "study.json").read_text()) == study.rows()
