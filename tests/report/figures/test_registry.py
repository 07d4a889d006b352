"""Figures: drawn from what is there, the same bytes from the same table, and honest about what is absent."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from slotbench.report import figures
from slotbench.report.figures import costs, parts, registry, style
from slotbench.results import published, table
from slotbench.selection import SELECTIONS, Selection
from tests.support import synthetic
from tests.support.drawing import collected, draw


def greedy(cells):
    """Not finetuned, of several options."""
    return cells[cells["selection"].eq("greedy") & cells["finetune"].eq("none") & cells["k"].gt(1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A synthetic run with data for every figure."""
    cells = synthetic.grid(ks=(1, 2, 8)) + synthetic.grid(recipe="paper", ks=(2, 8), finetune=()) + synthetic.others()
    cells += synthetic.study()
    return collected(tmp_path_factory.mktemp("whole"), cells)


@pytest.fixture(scope="module")
def saved(whole, tmp_path_factory):
    """The folder with the figures of `whole`, and what saving them returned."""
    folder = tmp_path_factory.mktemp("figures") / "one"
    return folder, figures.save(whole, folder)


def test_every_figure_is_saved_in_three_kinds_twice_the_same(whole, saved, tmp_path):
    folder, pictures = saved
    figures.save(whole, tmp_path / "two")
    assert list(pictures) == list(figures.FIGURES)
    assert None not in pictures.values()
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(f"{name}.{kind}" for name in figures.FIGURES for kind in ("svg", "png", "pdf"))
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_text_stays_text_fonts_are_embedded_and_pixels_are_fine(saved):
    folder, _ = saved
    svg = (folder / "accuracy-over-k.svg").read_text()
    assert "LeNet-300-100 on MNIST" in svg
    assert "<dc:date>" not in svg
    pdf = (folder / "accuracy-over-k.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/CreationDate" not in pdf
    with Image.open(folder / "accuracy-over-k.png") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_figure_without_data_is_not_drawn_and_its_old_files_go(whole, saved, tmp_path):
    shutil.copytree(saved[0], tmp_path, dirs_exist_ok=True)
    pictures = figures.save(replace(whole, cells=whole.cells.query("decides").pipe(greedy)), tmp_path)
    drawn = {name for name, picture in pictures.items() if picture}
    assert "accuracy-over-k" in drawn
    assert not drawn & {"greedy-vs-probabilistic", "finetuning", "recipes", "sharing", "comparators"}
    assert {path.stem for path in tmp_path.iterdir()} == drawn


def test_other_recipes_enter_only_their_own_figure(whole):
    for entry in figures.FIGURES.values():
        beside = {"recipes": {"paper"}, "study": {"study-rate", "study-bound-and-rate"}}.get(entry.name, set())
        assert set(entry.rows(whole.cells)["recipe"]) == {"authors-code"} | beside


def test_points_and_intervals_are_the_tables(whole):
    (ax,) = draw("accuracy-over-k", whole).axes
    means = table.summary(figures.FIGURES["accuracy-over-k"].rows(whole.cells), ["selection", "k"])
    means = means[means["selection"] == "greedy"]
    line = next(line for line in ax.lines if line.get_color() == style.look("greedy").colour)
    assert list(line.get_xdata()) == list(means["k"])
    assert list(line.get_ydata()) == list(means["mean"])
    bars = [bar for bar in ax.containers if len(bar[0].get_xdata()) == len(means)]
    ends = [segment[:, 1] for segment in bars[0][2][0].get_segments()]
    for (low, high), (_, mean) in zip(ends, means.iterrows(), strict=True):
        assert (low, high) == pytest.approx((mean["mean"] - mean["half"], mean["mean"] + mean["half"]))


def test_a_method_has_one_colour_in_every_figure(whole):
    for name in ("accuracy-over-k", "greedy-vs-probabilistic", "finetuning"):
        colours = {line.get_color() for ax in draw(name, whole).axes for line in ax.lines}
        assert {style.look("greedy").colour, style.look("learned").colour} <= colours


def test_one_seed_is_hollow_and_without_interval(tmp_path):
    (ax,) = draw("accuracy-over-k", collected(tmp_path, synthetic.grid(ks=(2, 8), seeds=1))).axes
    ours = [line for line in ax.lines if line.get_color() == style.look("greedy").colour]
    assert any(line.get_markerfacecolor() == "white" and list(line.get_xdata()) == [2, 8] for line in ours)
    assert not [
        segment
        for bar in ax.containers
        for segment in bar[2][0].get_segments()
        if mpl.colors.to_hex(bar[0].get_color()) == style.look("greedy").colour
    ]
    assert any("n = 1" in text.get_text() for text in ax.texts)


def test_labels_never_touch(whole):
    for name in figures.FIGURES:
        picture = draw(name, whole)
        picture.draw_without_rendering()
        for ax in picture.axes:
            boxes = [text.get_window_extent() for text in ax.texts if text.get_position()[0] == 1.02]
            for place, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[place + 1 :]), name


