"""Readings, reasons, costs and the sentences above figures are what the records say, by code of their own."""

import re

import pytest

from tests.committed import recompute, recompute_readings
from tests.support.project import ROOT

REPORT = ROOT / "report" / recompute.RUN
CHECKS = {
    "tables/robustness.html": (
        recompute_readings.wrong_in_readings,
        [r"\d\d\.\d\d(?= \(n = )", r"(?<=\(n = )\d+", r"≈(?= \d)"],
    ),
    "tables/cost.html": (recompute_readings.wrong_in_costs, [r'(?<=data-sort=")\d\.\d\d\d(?=\d+e\+12")']),
    "index.html": (
        recompute_readings.wrong_in_reasons,
        [r"(?<=The mean is [+−])\d\.\d+", r"(?<=about )\d+(?= seeds)", r"(?<=study-bound )\d+\.\d+(?= \(n = \d+\))"],
    ),
    "captions.json": (
        recompute_readings.wrong_in_findings,
        [r"(?<=greedy selection reaches )\d+\.\d+", r"(?<=takes a random network from )\d+\.\d", r"\d+\.\d\d(?= bits)"],
    ),
}


@pytest.fixture(scope="module")
def frame():
    return recompute.cells()


def test_the_computation_shares_no_code_with_the_package():
    text = (ROOT / "tests/committed/recompute_readings.py").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) slotbench", text, re.M)


@pytest.mark.parametrize("name", CHECKS)
def test_the_report_has_the_records_numbers(name, frame):
    check, _ = CHECKS[name]
    assert check(REPORT / name, frame) == []


@pytest.mark.parametrize(("name", "pattern"), [(name, pattern) for name in CHECKS for pattern in CHECKS[name][1]])
def test_a_changed_number_is_found(name, pattern, frame, tmp_path):
    text = (REPORT / name).read_text(encoding="utf-8")
    match = re.search(pattern, text)
    assert match is not None
    other = "✓" if match[0] == "≈" else match[0][:-1] + str((int(match[0][-1]) + 1) % 10)
    changed = tmp_path / name.rpartition("/")[2]
    changed.write_text(text[: match.start()] + other + text[match.end() :], encoding="utf-8")
    check, _ = CHECKS[name]
    assert check(changed, frame)
