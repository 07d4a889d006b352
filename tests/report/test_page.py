"""The report: one folder that says what a run is, what it found, and what is absent."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from slotbench.data.sources import fetch
from slotbench.errors import InputError
from slotbench.report import figures, page, tables
from slotbench.report.verdict import Verdict
from slotbench.results import records, table
from slotbench.results.fingerprint import fingerprint
from slotbench.training.train import train_cell
from tests.support import synthetic
from tests.support.pages import Page, few_figures, local, panels_of, rendered


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The index page of a run, with every figure."""
    return rendered(tmp_path_factory.mktemp("whole"), synthetic.grid(ks=(1, 2, 8)), every_figure=True)


def test_every_link_and_anchor_of_every_page_resolves(whole):
    index = whole
    pages = [index, index.with_name("cell.html"), *(index.parent / "tables").glob("*.html")]
    assert len(pages) == 7
    ids = {path: Page(path.read_text()).ids for path in pages}
    ids[index.with_name("cell.html")] += panels_of(index.parent)
    for path in pages:
        page = Page(path.read_text())
        for file, anchor in local(page, path):
            assert file.is_file(), file
            assert not anchor or anchor in ids[file], (file, anchor)
        assert len(page.ids) == len(set(page.ids))
        assert not [address for address in page.addresses if "//" in address]  # nothing from a network


def test_every_image_has_a_text_and_headings_do_not_skip(whole):
    page = Page(whole.read_text())
    assert len(page.pictures) > 10
    assert all(len(text) > 40 for text in page.pictures)
    levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {"main", "nav", "header", "figure", "figcaption", "caption"} <= set(page.tags)


def test_a_missing_a_failed_and_a_diverged_cell_are_seen_with_what_to_do(tmp_path):
    cells = synthetic.grid(ks=(2, 8))
    missing, failed, diverged = cells[1:4]

    def spoil(run):
        path = synthetic.path(tmp_path / "results", run, failed)
        path.unlink()
        path.with_name(path.name + ".failed").write_text("<script>alert('no space')</script> & more\n")
        path = synthetic.path(tmp_path / "results", run, diverged)
        path.write_text(records.text(synthetic.record(diverged, status="diverged")))

    index = rendered(tmp_path, cells, without=(missing,), spoil=spoil)
    page = Page(index.read_text())
    assert f"missing {missing} snakemake results/made-up/cells/{missing.path}" in page.text
    assert f"failed {failed} : <script>alert('no space')</script> & more" in page.text
    assert f"snakemake results/made-up/cells/{failed.path}" in page.text
    assert page.tags.count("script") == 3  # ours: the page's, and two of the slot machine
    shown = panels_of(index.parent)
    assert (shown[str(missing)]["status"], shown[str(diverged)]["status"]) == ("missing", "diverged")
    assert shown[str(failed)]["problem"] == "<script>alert('no space')</script> & more"
    assert "<" not in index.parent.joinpath("cells", *failed.path.parts[:4]).with_suffix(".js").read_text()
    assert f"{len(cells)} cells: ✓ {len(cells) - 3}" not in page.text  # the count comes first, then the word
    assert re.search(rf"{len(cells) - 3}\s+✓ done , 1 ↗ diverged , 1 – missing , 1 ✗ failed", page.text)


def test_a_run_name_of_markup_is_escaped(tmp_path):
    name = "<img src=x onerror=alert(1)> & 100%"
    page = Page(rendered(tmp_path, synthetic.grid(ks=(2,), seeds=1), name=name).read_text())
    assert f"Run {name}" in page.text
    assert not [image for image in page.images if "onerror" in image]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    index = rendered(tmp_path, synthetic.grid(ks=(2, 8)))
    with few_figures():
        again = page.render("made-up", tmp_path / "results", tmp_path / "report-again")
    shutil.move(tmp_path / "report-again", tmp_path / "else")
    for path in sorted(index.parent.rglob("*")):
        if path.is_file():
            other = tmp_path / "else" / path.relative_to(tmp_path / "report")
            assert path.read_bytes() == other.read_bytes(), path
    assert again.name == "index.html"


