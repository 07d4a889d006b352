"""Tables: what they say, and that nothing in a name can break LaTeX or HTML."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.report import tables
from slotbench.results import records, table
from tests.support import synthetic


@pytest.fixture
def frame(tmp_path):
    """A synthetic run with one diverged, one missing and one failed cell."""
    run = synthetic.SyntheticRun("made-up", "authors-code", synthetic.grid(ks=(1, 2, 8)))
    first, two, three = [cell for cell in run.cells() if cell.selection == "greedy" and cell.seed == 2][:3]
    synthetic.train(tmp_path, run, without=(two,))
    synthetic.path(tmp_path, run, first).write_text(records.text(synthetic.record(first, status="diverged")))
    synthetic.path(tmp_path, run, three).write_text("{}")
    return table.collect(run, tmp_path).cells


def lines(table, **wanted):
    heads = [column.head for column in table.columns]
    rows = [dict(zip(heads, row, strict=True)) for row in table.rows]
    return [row for row in rows if all(str(row[head]) == value for head, value in wanted.items())]


def test_accuracy_has_mean_interval_n_published_and_distance(frame):
    (line,) = lines(tables.accuracy(frame), selection="greedy", K="8", **{"finetuned from epoch": "–"})
    means = table.summary(frame, tables.POINT)
    ours = means.query("selection == 'greedy' and k == 8 and finetune == 'none'").squeeze()
    assert line["n"].value == 3
    assert str(line["test accuracy (%)"]) == f"{ours['mean']:.2f} ± {ours['half']:.2f}"
    assert str(line["published (%)"]) == "98.21 ± 0.02"
    assert line["distance"].value == pytest.approx(ours["mean"] - 98.21)
    assert any(note.startswith("Published, a: ICML 2021") for note in tables.accuracy(frame).notes)


def test_a_finetuned_or_unpublished_mean_has_no_published_value_beside_it(frame):
    for line in lines(tables.accuracy(frame), **{"finetuned from epoch": "100"}):
        assert (str(line["published (%)"]), str(line["distance"]), line["source"]) == ("–", "–", "")


def test_a_diverged_cell_is_counted_and_footnoted(frame):
    (line,) = lines(tables.accuracy(frame), selection="greedy", K="1")
    assert (line["n"].value, line["diverged"].value) == (2, 1)
    assert "Diverged, and not in the mean: 1 of lenet on mnist, greedy at K = 1, recipe authors-code." in (
        tables.accuracy(frame).notes
    )


def test_cells_that_are_not_done_are_listed_by_seed(frame):
    rows = {line["not done"] for line in lines(tables.by_status(frame))} - {""}
    assert sorted(rows) == ["diverged: seed 2", "failed: seed 2", "missing: seed 2"]
    assert tables.by_status(frame).notes == [
        f"In all {len(frame)} cells: {len(frame) - 3} done, 1 diverged, 1 missing, 1 failed."
    ]


def test_cost_has_flops_and_memory_and_no_mean_of_times_that_neighbours_made_longer(frame):
    (line,) = lines(tables.cost(frame), selection="greedy", K="8", **{"finetuned from epoch": "–"})
    assert str(line["FLOPs"]) == "9.77 × 10¹²"
    assert str(line["peak memory (MiB)"]) == "700"
    assert not [head for head in line if "time" in head]


@pytest.mark.parametrize(
    ("number", "text", "tex"),
    [
        (tables.Number(98.214, 0.049), "98.21 ± 0.05", "98.21 +- 0.05"),
        (tables.Number(98.2), "98.20", "98.20"),
        (tables.Number(float("nan")), "–", "{--}"),
        (tables.Number(-0.126, signed=True), "−0.13", "-0.13"),
        (tables.Number(0.126, signed=True), "+0.13", "+0.13"),
        (tables.Number(9.774e12, powers=True), "9.77 × 10¹²", "9.77e+12"),
    ],
)
def test_a_number_reads_alike_in_html_and_latex(number, text, tex):
    assert (str(number), number.tex) == (text, tex)


def one_cell(text):
    return tables.Table(text, text, [tables.Column(text)], [[text]], [text])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_any_text_comes_out_of_html_as_it_went_in(text):
    page = tables.HTML.get_template("table.html").render(table=one_cell(text))
    assert html.unescape(re.search(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)[1]) == text
    assert set(re.findall(r"<(\w+)", page)) == {
        "div", "table", "caption", "span", "thead", "tr", "th", "tbody", "td", "ul", "li",
    }  # fmt: skip


@given(st.text())
def test_no_text_leaves_a_special_sign_bare_in_latex(text):
    bare = re.sub(r"\\([{}$&#_%]|(text[a-z]+|dots)\{\})|\$(\\([a-z]+)|-)\$", "", tables.escape_tex(text))
    assert not set(bare) & set("\\{}$&#_%~^<>|\n")


def test_letters_and_digits_are_latex_as_they_are():
    assert tables.escape_tex("LeNet-300-100 (K = 8)") == "LeNet-300-100 (K = 8)"
    assert tables.escape_tex("50 % of a_b & {c} < d\\e") == (r"50 \% of a\_b \& \{c\} \textless{} d\textbackslash{}e")


def test_the_same_table_gives_the_same_bytes(frame, tmp_path):
    for folder in ("one", "two"):
        tables.save(tables.of(frame), tmp_path / folder, "made-up")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{name}.{kind}" for name in tables.TABLES for kind in ("tex", "html"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
