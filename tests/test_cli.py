"""The program as a person runs it: what it prints, where it writes, and how it refuses."""

import signal
import subprocess
from pathlib import Path

import pytest

from slotbench import cli
from slotbench.errors import InputError
from slotbench.results.records import read
from tests.support.command import slotbench
from tests.support.project import ROOT


def train(record: Path, data: Path, **changes: str | None) -> subprocess.CompletedProcess[str]:
    axes = {
        "dataset": "digits",
        "architecture": "lenet",
        "selection": "greedy",
        "k": "2",
        "seed": "0",
        "recipe": "quick",
    }
    options = axes | {"out": str(record), "data-dir": str(data)} | changes
    return slotbench(
        "train", *(word for name, value in options.items() if value is not None for word in (f"--{name}", value))
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    done = slotbench("fetch", "digits", "--data-dir", str(folder))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == folder / "digits.safetensors"
    return folder


def test_trains_one_cell_and_its_finetuned_child_by_hand(tmp_path, data):
    parent, child = tmp_path / "parent.json", tmp_path / "deeper" / "child.json"
    done = train(parent, data)
    assert done.returncode == 0, done.stderr
    assert "done, test accuracy" in done.stdout
    assert "epoch 12/12: validation" in done.stderr
    done = train(child, data, finetune="e4", parent=str(parent))
    assert done.returncode == 0, done.stderr
    assert read(child).results.start_epoch == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deeper", "parent", "parent.json"]


def test_trains_a_whole_run_without_snakemake_and_goes_on_where_time_was_up(tmp_path, data):
    axes = "dataset: digits, architecture: lenet, selection: greedy, k: 2, seed: 0"
    grids = f"[{{{axes}, finetune: [none, e4]}}]"
    (tmp_path / "own.yaml").write_text(f"run: own\nrecipe: quick\ngrids: {grids}\n")
    words = ("run", "own.yaml", "--data-dir", str(data))
    stopped = slotbench(*words, "--minutes", "0.06", folder=tmp_path)
    assert stopped.returncode in (0, 128 + signal.SIGTERM), stopped.stderr
    done = slotbench(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "own" / "cells" / "quick" / "digits" / "lenet" / "greedy" / "k2"
    assert {path.parent.name for path in folder.rglob("seed0.json")} == {"none", "e4"}
    assert slotbench(*words, folder=tmp_path).stdout == ""


def test_a_run_whose_minutes_are_over_before_it_trains_says_so(tmp_path):
    axes = "dataset: digits, architecture: lenet, selection: greedy, k: 2, seed: 0"
    (tmp_path / "own.yaml").write_text(f"run: own\nrecipe: quick\ngrids: [{{{axes}}}]\n")
    stopped = slotbench("run", "own.yaml", "--minutes", "0.00001", folder=tmp_path)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert stopped.stderr.endswith(
        "slotbench: --minutes are over and no cell is being trained; the next call goes on\n"
    )


def test_a_run_of_minutes_that_ends_in_an_error_leaves_no_alarm_behind(tmp_path, monkeypatch):
    """In the program's own process, whose next work it would end."""
    axes = "dataset: digits, architecture: lenet, selection: greedy, k: 2, seed: 0"
    (tmp_path / "own.yaml").write_text(f"run: own\nrecipe: quick\ngrids: [{{{axes}}}]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        cli.run("own.yaml", minutes=1, data_dir=tmp_path / "nothing", gpu_share=1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": "mnits"}, "dataset 'mnits': unknown; did you mean 'mnist'?"),
        ({"architecture": "lennet"}, "architecture 'lennet': unknown; did you mean 'lenet'?"),
        ({"selection": "greddy"}, "selection 'greddy': unknown; did you mean 'greedy'?"),
        ({"recipe": "papr"}, "recipe 'papr': unknown; did you mean 'paper'?"),
        ({"architecture": "vgg19"}, "architecture 'vgg19': takes images of shape (3, 32, 32)"),
        ({"k": None}, "--k: missing; selection 'greedy' has options, so say how many per connection: --k 8"),
        ({"k": "0"}, "k 0: a connection needs at least one option"),
        ({"selection": "learned"}, "k 2: selection 'learned' has no options"),
        ({"seed": "-1"}, "seed -1: a seed is 0 or more"),
        ({"finetune": "100"}, "finetune '100': expected 'none' or an epoch such as 'e100'"),
        ({"finetune": "e5"}, "keeps no checkpoint of epoch 5"),
        ({"finetune": "e4"}, "name the record of the cell to start from, with --parent"),
        ({"finetune": "e4", "parent": "nowhere.json"}, "nowhere.json: No such file or directory"),
        ({"out": "record.txt"}, "--out record.txt: a record is a .json file"),
        ({"out": "/dev/null/seed0.json"}, "slotbench: /dev/null"),
        ({"data-dir": "nowhere"}, "slotbench fetch digits"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_status_2(changes, sentence, tmp_path, data):
    done = train(tmp_path / "seed0.json", data, **changes)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_ends_in_status_2():
    done = slotbench("train", "--sed", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_lists_the_cells_of_a_config():
    done = slotbench("cells", "config/quick.yaml")
    lines = done.stdout.splitlines()
    assert "quick/digits/lenet/greedy/k8/e4/seed0.json" in lines
    assert lines == sorted(set(lines), key=lines.index)


def test_help_names_every_command():
    done = slotbench("--help")
    assert done.returncode == 0
    for command in ("fetch", "train", "cells", "collect", "report", "schemas"):
        assert command in done.stdout


@pytest.mark.parametrize("seconds", ["abc", "-1", "nan", "inf", ""])
def test_seconds_between_states_that_are_none_are_told(tmp_path, data, monkeypatch, seconds):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", seconds)
    done = train(tmp_path / "seed0.json", data)
    assert done.returncode == 2
    assert f"slotbench: SLOTBENCH_RESUME_SECONDS={seconds}: expected seconds between two states" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_persons_profile_of_snakemake_is_not_makes(monkeypatch):
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "nowhere")
    monkeypatch.delenv("MAKELEVEL", raising=False)  # of `make test`, under which this make would say its folder
    command = ["make", "--no-print-directory", "--eval", 'show:;@echo "profile:$$SNAKEMAKE_PROFILE"', "show"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "profile:\n"