def test_a_run_without_any_record_still_renders(tmp_path):
    cells = synthetic.grid()
    index = rendered(tmp_path, cells, without=cells)
    page = Page(index.read_text())
    assert f"{len(cells)} cells have no result" in page.text
    assert "Not drawn" in page.text
    assert not page.pictures
    assert not [file for file, _ in local(page, index) if not file.is_file()]


def test_a_run_of_one_seed_renders_and_says_that_five_are_the_papers(tmp_path):
    page = Page(rendered(tmp_path, synthetic.grid(ks=(2, 8), seeds=1), every_figure=True).read_text())
    assert "n = 1 seed a point" in page.text
    assert "4 to 5 seeds" in page.text
    assert not re.search(r"\bnan\b", page.text.lower())


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("quick", "neither the paper's nor that of the authors' code"),
        ("authors-code", "those of the authors' code"),
        ("paper", "Hyper-parameters are the paper's"),
    ],
)
def test_it_says_what_differs_from_the_paper(tmp_path, recipe, words):
    cells = synthetic.grid(networks=(("digits", "lenet"),), ks=(2,), seeds=1, recipe=recipe, finetune=())
    page = Page(rendered(tmp_path, cells, recipe=recipe).read_text())
    assert words in page.text
    assert "The paper has no LeNet-300-100 on digits" in page.text
    assert "not trained as" not in page.text


def test_a_run_of_fewer_epochs_than_its_recipe_has_says_so(tmp_path):
    cells = synthetic.grid(ks=(2,), seeds=1, finetune=())

    def spoil(run):
        for cell in cells[:2]:
            path = synthetic.path(tmp_path / "results", run, cell)
            path.write_text(records.text(synthetic.record(cell, epochs=3)))

    page = Page(rendered(tmp_path, cells, spoil=spoil).read_text())
    assert "1 cell was not trained as its recipe says: epochs 3, not 220." in page.text
    assert "1 cell was not trained as its recipe says: epochs 3, not 120." in page.text


def test_uncommitted_code_is_flagged(tmp_path):
    page = Page(rendered(tmp_path, synthetic.grid(ks=(2,), finetune=())).read_text())
    assert re.search(r"commit [0-9a-f]{40}: 9 cells, 3 of them with uncommitted changes", page.text)


def test_records_that_todays_code_would_not_make_are_shown_as_such_with_the_code_that_made_them(tmp_path):
    cells = synthetic.grid(ks=(2,), finetune=())
    old = [cell for cell in cells if cell.selection == "greedy"]

    def spoil(run):
        for cell in cells:
            record = synthetic.record(cell)
            made_by = fingerprint(cell) | ({"slotbench.training.session": "another"} if cell in old else {})
            record = record.model_copy(
                update={"provenance": record.provenance.model_copy(update={"fingerprint": made_by})}
            )
            records.write(record, synthetic.path(tmp_path / "results", run, cell))

    index = rendered(tmp_path, cells, spoil=spoil)
    text = Page(index.read_text()).text
    assert re.search(r"commit [0-9a-f]{40}: 9 cells, .{,50}3 cells since then: code changed: training/session", text)
    shown = panels_of(index.parent)
    assert {name for name, panel in shown.items() if panel["stale"]} == {str(cell) for cell in old}
    assert shown[str(old[0])]["provenance"]["commit"].startswith("0123456789")


def test_the_papers_numbers_that_were_not_run_are_named(tmp_path):
    text = Page(rendered(tmp_path, synthetic.grid(ks=(2, 8), finetune=())).read_text()).text
    assert "LeNet-300-100 on MNIST: greedy at K = 4, 16, 32, 64, 128" in text
    assert re.search(r"CONV-6 on CIFAR-10: [a-z; ]*greedy at K = .*2, 4, 8, 16, 32, 64", text)
    assert "Claims without a verdict" in text


def test_a_verdict_has_a_picture_that_is_right(tmp_path):
    verdict = Verdict("id", "a claim", "source", "difference", ("lenet",), "undecided", n=3, mean=1.0, low=-1.0,
                             high=3.0, margin=0.0, published=2.0)  # fmt: skip
    scale = page._scale(verdict)
    order = sorted(("low", "margin", "mean", "published", "high"), key=scale.get)
    assert order == ["low", "margin", "mean", "published", "high"]
    assert scale["low"] > 0
    assert scale["high"] < scale["width"]
    assert scale["mean"] - scale["low"] == pytest.approx(scale["high"] - scale["mean"], abs=0.2)


