"""The workflow, by Snakemake itself in a copy of the project."""

import json
import os
import random
import re
import shutil

import pytest
import yaml

from slotbench import config
from slotbench.cells import Cell
from slotbench.cluster import resources
from tests.cluster import driver
from tests.support.project import CELLS, ROOT, Tree, cells_of

GREEDY = Cell("quick", "digits", "lenet", "greedy", 8, "none", 0)
FINETUNED = Cell("quick", "digits", "lenet", "greedy", 8, "e4", 0)


QUICK = ("--configfile", "config/quick.yaml")


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def finished(tree) -> Tree:
    tree.finish()
    return tree


def test_by_default_the_papers_whole_grid_is_trained_and_then_reported(tree):
    plan = tree.planned()
    cells = config.load(ROOT / "config" / "config.yaml").cells()
    assert cells_of(plan) == set(cells)
    assert plan["fetch"] == {"data/mnist.safetensors", "data/cifar10.safetensors"}
    assert plan["complete_report"] == {"results/paper/cells.csv"}


def test_another_config_stands_alone(tree):
    plan = tree.planned(*QUICK)
    assert cells_of(plan) == set(CELLS)
    assert plan["fetch"] == {"data/digits.safetensors"}
    assert all(path.startswith("results/quick/") for path in plan["train"] | plan["finetune"] | plan["complete_report"])


