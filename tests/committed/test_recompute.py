"""Numbers that people read are what the records say, by a computation that shares no code with the package."""

import re

import pytest

from tests.committed import recompute
from tests.support.project import ROOT

REPORT = ROOT / "report" / recompute.RUN


@pytest.fixture(scope="module")
def frame():
    return recompute.cells()


def test_the_computation_shares_no_code_with_the_package():
    assert not re.search(r"^\s*(from|import) slotbench", (ROOT / "tests/committed/recompute.py").read_text(), re.M)


def test_readme_has_the_records_numbers_and_a_changed_digit_is_found(frame):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert recompute.wrong_in_readme(text, frame) == []
    (number,) = re.findall(r"greedy \| 8 \| \d+ \| (\d+\.\d\d)", text)
    assert recompute.wrong_in_readme(text.replace(f"| {number} ±", "| 98.21 ±"), frame)


def test_readmes_answer_follows_from_the_records_and_a_changed_verdict_or_count_is_found(frame):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert recompute.wrong_in_answer(text, frame) == []
    for before, after in (("98.2 % | ≈ too close to call", "98.2 % | ✓ reproduced"), (" 2 do not", " 1 do not")):
        assert before in text
        assert len(recompute.wrong_in_answer(text.replace(before, after), frame)) == 1


def test_the_reports_tables_have_the_records_numbers(frame):
    assert recompute.wrong_in_accuracies(REPORT / "tables" / "accuracy.html", frame) == []
    assert recompute.wrong_in_verdicts(REPORT / "tables" / "verdicts.html", frame) == []


def test_a_changed_digit_of_the_report_is_found(frame, tmp_path):
    for name, check in (("accuracy", recompute.wrong_in_accuracies), ("verdicts", recompute.wrong_in_verdicts)):
        page = (REPORT / "tables" / f"{name}.html").read_text(encoding="utf-8")
        number = re.findall(r'data-sort="(9\d\.\d{4,})"', page)[0]
        changed = tmp_path / f"{name}.html"
        changed.write_text(page.replace(number, str(float(number) + 0.01)), encoding="utf-8")
        assert check(changed, frame), name


def test_the_papers_numbers_are_means_of_records_or_published(frame, tmp_path):
    assert recompute.wrong_in_paper(REPORT, frame) == []
    (tmp_path / "paper.tex").write_text(r"97.91 +- 0.17", encoding="utf-8")
    assert recompute.wrong_in_paper(tmp_path, frame)
