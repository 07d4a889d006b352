"""What a terminal shows of a run, by the program itself; the screen is a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
import typing
from pathlib import Path

import pytest

from slotbench import cli, config
from slotbench.cells import Cell
from slotbench.cluster import resources
from slotbench.results import naming, records, status, table
from tests.support import synthetic
from tests.support.command import SLOTBENCH, slotbench
from tests.support.pages import panels_of, rendered
from tests.support.project import Tree

CELLS = [
    Cell("quick", "digits", "lenet", "greedy", 8, "none", 0),
    Cell("quick", "digits", "lenet", "greedy", 8, "none", 1),
    Cell("quick", "digits", "lenet", "learned", 1, "none", 0),
]
CONFIG = """run: mine
recipe: quick
grids:
  - {dataset: digits, architecture: lenet, selection: [greedy, learned], k: 8, seed: [0, 1]}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run of four cells of which nothing is done."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").write_text(CONFIG)
    return tmp_path


def cells_of_mine(folder: Path) -> list[Cell]:
    return list(config.load(folder / "config" / "mine.yaml").cells())


def record_of(folder: Path, cell: Cell) -> Path:
    return folder / "results" / "mine" / "cells" / cell.path


def finish(folder: Path, cells: list[Cell]) -> None:
    """Records of `cells`, as today's code would make them."""
    Tree.finish(
        type("Folder", (), {"folder": folder, "record": staticmethod(lambda cell: record_of(folder, cell))}), cells
    )


def test_status_counts_cells_and_estimates_the_rest_by_what_was_measured(folder):
    # Before any cell is done: by what schedulers are told, or by the tables of other runs
    told = [60 * resources.minutes(cell) / resources.HEADROOM for cell in cells_of_mine(folder)]
    output = slotbench("status", "mine", folder=folder).stdout
    assert output.startswith(f"mine: 0 done, 4 waiting of 4 cells\n{30 * '░'} 0 % of all epochs; time left: about ")
    assert f"about {status._time(sum(told))}, as none is done yet, with 1 at a time\n" in output
    (folder / "results" / "other").mkdir(parents=True)
    table_of_other = "status,epochs,start_epoch,wall_seconds,record\ndone,12,0,1200,other/cells/" + str(CELLS[0].path)
    (folder / "results" / "other" / "cells.csv").write_text(f"{table_of_other}\nfailed,,,,\n", encoding="utf-8")
    assert f"about {status._time(4 * 12 * 100)}, as none" in slotbench("status", "mine", folder=folder).stdout
    (folder / "results" / "other" / "cells.csv").write_bytes(b"status,\xff\ndone")
    assert slotbench("status", "mine", folder=folder).stdout == output

    finish(folder, CELLS[:1])
    record = records.read(record_of(folder, CELLS[0]))
    epoch = record.costs.wall_seconds / record.results.epochs
    output = slotbench("status", "config/mine.yaml", folder=folder).stdout
    assert output.startswith("mine: 1 done, 3 waiting of 4 cells\n")
    assert f"\n{7 * '█'}{23 * '░'} 25 % of all epochs; time left: " in output
    accuracy = f"{100 * record.results.test_accuracy:.2f}"
    assert output.endswith(f"\ntest accuracy so far, lenet on digits: greedy {accuracy} %\n")
    # greedy by greedy's measured epochs, learned by its network's, as nothing nearer is known
    assert f"time left: {status._time(3 * 12 * epoch)}, with 1 at a time" in output
    finish(folder, cells_of_mine(folder))
    output = slotbench("status", "mine", folder=folder).stdout
    assert output.startswith(
        "mine: 4 done of 4 cells\nnothing is left to train\ntest accuracy so far, lenet on digits: "
    )
    assert re.search(rf"greedy ({accuracy} to \S+|\S+ to {accuracy}|{accuracy}) %, learned .* %$", output)


def test_status_names_what_failed_and_what_is_outdated_with_the_reason(folder):
    finish(folder, CELLS)
    record = records.read(record_of(folder, CELLS[0]))
    records.write(record.model_copy(update={"recipe": record.recipe | {"batch": 7}}), record_of(folder, CELLS[0]))
    record_of(folder, CELLS[1]).unlink()
    Path(f"{record_of(folder, CELLS[1])}.failed").write_text("no space left\n", encoding="utf-8")
    record_of(folder, CELLS[2]).write_text("{")
    output = slotbench("status", "mine", folder=folder).stdout
    assert output.startswith("mine: 0 done, 2 failed, 1 outdated, 1 waiting of 4 cells\n")
    assert f"failed: {CELLS[1]}: no space left\n" in output
    assert f"outdated: {CELLS[0]}: recipe 'quick' changed: batch was 7 and is 32\n" in output
    assert re.search(rf"failed: {CELLS[2]}: .*not a record", output)