def test_captions_say_n_recipe_epochs_device_and_what_is_absent(tmp_path):
    cells = synthetic.grid(ks=(2, 8))
    gone = next(cell for cell in cells if cell.selection == "greedy")
    frame = collected(tmp_path, cells, without=(gone,)).cells
    caption = figures.FIGURES["accuracy-over-k"].caption(frame)
    assert "n = 2 to 3 seeds" in caption
    assert "Recipe authors-code, 120 to 220 epochs" in caption
    assert "synthetic CPU" in caption
    assert "1 missing" in caption
    alt = figures.FIGURES["accuracy-over-k"].alt(frame)
    assert re.search(r"LeNet-300-100 on MNIST: from \d\d\.\d\d % \(greedy at K = 2\)", alt)


def test_the_published_value_of_a_cell_is_the_least_uncertain_and_latest():
    values = published.values().set_index(["architecture", "selection", "k"])["mean"]
    assert values["lenet", "greedy", 8] == 98.21  # the ICML figure, ± 0.02, before its text's 98.2 ± 0.05
    assert values["vgg19", "greedy", 8] == 91.0  # ICML's 91 ± 0.5, before V1's 90 ± 0.5
    assert values["lenet", "learned", 1] == 97.95


def test_numbers_of_k_stand_where_they_have_room():
    def shown(*ks):
        ax = Figure().subplots()
        ax.plot(ks, ks)
        parts.k_axis(ax, ks)
        assert list(ax.get_xticks()) == list(ks)
        return [ax.xaxis.get_major_formatter()(k, 0) for k in ks]

    assert shown(2, 8, 64) == ["2", "8", "64"]
    assert shown(1, 2, 4, 8, 16, 32, 64, 128) == ["1", "2", "4", "8", "16", "32", "64", "128"]
    many = shown(2, 4, 8, 16, 32, 64, 128, 1024, 4096)
    assert [text for text in many if text] == ["2", "8", "32", "128", "1024", "4096"]


def test_what_no_dataset_changes_is_drawn_once_for_a_network(whole):
    rows = greedy(whole.cells)
    both = pd.concat([rows, rows.assign(dataset="fashion-mnist")])
    picture = costs.memory_and_time(both, 2)
    assert [text.get_text() for ax in picture.axes for text in ax.texts].count("LeNet-300-100 (measured)") == 1


def drawing(name, run):
    """The figure as SVG, and how many cells its caption says that it draws."""
    with style.styled():
        entry = figures.FIGURES[name]
        rows = entry.drawn_rows(run)
        picture = b"" if rows.empty else registry.saved_bytes(entry.draw(rows, registry.ABREAST), "svg")
    counted = re.search(r"; (\d+) cells\.", entry.brief(run.shown))
    return picture, int(counted[1]) if counted else 0


