"""The programs that measure run, and their tables can be read."""

import json
import os
import subprocess
import sys

from benchmarks import tables
from tests.support.project import ROOT


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