def test_a_run_that_no_config_names_is_told(folder):
    done = slotbench("status", "nothing", folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    hint = "name a config file, or a run that a config of config names"
    assert done.stderr == f"slotbench: run 'nothing': unknown; known are mine; {hint}\n"
    done = slotbench("status", "mien", folder=folder)
    assert "did you mean 'mine'?" in done.stderr
    done = slotbench("status", "config/mne.yaml", folder=folder)
    assert done.stderr == "slotbench: config/mne.yaml: No such file or directory; did you mean 'config/mine.yaml'?\n"


@pytest.mark.parametrize("line", ["run: mine  # of the first try", 'run: "mine"', "run:   'mine'"])
def test_a_config_names_its_run_as_yaml_may(folder, line):
    (folder / "config" / "mine.yaml").write_text(CONFIG.replace("run: mine", line))
    (folder / "config" / "aside.yaml").write_bytes(b"run: \xff\xfe\n")
    (folder / "config" / "broken.yaml").write_text("run: [")
    assert slotbench("status", "mine", folder=folder).stdout.startswith("mine: 0 done, 4 waiting of 4 cells\n")


def test_a_run_is_named_by_its_name_its_config_or_a_folder_of_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "results" / "mine" / "cells").mkdir(parents=True)
    (folder / "results" / "mine" / "cells.csv").touch()
    (folder / "report" / "mine").mkdir(parents=True)
    names = ["mine", "config/mine.yaml", "results/mine", "results/mine/", "./results/mine/cells", "report/mine"]
    names += ["results/mine/cells.csv", str(folder / "results" / "mine"), str(folder / "config" / "mine.yaml")]
    for name in names:
        assert naming.run_of(name).cells() == config.load(folder / "config" / "mine.yaml").cells(), name
        assert naming.name_of(name) == "mine", name


@pytest.mark.parametrize("name", ["run", "cells", "collect", "status", "compare", "report", "crate", "claims", "vouch"])
def test_every_command_about_a_run_names_it_so(name):
    assert cli.RunName in typing.get_type_hints(getattr(cli, name), include_extras=True).values()


def test_show_says_what_a_name_is_that_leads_to_no_cell(folder):
    finish(folder, CELLS)
    slotbench("collect", "mine", folder=folder)
    for name, sentence in (
        ("nothere.json", "nothere.json: No such file or directory"),
        (
            "results/mine/cells.csv",
            "results/mine/cells.csv: not a record; name a .json file of results, or <run>/<cell>",
        ),
        ("config/mine.yml", "config/mine.yml: No such file or directory; did you mean 'config/mine.yaml'?"),
    ):
        done = slotbench("show", name, folder=folder)
        assert (done.returncode, done.stderr) == (2, f"slotbench: {sentence}\n")


@pytest.mark.parametrize("command", [("compare", "one", "two"), ("claims", "one"), ("status", "one")])
def test_a_screen_of_80_columns_cuts_no_word(tmp_path, command, monkeypatch):
    """Each word of the wide output stands in the narrow one, whole; no line is longer."""
    (tmp_path / "config").mkdir()
    cells = synthetic.grid(ks=(2, 8, 64)) + synthetic.others()
    axes = "dataset: mnist, architecture: lenet, selection: greedy, k: 2, seed: 0"
    for name in ("one", "two"):
        run = synthetic.SyntheticRun(name, "authors-code", cells if name == "one" else cells[:20])
        synthetic.train(tmp_path / "results", run)
        table.write(table.collect(run, tmp_path / "results"), tmp_path / "results" / name)
        (tmp_path / "config" / f"{name}.yaml").write_text(f"run: {name}\nrecipe: authors-code\ngrids: [{{{axes}}}]\n")
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = slotbench(*command, folder=tmp_path)
    assert wide.returncode == 0, wide.stderr
    monkeypatch.setenv("COLUMNS", "80")
    narrow = slotbench(*command, folder=tmp_path).stdout
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.count("…") == wide.stdout.count("…")  # of a cut word; and the sign of an open claim
    assert sorted(re.findall(r"[\w.,-]+", narrow)) == sorted(re.findall(r"[\w.,-]+", wide.stdout))


