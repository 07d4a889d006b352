"""A full file system, a read-only one, no permission, no memory: one sentence, status 2, and a note for the table."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess

import pytest

from tests.faults.program import Program, cell, ended, refused, states, until
from tests.test_training import same

CELL = cell(k=8)
MISSING_DATA = cell(seed=1)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """A file system of 20 MB: room for a state of 6 MB or two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", folder)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def failed(program: Program, out) -> str:
    """What the table says of a cell whose training failed, its record being `out`."""
    config = program.folder / "failed.yaml"
    config.write_text(
        "run: failed\nrecipe: faults\ngrids:\n"
        "  - {dataset: digits, architecture: lenet, selection: greedy, k: [2, 8], seed: 0}\n"
    )
    note = program.folder / "results" / "failed" / "cells" / CELL.path
    note.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(f"{out}.failed", f"{note}.failed")
    done = program.run("collect", "failed.yaml")
    assert done.returncode == 0, done.stderr
    assert "1 failed" in done.stdout
    return (program.folder / "results" / "failed" / "cells.csv").read_text()


def test_a_full_disk_is_told_and_noted_and_training_goes_on_when_there_is_room(program, disk):
    out, earlier = disk / "seed0.json", disk / "earlier.json"
    earlier.write_text("a result")
    filler = disk / "filler"
    process = program.start(*program.training(CELL, out))
    until(lambda: states(out), process)
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
    done = ended(process)
    refused(done, "No space left on device")
    assert not out.exists()
    assert earlier.read_text() == "a result"
    assert states(out)

    filler.unlink()
    again = program.start(*program.training(CELL, out))
    done = ended(again)
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELL))
    assert not (disk / "seed0.json.failed").exists()
    assert earlier.read_text() == "a result"


def test_a_file_that_may_not_grow_is_noted_and_the_table_says_so(program, tmp_path):
    out = tmp_path / "seed0.json"
    process = program.start(*program.training(CELL, out))
    until(lambda: states(out), process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    refused(ended(process), "File too large")
    assert not out.exists()
    assert "File too large" in failed(program, out)
    done = program.run(*program.training(CELL, out))
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELL))
    assert not (tmp_path / "seed0.json.failed").exists()


def test_a_folder_that_becomes_read_only_is_told_in_a_sentence(program, disk):
    out = disk / "seed0.json"
    process = program.start(*program.training(CELL, out))
    until(lambda: states(out), process)
    process.send_signal(signal.SIGSTOP)
    mount("-o", "remount,ro", disk) if not open_for_writing(process.pid, disk) else read_only(disk, process)
    process.send_signal(signal.SIGCONT)
    refused(ended(process), "Read-only file system")
    refused(program.run(*program.training(CELL, out)), "Read-only file system")
    mount("-o", "remount,rw", disk)
    assert program.run(*program.training(CELL, out)).returncode == 0
    same(out, program.undisturbed(CELL))