def compiled(folder: Path, document: str) -> str:
    """What LaTeX logs of `document` in the second pass: longtable learns the widths of columns in the first."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{document}.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    output = done.stdout.decode(errors="replace")
    if re.search(r"File `.*' not found", output):
        pytest.skip("a LaTeX package is not installed")
    assert done.returncode == 0, output[-2000:]
    return (folder / f"{document}.log").read_text(errors="replace")


REFERENCE = Path(__file__).parents[2] / "report" / "reference"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-science)")
def test_the_committed_paper_has_at_most_twelve_pages_and_a_journals_parts(tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "reference", ignore=shutil.ignore_patterns("cells", "*.svg", "*.png"))
    log = compiled(tmp_path / "reference", "paper")
    assert int(re.search(r"Output written on paper.pdf \((\d+) pages", log)[1]) <= 12
    text = (tmp_path / "reference" / "paper.tex").read_text()
    titles = re.findall(r"\\(?:sub)?section\*?\{(.*?)\}", text)
    wanted = ["Scope of reproducibility", "Methodology", "Results", "What was easy", "What was hard",
              "Differences between the sources", "Limitations"]  # fmt: skip
    assert [title for title in titles if title in wanted] == wanted
    assert "begin{abstract}" in text
    index = Page((REFERENCE / "index.html").read_text())
    claims = {anchor for anchor in index.ids if anchor.startswith("claim-")}
    assert len(
        re.findall(r"^\\item", text.partition("begin{enumerate}")[2].partition("end{enumerate}")[0], re.M)
    ) == len(claims)
    assert not re.search(r"[0-9a-f]{16}", text)  # no hash that runs over the edge


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-science)")
def test_latex_compiles_the_paper_with_embedded_fonts_and_nothing_past_the_margin(tmp_path):
    """A run of several networks, and a device whose name has every sign that means something in LaTeX."""
    name, cells = "a & b_c 100% <i>", synthetic.grid(networks=(("mnist", "lenet"), ("cifar10", "conv2")), ks=(1, 2, 8))
    cells += synthetic.grid(recipe="paper", ks=(2, 8), finetune=()) + synthetic.others()
    cells += synthetic.study()
    rendered(tmp_path, cells, name=name, without=cells[:2])
    collected = table.read(tmp_path / "results" / name)
    collected.cells["device"] = r"a CPU_1 & 100 % of {it} <\b> $~^#|√3σ"
    table.write(collected, tmp_path / "results" / name)
    folder = page.render(name, tmp_path / "results", tmp_path / "report").parent
    for document in ("paper", "supplement"):
        log = compiled(folder, document)
        assert [width for width in re.findall(r"Overfull \\[hv]box \((\d+)", log) if int(width) >= 5] == []
        assert "undefined" not in log
    both = "".join((folder / f"{document}.tex").read_text() for document in ("paper", "supplement"))
    parts = {part: both.count(part) for part in ("includegraphics", "begin{longtable}", "begin{table}")}
    assert parts == {
        "includegraphics": len(figures.FIGURES) + 2, "begin{longtable}": len(tables.TABLES) + 2, "begin{table}": 2
    }  # fmt: skip
    if shutil.which("pdffonts"):
        fonts = subprocess.run(["pdffonts", "paper.pdf"], cwd=folder, capture_output=True, text=True, check=True).stdout
        assert all(re.search(r" yes (yes|no) +(yes|no) +\d+ +0$", line) for line in fonts.splitlines()[2:])
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True)
        assert name in text.stdout
        assert "a CPU_1 & 100 % of {it}" in text.stdout


def test_a_cells_page_has_its_record_and_the_command_that_trains_it_again(tmp_path):
    cells = synthetic.grid(ks=(8,), seeds=1)
    index = rendered(tmp_path, cells)
    shown = panels_of(index.parent)
    assert shown.keys() == {str(cell) for cell in cells}
    (tuned,) = [cell for cell in cells if cell.finetune == "e100"]
    panel = shown[str(tuned)]
    assert index.parent.joinpath(unquote(panel["record"])).is_file()
    record = synthetic.record(tuned)
    assert panel["curves"]["train_loss"] == pytest.approx(record.results.curves.train_loss, rel=1e-4)
    assert panel["recipe"].keys() == {name.replace("_", " ") for name in record.recipe}
    assert panel["parent"] == str(tuned.parent)
    fetch, parent, child = panel["commands"]
    assert fetch == "slotbench fetch mnist"
    assert parent.endswith("--selection greedy --k 8 --seed 0 --out parent.json")
    assert child.endswith("--k 8 --seed 0 --finetune e100 --parent parent.json --out again.json")


def test_the_commands_of_a_page_train_exactly_that_cell_again(tmp_path):
    """Real training: a finetuned cell, and first the cell that it starts from."""
    (cell,) = synthetic.grid(networks=(("digits", "lenet"),), ks=(2,), seeds=1, recipe="quick", finetune=("e4",))[-1:]
    assert cell.finetune == "e4"
    run = synthetic.SyntheticRun("made-up", "quick", (cell.parent, cell))
    path = synthetic.path(tmp_path / "results", run, cell)
    parent = synthetic.path(tmp_path / "results", run, cell.parent)
    fetch(cell.dataset, tmp_path / "data")
    train_cell(cell.parent, parent, tmp_path / "data", None, lambda *_: None)
    record = train_cell(cell, path, tmp_path / "data", parent, lambda *_: None)
    table.write(table.collect(run, tmp_path / "results"), tmp_path / "results" / "made-up")
    with few_figures():
        index = page.render("made-up", tmp_path / "results", tmp_path / "report")
    panel = panels_of(index.parent)[str(cell)]
    assert panel["stale"] == ""
    program = shlex.quote(str(Path(sys.executable).with_name("slotbench")))
    commands = " && ".join(panel["commands"]).replace("slotbench ", f"{program} ")
    done = subprocess.run(["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = records.read(tmp_path / "again.json")
    assert again.results == record.results
    assert again.weights == record.weights


def test_a_cell_that_left_the_run_leaves_the_report(tmp_path):
    cells = synthetic.grid(ks=(8,), seeds=1)
    index = rendered(tmp_path, cells)
    again = rendered(tmp_path, [cell for cell in cells if cell.selection == "learned"])
    assert index == again
    assert [path.name for path in (index.parent / "cells").rglob("*.js")] == ["learned.js"]


def test_a_run_that_was_never_collected_is_told_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="slotbench collect"):
        page.render("nothing", tmp_path, Path(tmp_path) / "report")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-science)")
def test_the_tables_of_two_runs_stand_in_one_paper_of_two_columns(tmp_path):
    """As each file says in its first lines; their labels have the names of their runs."""
    body, labels = "", set()
    for name in ("first_run", "second.run"):
        folder = rendered(tmp_path, synthetic.grid(ks=(2, 8), finetune=()), name=name).parent / "tables"
        for path in sorted(folder.glob("*.tex")):
            text = path.read_text(encoding="utf-8")
            example = "\n".join(line[4:] for line in text.splitlines() if line.startswith("%   "))
            assert f"\\label{{tab:{name}-{path.stem}}}" in example
            labels.add(f"tab:{name}-{path.stem}")
            wide = example.replace("{table}", "{table*}").replace(
                f"{{{path.stem}}}", f"{{{path.with_suffix('').as_posix()}}}"
            )
            body += wide.replace("\\input", "\\tiny\\input") + "\n"
    assert len(labels) == 2 * (len(tables.TABLES) + 2)  # verdicts and robustness
    preamble = text.splitlines()[0].partition("preamble: ")[2]
    paper = f"\\documentclass[twocolumn]{{article}}\n{preamble}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "own.tex").write_text(paper, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "own.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    output = done.stdout.decode(errors="replace")
    if re.search(r"File `.*' not found", output):
        pytest.skip("a LaTeX package is not installed")
    assert done.returncode == 0, output[-2000:]
    assert "multiply defined" not in output