def test_status_on_a_screen_is_live_for_as_long_as_a_cell_is_trained(folder):
    """Real training: the lock that its process holds is what status sees."""
    assert slotbench("fetch", "digits", folder=folder).returncode == 0
    record = record_of(folder, CELLS[0])
    words = (
        f"train --recipe quick --dataset digits --architecture lenet --selection greedy --k 8 --out {record}".split()
    )
    held = subprocess.Popen([SLOTBENCH, *words], cwd=folder, stderr=subprocess.DEVNULL)
    lock = record.with_suffix("") / "lock"
    while not (lock.exists() and lock.read_text()):
        assert held.poll() is None
        time.sleep(0.02)
    held.send_signal(19)  # SIGSTOP: it holds its lock for as long as we look
    try:
        assert (
            f"running: {CELLS[0]}, 12 epochs left: process {held.pid} on"
            in slotbench("status", "mine", folder=folder).stdout
        )
        screen, end = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        watching = subprocess.Popen([SLOTBENCH, "status", "mine"], cwd=folder, stdout=end, env=environment)
        os.close(end)
        seen = b""
        deadline = time.monotonic() + 60
        while (watching.poll() is None or select.select([screen], [], [], 0)[0]) and time.monotonic() < deadline:
            if select.select([screen], [], [], 0.1)[0]:
                try:
                    seen += os.read(screen, 4096)
                except OSError:
                    break
            if b"1 running" in seen:
                held.send_signal(18)  # SIGCONT
        assert watching.wait(60) == 0
    finally:
        held.send_signal(18)
        assert held.wait(60) == 0
    shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen).decode()
    assert shown.index("1 running, 3 waiting of 4 cells") < shown.index("1 done, 3 waiting of 4 cells")


def test_training_shows_a_bar_on_a_screen(folder):
    """In a log it prints lines: tests/test_cli.py."""
    assert slotbench("fetch", "digits", folder=folder).returncode == 0
    screen, end = pty.openpty()
    words = shlex.split("train --recipe quick --dataset digits --architecture lenet --selection learned --out own.json")
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    training = subprocess.Popen([SLOTBENCH, *words], cwd=folder, stdout=end, stderr=end, env=environment)
    os.close(end)
    seen = b""
    try:
        while chunk := os.read(screen, 4096):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    assert training.wait(60) == 0
    assert re.search(rb"quick/digits/lenet/learned.*validation \d\d\.\d\d %.*100%", seen, re.DOTALL)


def test_show_has_what_a_cells_page_has(tmp_path):
    cells = synthetic.grid(ks=(8,), seeds=1)
    index = rendered(tmp_path, cells)
    cell = next(cell for cell in cells if cell.finetune == "e100")
    panel = panels_of(index.parent)[str(cell)]
    output = slotbench("show", f"made-up/{cell}", folder=tmp_path).stdout
    assert output.startswith(f"{cell}: done, test accuracy {panel['accuracy']}\n")
    for term, value in (panel["results"] | panel["recipe"] | panel["provenance"]).items():
        assert re.search(rf"^ *{re.escape(term)} +{re.escape(value)}", output, re.M), term
    assert all(command in output for command in panel["commands"])
    assert output == slotbench("show", f"results/made-up/cells/{cell.path}", folder=tmp_path).stdout
    assert re.search(r"train loss +█[▁-█]+▁  ", output)  # it falls


def test_show_tells_of_a_cell_without_a_record_how_to_train_it(folder):
    output = slotbench("show", f"mine/{CELLS[0]}", folder=folder).stdout
    assert "waiting" in output
    assert "slotbench train --recipe quick --dataset digits --architecture lenet --selection greedy --k 8" in output
    assert slotbench("show", "mine/what", folder=folder).returncode == 2


def test_compare_pairs_the_seeds_that_both_runs_have(tmp_path):
    cells = synthetic.grid(ks=(2, 8), finetune=())
    for name, its_cells in (("one", cells), ("two", [cell for cell in cells if (cell.seed, cell.k) != (0, 8)])):
        run = synthetic.SyntheticRun(name, "authors-code", tuple(its_cells))
        synthetic.train(tmp_path / "results", run)
        table.write(table.collect(run, tmp_path / "results"), tmp_path / "results" / name)
    output = slotbench("compare", "one", "two", folder=tmp_path).stdout
    assert "lenet on mnist\n" in output
    rows = [
        re.split(r"  +|(?<=[\d–]) (?=[+\d])", line.strip())
        for line in output.splitlines()
        if re.match(r"greedy|learned", line)
    ]
    shown = {tuple(row[:2]): row for row in rows}
    assert shown["greedy", "2"][-1] == "3/3/3"
    assert shown["greedy", "2"][-2] == "+0.00 ± 0.00"
    assert shown["greedy", "8"][-1] == "3/2/2"
    assert shown["learned", "–"][-1] == "3/3/3"
    assert "only in" not in output
    done = slotbench("compare", "one", "three", folder=tmp_path)
    assert done.returncode == 2
    assert "slotbench collect" in done.stderr


@pytest.mark.parametrize("command", [("status", "quick"), ("show", "x/y"), ("compare", "a", "b"), ("--help",)])
def test_nothing_that_a_terminal_shows_waits_for_torch(command):
    code = f"import sys; sys.argv = {['slotbench', *command]!r}\nfrom slotbench.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
