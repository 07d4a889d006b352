"""SIGKILL at random moments of real training: the same record, the same bits.

`make soak` is the long form: SLOTBENCH_KILLS says how often in all.
"""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.support.program import CELLS, ended, states, until
from tests.support.records import same

KILLS = int(os.environ.get("SLOTBENCH_KILLS", "6"))


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_killed_again_and_again_ends_as_if_nothing_had_happened(name, program, tmp_path):
    kills = KILLS // len(CELLS) + (list(CELLS).index(name) < KILLS % len(CELLS))
    cell, out = CELLS[name], tmp_path / "seed0.json"
    words = program.training(cell, out)
    while kills:
        shutil.rmtree(tmp_path / "seed0") if out.exists() else None
        out.unlink(missing_ok=True)
        process = program.start(*words)
        at_a_random_moment(process, out)
        process.kill()
        done = ended(process)
        assert done.returncode in (0, -9), done.stderr
        kills -= done.returncode == -9
        assert len(states(out)) <= 3  # two, and a third while one is written
    done = program.run(*words)
    assert done.returncode == 0, done.stderr
    assert "damaged" not in done.stderr
    same(out, program.undisturbed(cell))
    assert states(out) == []


def damaged(folder: Path) -> str:
    """One file of a killed cell is flipped in a bit, cut, emptied, lost or made longer; tells which and how."""
    path = random.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    content, how = path.read_bytes(), random.choice(["flipped", "cut", "emptied", "lost", "longer"])
    place = random.randrange(len(content) or 1)
    changed = {
        "flipped": content[:place] + bytes(byte ^ 1 for byte in content[place : place + 1]) + content[place + 1 :],
        "cut": content[:place],
        "emptied": b"",
        "longer": content + b"\0",
    }
    path.unlink() if how == "lost" else path.write_bytes(changed[how])
    return f"{path.name} {how}"


@pytest.mark.skipif(KILLS < 20, reason="takes minutes; `make soak`")
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_killed_and_damaged_again_and_again_ends_as_if_nothing_had_happened(name, program, tmp_path):
    kills = KILLS // len(CELLS) + (list(CELLS).index(name) < KILLS % len(CELLS))
    cell, out = CELLS[name], tmp_path / "seed0.json"
    words, damages = program.training(cell, out), []
    while kills:
        shutil.rmtree(tmp_path / "seed0") if out.exists() else None
        out.unlink(missing_ok=True)
        process = program.start(*words)
        at_a_random_moment(process, out)
        process.kill()
        done = ended(process)
        assert done.returncode in (0, -9), (done.stderr, damages)
        kills -= done.returncode == -9
        if not out.exists() and (tmp_path / "seed0").is_dir() and any((tmp_path / "seed0").iterdir()):
            damages.append(damaged(tmp_path / "seed0"))
    done = program.run(*words)
    assert done.returncode == 0, (done.stderr, damages)
    same(out, program.undisturbed(cell))
    assert states(out) == []
    assert not list(tmp_path.rglob("*.part"))


def at_a_random_moment(process, out) -> None:
    """Between the start and some epochs later: one start in five is killed while it still loads."""
    if random.random() < 0.2:
        time.sleep(random.uniform(0, 3))
        return
    seen = set(states(out))
    wanted = len(seen) + random.choice([1, 1, 2, 5])
    until(lambda: seen.update(states(out)) or len(seen) >= wanted, process)  # type: ignore[func-returns-value]
    time.sleep(random.uniform(0, 0.2))
