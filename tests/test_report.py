"""The report: one folder that says what a run is, what it found, and what is absent."""

from __future__ import annotations

import itertools
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from slotbench import records, report, table
from slotbench.errors import InputError
from tests import synthetic


class Page(HTMLParser):
    """What a browser would find: ids, addresses, the text of each tag's kind."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.tags, self.images, self.words = [], [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [given[key] for key in ("href", "src") if key in given]
        self.images += [given] if tag == "img" else []

    def handle_data(self, data):
        self.words.append(data)


def rendered(root, cells, *, name="made-up", recipe="authors-code", without=(), spoil=lambda run: None):
    """The index page of a synthetic run, below `root`."""
    run = synthetic.SyntheticRun(name, recipe, cells)
    synthetic.train(root / "results", run, without=without)
    spoil(run)
    table.write(table.collect(run, root / "results"), root / "results" / name)
    return report.render(name, root / "results", root / "report")


def local(page, index):
    """The addresses of a page as paths, and the anchors that it names."""
    addresses = [address for address in page.addresses if not address.startswith("data:")]
    anchors = [address[1:] for address in addresses if address.startswith("#")]
    return [index.parent / unquote(one) for one in addresses if not one.startswith("#")], anchors


def test_every_link_and_anchor_of_every_page_resolves(tmp_path):
    index = rendered(tmp_path, synthetic.grid(ks=(1, 2, 8)))
    pages = [index, *(index.parent / "tables").glob("*.html")]
    assert len(pages) == 4
    for path in pages:
        page = Page(path.read_text())
        files, anchors = local(page, path)
        assert not [file for file in files if not file.is_file()]
        assert set(anchors) <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        assert not [address for address in page.addresses if "//" in address]  # nothing from a network


def test_every_image_has_a_text_and_headings_do_not_skip(tmp_path):
    page = Page(rendered(tmp_path, synthetic.grid(ks=(1, 2, 8))).read_text())
    assert page.images
    assert all(len(image["alt"]) > 40 for image in page.images)
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
    assert f"missing snakemake --cores 2 results/made-up/cells/{missing.path}" in page.text
    assert f"failed snakemake --cores 2 results/made-up/cells/{failed.path}" in page.text
    assert "<script>alert('no space')</script> & more" in page.text
    assert "script" not in page.tags
    assert f"{diverged} ↗ diverged" in page.text
    assert f"{len(cells)} cells: ✓ {len(cells) - 3}" not in page.text  # the count comes first, then the word
    assert re.search(rf"{len(cells) - 3}\s+✓ done , 1 ↗ diverged , 1 – missing , 1 ✗ failed", page.text)


def test_a_run_name_of_markup_is_escaped(tmp_path):
    name = "<img src=x onerror=alert(1)> & 100%"
    page = Page(rendered(tmp_path, synthetic.grid(ks=(2,), seeds=1), name=name).read_text())
    assert f"Run {name}" in page.text
    assert not [image for image in page.images if "onerror" in image]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    index = rendered(tmp_path, synthetic.grid(ks=(2, 8)))
    again = report.render("made-up", tmp_path / "results", tmp_path / "report-again")
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
    assert not page.images
    assert not [file for file in local(page, index)[0] if not file.is_file()]


def test_a_run_of_one_seed_renders_and_says_that_five_are_the_papers(tmp_path):
    page = Page(rendered(tmp_path, synthetic.grid(ks=(2, 8), seeds=1)).read_text())
    assert "n = 1 seed a point" in page.text
    assert "4 to 5 seeds" in page.text
    assert "nan" not in page.text.lower()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("quick", "neither the paper's nor that of the authors' code"),
        ("authors-code", "those of the authors' code"),
        ("paper", "Hyper-parameters are the paper's"),
    ],
)
def test_it_says_what_differs_from_the_paper(tmp_path, recipe, said):
    cells = synthetic.grid(networks=(("digits", "lenet"),), ks=(2,), seeds=1, recipe=recipe, finetune=())
    page = Page(rendered(tmp_path, cells, recipe=recipe).read_text())
    assert said in page.text
    assert "The paper has no lenet on digits" in page.text
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


def test_a_run_that_was_never_collected_is_told_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="slotbench collect"):
        report.render("nothing", tmp_path, Path(tmp_path) / "report")
