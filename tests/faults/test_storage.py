"""A full file system, a read-only one, no memory: one sentence, status 2, and a note for the table."""

import resource
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.program import Program, cell, ended, refused, states, training_begun
from tests.support.records import same

CELL = cell(k=8)


@contextmanager
def mounted(folder: Path, *commands: str):
    """`folder` with `mount`'s commands done to it; needs root."""
    try:
        for command in commands:
            done = subprocess.run(["mount", *command.split(), folder], capture_output=True)
            if done.returncode:
                pytest.skip("needs the right to mount")
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], capture_output=True)


def read_only(folder: Path):
    """Also for a process that has files open there: what it opens from now on is read-only."""
    return mounted(folder, f"--bind {folder}", "-o remount,bind,ro")


def row(program: Program, out: Path) -> str:
    """What the table says of the cell whose record should be `out`."""
    note = program.folder / "results" / "failed" / "cells" / CELL.path
    note.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"{out}.failed", f"{note}.failed")
    (program.folder / "failed.yaml").write_text(
        "run: failed\nrecipe: faults\ngrids:\n"
        "  - {dataset: digits, architecture: lenet, selection: greedy, k: 8, seed: 0}\n"
    )
    done = program.run("collect", "failed.yaml")
    assert done.returncode == 0, done.stderr
    (line,) = (program.folder / "results" / "failed" / "cells.csv").read_text().splitlines()[1:]
    return line


def test_a_full_disk_is_told_and_noted_and_training_goes_on_when_there_is_room(program, tmp_path):
    out, filler = tmp_path / "seed0.json", tmp_path / "filler"
    with mounted(tmp_path, "-t tmpfs -o size=40m tmpfs"):
        (tmp_path / "earlier.json").write_text("a result")
        process = training_begun(program, CELL, out)
        with filler.open("wb", buffering=0) as file:
            while process.poll() is None:
                with suppress(OSError):
                    file.write(bytes(2**16))
        refused(ended(process), str(tmp_path), "No space left on device")
        assert not out.exists()
        assert states(out)

        filler.unlink()
        done = program.run(*program.training(CELL, out))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "earlier.json").read_text() == "a result"
        assert not list(tmp_path.rglob("*.part"))
        same(out, program.undisturbed(CELL))


def test_a_file_that_may_not_grow_is_noted_and_the_table_says_so(program, tmp_path):
    out = tmp_path / "seed0.json"
    process = training_begun(program, CELL, out)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    refused(ended(process), str(tmp_path), "File too large")
    assert not out.exists()
    assert ",failed," in row(program, out)
    assert "File too large" in row(program, out)
    done = program.run(*program.training(CELL, out))
    assert done.returncode == 0, done.stderr
    assert not Path(f"{out}.failed").exists()
    same(out, program.undisturbed(CELL))


def test_a_folder_that_becomes_read_only_is_told_in_a_sentence(program, tmp_path):
    out = tmp_path / "seed0.json"
    process = training_begun(program, CELL, out)
    with read_only(tmp_path):
        refused(ended(process), str(tmp_path), "Read-only file system")
        refused(program.run(*program.training(CELL, out)), str(tmp_path), "Read-only file system")
        refused(program.run("fetch", "digits", "--data-dir", tmp_path), str(tmp_path), "Read-only file system")
    done = program.run(*program.training(CELL, out))
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELL))


def test_results_that_are_read_only_can_still_be_read(program, tmp_path):
    """Data and a parent's record are read without a lock or a trace."""
    parent = program.undisturbed(CELL)
    child = cell(k=8, finetune="e2")
    with read_only(program.folder / "data"), read_only(parent.parent):
        done = program.run(*program.training(child, tmp_path / "seed0.json"))
    assert done.returncode == 0, done.stderr


def test_a_cell_that_no_memory_holds_is_told_and_noted(program, tmp_path):
    """A terabyte of scores."""
    out = tmp_path / "seed0.json"
    refused(program.run(*program.training(cell("probabilistic", k=1_000_000), out)), "out of memory")
    assert "out of memory" in Path(f"{out}.failed").read_text(encoding="utf-8")


def test_memory_that_runs_out_in_mid_training_is_told_and_noted(program, tmp_path):
    out = tmp_path / "seed0.json"
    process = training_begun(program, CELL, out)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (2**20, 2**20))
    refused(ended(process), "out of memory")
    assert "out of memory" in Path(f"{out}.failed").read_text(encoding="utf-8")
    done = program.run(*program.training(CELL, out))
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELL))
