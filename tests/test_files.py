"""Files appear whole or not at all; what a killed writer left goes; links and pipes in a file's place are refused."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from slotbench import locking
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic, open_plain
from slotbench.results import records, status, table
from tests.support import synthetic

CELL = Cell("paper", "mnist", "lenet", "greedy", 8, "none", 0)
WRITER = """
import sys, time
from pathlib import Path
from slotbench.files import atomic
with atomic(Path(sys.argv[1]), "wb") as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def test_what_a_killed_writer_left_is_removed_by_the_next_and_a_living_one_s_stays(tmp_path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / name)], stdout=subprocess.PIPE)
        for name in ("dead.bin", "alive.bin")
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == b"writing\n"
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        assert len(parts(tmp_path)) == 2
        with atomic(tmp_path / "other.json") as file:
            file.write("whole")
        (left,) = parts(tmp_path)
        assert left.name.startswith(".alive.bin.")
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_writers_beside_each_other_do_not_remove_what_others_write(tmp_path):
    def write(name: str) -> None:
        for number in range(50):
            with atomic(tmp_path / name) as file:
                file.write(f"{number}")

    threads = [threading.Thread(target=write, args=(f"{number}.json",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.read_text() for path in tmp_path.iterdir()} == {"49"}


@pytest.mark.parametrize("name", ["there.json", "x" * 255, "x" * 250])
def test_an_error_names_the_file_and_not_its_part(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    if len(name) < 100:
        (folder / name).mkdir()
    with pytest.raises(OSError) as caught, atomic(folder / name) as file:
        file.write("")
    assert str(caught.value.filename) == str(folder / name)
    assert ".part" not in str(caught.value)
    assert parts(tmp_path) == []


def link(path: Path) -> None:
    (path.parent / "elsewhere").write_text("{}")
    path.symlink_to(path.parent / "elsewhere")


@pytest.fixture(params=[link, os.mkfifo], ids=["link", "pipe"])
def placed(request):
    """Puts a link, or a pipe that nobody writes to, in the place of a file."""
    return request.param


def test_neither_links_nor_pipes_are_read_or_written_through(tmp_path, placed):
    placed(tmp_path / "file")
    with pytest.raises(OSError, match=r"a link, which is not followed|not a plain file"):
        open_plain(tmp_path / "file")
    with pytest.raises(OSError, match=r"a link, which is not followed|not a plain file"), atomic(tmp_path / "file"):
        pass
    assert not (tmp_path / "file").is_file() or (tmp_path / "elsewhere").read_text() == "{}"


def test_a_record_or_note_that_is_none_is_told_and_not_waited_for(tmp_path, placed):
    run = synthetic.SyntheticRun("made-up", "paper", (CELL,))
    path = synthetic.path(tmp_path, run, CELL)
    path.parent.mkdir(parents=True)
    placed(path)
    with pytest.raises(InputError, match=r"seed0\.json: (a link, which is not followed|not a plain file)"):
        records.read(path)
    (row,) = table.collect(run, tmp_path).cells.to_dict("records")
    assert row["status"] == "failed"
    path.unlink()
    placed(path.with_name(f"{path.name}.failed"))
    (row,) = table.collect(run, tmp_path).cells.to_dict("records")
    assert "seed0.json.failed: " in row["problem"]
    assert "seed0.json.failed: " in status.state_of(CELL, path, None).note


def test_a_lock_that_is_none_is_refused_and_not_waited_for(tmp_path, placed):
    placed(tmp_path / "lock")
    with (
        pytest.raises(OSError, match=r"(a link, which is not followed|not a plain file)"),
        locking.lock(tmp_path / "lock", "trains this cell"),
    ):
        pass
    assert locking.holder(tmp_path / "lock") is None


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_who_may_read_a_file_is_the_umasks_to_say(tmp_path, umask):
    code = f"import os; os.umask({umask})\nfrom pathlib import Path\nfrom slotbench.files import atomic\n"
    code += f"with atomic(Path({str(tmp_path / 'file')!r})) as file: file.write('ü')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "file").read_bytes() == "ü".encode()