@pytest.fixture(scope="module")
def told_apart(whole):
    """`whole` with no two cells alike, so that none can go missing from a mean unnoticed."""
    factor = dict(zip(whole.cells["record"], 1 - 0.0001 * np.arange(len(whole.cells)), strict=True))

    def moved(frame, columns):
        return frame.assign(**{column: frame[column] * frame["record"].map(factor) for column in columns})

    numbers = ("test_accuracy", "train_accuracy", "levels", "bits_of_move", "bits_of_rank", "state_bytes")
    return replace(
        whole, cells=moved(whole.cells, numbers), layers=moved(whole.layers, ["selected"]),
        curves=moved(whole.curves, ["changed"]),
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name, entry in figures.FIGURES.items() if entry.counted])
def test_a_caption_counts_the_cells_that_are_drawn_and_no_other(told_apart, name):
    """Without one of them the drawing is another; without all others it is the same."""
    picture, count = drawing(name, told_apart)
    cells = told_apart.cells
    drawn = figures.FIGURES[name].done(cells)["record"]
    assert count == len(drawn) == drawn.nunique() > 0
    lacking = replace(told_apart, cells=cells[cells["record"] != sorted(drawn)[count // 2]])
    assert drawing(name, lacking)[0] != picture
    assert drawing(name, replace(told_apart, cells=cells[cells["record"].isin(drawn)])) == (picture, count)


def test_a_finding_has_numbers_and_is_no_sentence_twice(whole):
    findings = [entry.finding(entry.done(whole.cells)) for entry in figures.FIGURES.values() if entry.counted]
    assert len(set(findings)) == len(findings)
    assert all(re.search(r"\d", finding) and "nan" not in finding for finding in findings), findings


def test_every_mark_and_letter_can_be_seen_on_a_white_and_on_a_dark_page(saved):
    """A mark needs a contrast of 3, a letter of 4.5 (WCAG 2.2, 1.4.11 and 1.4.3); white fills hollow marks."""
    for svg in [path.read_text() for path in saved[0].glob("*.svg")]:
        letters = set(re.findall(r"<text[^>]*?fill: #([0-9a-f]{6})", svg))
        marks = {colour for colour in re.findall(r"(?:stroke|fill): #([0-9a-f]{6})", svg) if colour != "ffffff"}
        assert letters
        for colours, least in ((letters, 4.5), (marks, 3)):
            for colour in colours:
                assert style.contrast(f"#{colour}", style.PAGE["light"]) >= least, colour
                assert style.contrast(style.in_the_dark(f"#{colour}"), style.PAGE["dark"]) >= least, colour
    assert style.in_the_dark("#ffffff") == style.PAGE["dark"]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_rule_has_a_colour_that_can_be_read_and_a_marker(selection):
    look = style.look(selection)
    assert style.contrast(look.colour, style.PAGE["light"]) >= 4.5
    assert mpl.markers.MarkerStyle(look.marker)
    assert look.label


def test_a_rule_that_says_nothing_of_its_look_is_drawn_like_the_others(tmp_path, monkeypatch):
    monkeypatch.setitem(SELECTIONS, "nearest", Selection("nearest:Nearest"))
    run = collected(tmp_path, synthetic.grid(ks=(2, 8)))
    new = greedy(run.cells).assign(selection="nearest", record=lambda rows: "new/" + rows["record"])
    run = replace(run, cells=pd.concat([run.cells, new], ignore_index=True))
    look = style.look("nearest")
    others = {style.look(name) for name in SELECTIONS if name != "nearest"}
    assert look.colour not in {other.colour for other in others}
    assert look.marker not in {other.marker for other in others}
    for name in ("accuracy-over-k", "comparators", "accuracy-vs-flops"):
        text = " ".join(
            text.get_text()
            for ax in draw(name, run).axes
            for text in [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels()]
        )
        assert "nearest" in text, name
    assert all(
        drawn or not figures.FIGURES[name].rows(run.cells).size
        for name, drawn in figures.save(run, tmp_path / "figures").items()
    )


def test_a_line_breaks_where_the_recipes_rate_changes(tmp_path):
    (ax,) = draw("accuracy-over-k", collected(tmp_path, synthetic.grid(ks=(2, 8, 16, 64), finetune=()))).axes
    lines = [
        list(line.get_xdata())
        for line in ax.lines
        if line.get_color() == style.look("greedy").colour and line.get_linestyle() == "-"
    ]
    assert [2.0, 8.0] in lines
    assert [16.0, 64.0] in lines
    assert {text.get_text() for text in ax.texts} >= {"rate 0.1", "rate 0.01"}