def test_one_cell_is_trained_by_its_path_with_what_it_starts_from(tree):
    path = f"results/quick/cells/{FINETUNED.path}"
    assert tree.trained(path) == {FINETUNED, GREEDY}
    done = tree.snakemake("-n", path.replace("digits", "digts"))
    assert done.returncode == 1
    assert "dataset 'digts': unknown; did you mean 'digits'?" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--configfile", "bad.yaml"], "slotbench: recipe 'quik': unknown; did you mean 'quick'?"),
        (["--config", "run=other"], "slotbench: --config run=other: not supported, since a run has one config file"),
        (["--configfile", "config/quick.yaml", "config/mnist.yaml"], "name one file, since a run has one config; "),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_sentence_and_status_1(tree, arguments, sentence):
    text = (tree.folder / "config" / "quick.yaml").read_text()
    (tree.folder / "bad.yaml").write_text(text.replace("recipe: quick", "recipe: quik"))
    done = tree.snakemake("-n", *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert 'File "' not in done.stderr


def test_a_clone_trains_nothing_that_has_been_trained(finished):
    """Git keeps no file times, no data and no weights."""
    shutil.rmtree(finished.folder / "data")
    for path in [*finished.folder.rglob("*")]:
        if path.suffix == ".safetensors":
            path.unlink()
        elif path.is_file():
            time = 1.7e9 + random.random() * 1e6
            os.utime(path, (time, time))
    assert not {"train", "finetune", "fetch"} & finished.planned(*QUICK).keys()

    # One cell more needs its data again, and its parent's checkpoint: nobody else's
    finished.record(FINETUNED).unlink()
    plan = finished.planned(*QUICK)
    assert cells_of(plan) == {FINETUNED, GREEDY}
    assert plan["fetch"] == {"data/digits.safetensors"}


def test_a_missing_record_is_made_again_from_the_checkpoint_that_is_there(finished):
    finished.record(FINETUNED).unlink()
    assert finished.trained(*QUICK) == {FINETUNED}


@pytest.mark.parametrize(
    ("forced", "trained"),
    [
        ("train", set(CELLS)),
        ("finetune", {cell for cell in CELLS if cell.parent}),
        (f"results/quick/cells/{GREEDY.path}", {GREEDY, FINETUNED}),
    ],
)
def test_a_cell_that_is_forced_is_trained_again_with_what_started_from_it(finished, forced, trained):
    assert finished.trained(*QUICK, "--forcerun", forced) == trained


def test_a_missing_parent_does_not_concern_the_cell_that_started_from_it(finished):
    finished.record(GREEDY).unlink()
    assert finished.trained(*QUICK) == {GREEDY}


def test_an_unreadable_record_is_made_again_with_what_started_from_it(finished):
    finished.record(GREEDY).write_text("{")
    assert finished.trained(*QUICK) == {GREEDY, FINETUNED}


def test_changed_code_trains_the_cells_that_it_concerns_again(finished):
    code = finished.folder / "slotbench" / "selection" / "probabilistic.py"
    code.write_text(code.read_text() + "\n\nCHANGED = 1\n")
    drawn = {cell for cell in CELLS if cell.selection in ("probabilistic", "supermask")}
    assert finished.trained(*QUICK) == drawn

    # ... and those that started from them, wherever one begins
    code = finished.folder / "slotbench" / "selection" / "greedy.py"
    code.write_text(code.read_text() + "\n\nCHANGED = 1\n")
    assert finished.trained(*QUICK) == drawn | {cell for cell in CELLS if cell.selection.startswith("greedy")}
    assert finished.trained(f"results/quick/cells/{FINETUNED.path}") == {FINETUNED, GREEDY}


def test_a_changed_recipe_trains_the_cells_that_use_it_again(finished):
    recipe = finished.folder / "slotbench" / "recipes" / "quick.yaml"
    text = recipe.read_text()
    assert "- when: {selection: learned}\n    set: {learning_rate: 0.05}" in text
    recipe.write_text(
        text.replace(
            "{selection: learned}\n    set: {learning_rate: 0.05}",
            "{selection: learned}\n    set: {learning_rate: 0.06}",
        )
    )
    assert finished.trained(*QUICK) == {cell for cell in CELLS if cell.selection == "learned"}


def test_report_never_trains_and_draws_again_what_has_changed(finished):
    finished.record(GREEDY).unlink()
    finished.record(FINETUNED).write_text("{")
    assert not {"train", "finetune", "fetch"} & finished.planned("report", *QUICK).keys()
    done = finished.snakemake("report", *QUICK)
    assert done.returncode == 0, done.stderr
    assert (finished.folder / "report" / "quick" / "index.html").exists()
    rows = (finished.folder / "results" / "quick" / "cells.csv").read_text()
    assert rows.count(",missing,") == 1
    assert rows.count(",failed,") == 1
    assert finished.planned("report", *QUICK) == {}

    text = finished.record(CELLS[0]).read_text()
    finished.record(CELLS[0]).write_text(text.replace('"done"', '"diverged"'))
    assert finished.planned("report", *QUICK).keys() == {"report"}
    finished.record(CELLS[0]).write_text(text)
    os.utime(finished.record(CELLS[0]), (0, 0))
    assert finished.planned("report", *QUICK) == {}
    finished.record(CELLS[1]).unlink()
    assert finished.planned("report", *QUICK).keys() == {"report"}


def test_a_finished_run_is_reported_once(finished):
    done = finished.snakemake(*QUICK)
    assert done.returncode == 0, done.stderr
    assert finished.planned(*QUICK) == {}
    page = finished.folder / "page.html"
    done = finished.snakemake(*QUICK, "--report", page.name)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    captions = json.loads((finished.folder / "report" / "quick" / "captions.json").read_text())
    assert captions["figures"].keys() == {
        path.stem for path in (finished.folder / "report" / "quick" / "figures").glob("*.svg")
    }
    for kind, entries in captions.items():
        for name, entry in entries.items():
            assert f'"{kind[:-1]}": "{entry["title"]}"' in text, name  # listed in words, not by the file's name
            first = re.match(r"[\w ,]+", entry["caption"])[0]
            assert first in text, first  # captions are in the single file, with n, recipe, epochs and devices
    assert '"page": "All of it"' in text  # the report itself, which is one file and needs no other
    assert text.count("report/quick/index.html") > 1
    assert "n = 2 seeds a point" in text
    assert "synthetic CPU" in text


@pytest.mark.parametrize(
    ("devices", "arguments", "share"),
    [
        ("0,1", (), 1),
        ("0,1", ("--set-resources", "train:gpu_share=2", "finetune:gpu_share=2"), 2),
        ("", (), 0),
    ],
)
def test_a_cell_asks_for_a_slot_of_a_gpu_where_there_is_one(tree, monkeypatch, devices, arguments, share):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    for name, value in driver.variables(tree.folder / "driver").items():
        monkeypatch.setenv(name, value)
    done = tree.snakemake("-n", "-p", f"results/quick/cells/{GREEDY.path}", *arguments)
    assert f"--gpu-share={share} " in done.stdout + done.stderr


def test_the_cells_beside_a_failing_one_are_trained_and_reported(tree):
    """Real training, of two epochs; the data of one cell is not what it should be."""
    (tree.folder / "slotbench" / "recipes" / "brief.yaml").write_text(
        "about: two epochs\n"
        "base: {epochs: 2, checkpoints: [1], learning_rate: 0.1, option_bound: 1.7, score_bounds: [1, 1],"
        " evaluate_by: sampling}\n"
    )
    (tree.folder / "brief.yaml").write_text(
        "run: brief\nrecipe: brief\ngrids:\n"
        "  - {dataset: digits, architecture: lenet, selection: greedy, k: 2, finetune: [none, e1], seed: 0}\n"
        "  - {dataset: mnist, architecture: lenet, selection: learned, seed: 0}\n"
    )
    data = tree.folder / "data" / "mnist.safetensors"
    data.parent.mkdir()
    data.write_bytes(b"altered")
    done = tree.snakemake("--configfile", "brief.yaml", "--until", "train", "--cores", "1", "--keep-going")
    assert done.returncode == 1
    assert "BUG" not in done.stdout + done.stderr
    assert "slotbench: data/mnist.safetensors" in done.stdout + done.stderr
    done = tree.snakemake("--configfile", "brief.yaml", "--until", "finetune", "--cores", "1", "--keep-going")
    assert "BUG" not in done.stdout + done.stderr
    assert tree.trained("--configfile", "brief.yaml") == {Cell("brief", "mnist", "lenet", "learned", 1, "none", 0)}
    done = tree.snakemake("report", "--configfile", "brief.yaml")
    assert done.returncode == 0, done.stderr
    rows = (tree.folder / "results" / "brief" / "cells.csv").read_text()
    assert rows.count(",done,") == 2
    assert rows.count("\n") == 4


def test_a_part_of_a_run_is_planned_as_docs_cluster_says(tree):
    """Each batch is a part of the cells, and together they are all; the command is the page's own."""
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    target, batch, part, parts = re.search(r"`snakemake (\w+) (--batch \w+=)(\d+)/(\d+)`", page).groups()
    assert (part, parts) == ("1", "10")
    first = tree.trained(target, *QUICK, *f"{batch}1/2".split())
    assert first < set(CELLS)
    tree.finish(first)
    last = tree.trained(target, *QUICK, *f"{batch}2/2".split())
    assert last < set(CELLS)
    assert first | last == set(CELLS)


@pytest.mark.parametrize("limit", [None, 12345])
def test_local_cells_together_ask_for_no_more_memory_than_the_machine_has(tree, limit):
    """What Snakemake says that it hands out, before it fetches the data; a dry run does not say."""
    own = () if limit is None else ("--resources", f"mem_mb={limit}")
    done = tree.snakemake(*QUICK, "--cores", "64", "--until", "fetch", *own)
    assert done.returncode == 0, done.stderr
    (provided,) = re.findall(r"^Provided resources: (.*)", done.stdout + done.stderr, re.M)
    assert re.findall(r"\d+", provided) == [str(limit or resources.machine_mb())]


def test_the_catalogue_s_snakefile_is_the_workflow(tree):
    """Snakemake's catalogue looks for workflow/Snakefile, and for how to run it."""
    assert tree.trained("--snakefile", "workflow/Snakefile", *QUICK) == set(CELLS)
    catalogue = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))
    flags = catalogue["usage"]["mandatory-flags"]["flags"].split()
    assert tree.trained(*flags) == set(CELLS)


def test_snakemake_s_own_lint_has_nothing_to_say(tree):
    done = tree.snakemake("--lint", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_job_says_in_a_line_what_it_does(tree):
    """Instead of the rule's inputs and outputs, of which `all` has hundreds."""
    done = tree.snakemake("-n", *QUICK)
    shown = done.stdout + done.stderr
    assert len(re.findall(r"^Job \d+: .", shown, re.M)) == len(CELLS) + 3  # the data, the report, and all together
    assert not re.search(r"^ *(localrule|rule|input|output)( \w+)?:", shown, re.M)
