"""README shows a run's numbers, as the command writes them, and no others."""

from pathlib import Path

import pytest

from slotbench.errors import InputError
from slotbench.report import page, tables
from slotbench.results import table
from tests.support import synthetic

BEGIN, END = page.README_MARKS


@pytest.fixture
def results(tmp_path) -> Path:
    run = synthetic.SyntheticRun("made-up", "authors-code", synthetic.grid(ks=(2, 8)))
    synthetic.train(tmp_path, run)
    table.write(table.collect(run, tmp_path), tmp_path / run.run)
    return tmp_path


def test_numbers_are_written_between_the_marks_and_nowhere_else(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page.update_readme(readme, "made-up", results)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    page.update_readme(readme, "made-up", results)
    assert readme.read_text() == text

    sentence, _, heads, rule, *rows = text.partition(f"{BEGIN}\n")[2].partition(f"\n{END}")[0].splitlines()
    assert sentence.startswith(
        "LeNet-300-100 on MNIST. Recipe authors-code, 120, 160, 220 epochs, trained on synthetic CPU."
    )
    assert heads == "| selection | K | n | test accuracy (%) | published (%) | distance | authors' code here (%) |"
    assert {line.count("|") for line in (heads, rule, *rows)} == {8}
    frame = table.read(results / "made-up").cells
    ours = table.summary(frame, ["selection", "k", "finetune"]).query("selection == 'greedy' and k == 8").iloc[0]
    assert any(
        row.startswith(f"| greedy | 8 | 3 | {ours['mean']:.2f} ± {ours['half']:.2f} | 98.21 ± 0.02 |") for row in rows
    )
    assert any(row.startswith("| learned | – | 3 |") for row in rows)
    columns = [[part.strip() for part in row.strip("|").split("|")] for row in rows]
    assert not any("–" in row[3:6] for row in columns)  # what the paper has no number of
    assert {row[1]: row[6] for row in columns if row[0] == "greedy"}["8"] == "97.90"


def test_networks_are_told_apart_where_there_are_several(tmp_path):
    cells = synthetic.grid(networks=(("mnist", "lenet"), ("cifar10", "conv2")), ks=(2,), finetune=())
    run = synthetic.SyntheticRun("made-up", "authors-code", cells)
    synthetic.train(tmp_path, run)
    collected = table.collect(run, tmp_path)
    text = tables.markdown(collected.cells, collected.beside)
    assert "| mnist | lenet | greedy | 2 |" in text
    assert "| cifar10 | conv2 | greedy | 2 |" in text


def test_a_file_without_the_marks_is_refused_and_left_alone(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"{END} {BEGIN}")
    with pytest.raises(InputError, match="put both where the numbers belong"):
        page.update_readme(readme, "made-up", results)
    assert readme.read_text() == f"{END} {BEGIN}"


def test_the_answer_is_written_where_the_file_has_its_marks(results, tmp_path):
    readme = tmp_path / "README.md"
    begin, end = page.ANSWER_MARKS
    readme.write_text(f"{begin}\n{end}\n{BEGIN}\n{END}\n")
    page.update_readme(readme, "made-up", results)
    answer = readme.read_text().partition(end)[0]
    assert "On LeNet-300-100 and MNIST " in answer
    assert "| LeNet-300-100 with K = 8 reaches 98.2 % | " in answer
    assert "CONV-6 beats" not in answer  # run nowhere
