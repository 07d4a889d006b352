"""SIGTERM, and the same cell started twice."""

import re
import signal
import socket
import time

import pytest

from tests.support.program import CELLS, EPOCHS, cell, ended, epoch_of, states, training_begun
from tests.support.records import same

NEVER = {"SLOTBENCH_RESUME_SECONDS": "3600"}


@pytest.mark.parametrize("name", ["probabilistic", "finetuned"])
def test_sigterm_saves_the_last_epochs_end_and_the_next_start_goes_on(name, program, tmp_path):
    target, out = CELLS[name], tmp_path / "seed0.json"
    begin = time.monotonic()
    process = program.start(*program.training(target, out), **NEVER)
    told = iter(process.stderr.readline, "")
    assert any(line.startswith(f"epoch {EPOCHS // 5}/") for line in told)
    assert states(out) == []
    start = time.monotonic()
    process.terminate()
    done = ended(process)
    # A machine so busy that the start alone takes longer says nothing about 10 s.
    assert time.monotonic() - start < max(10, start - begin)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.splitlines()[-1].startswith("slotbench: ")
    assert "Traceback" not in done.stderr
    assert not out.exists()

    (state,) = states(out)
    epoch = epoch_of(state)
    assert epoch >= EPOCHS // 5
    done = program.run(*program.training(target, out), **NEVER)
    assert done.returncode == 0, done.stderr
    assert min(map(int, re.findall(r"^epoch (\d+)/", done.stderr, re.M))) > epoch
    same(out, program.undisturbed(target))
    assert states(out) == []


@pytest.mark.parametrize("seconds", [0.3, 0.8])
def test_sigterm_while_it_loads_ends_it_at_once(seconds, program, tmp_path):
    process = program.start(*program.training(cell(), tmp_path / "seed0.json"))
    time.sleep(seconds)
    process.terminate()
    done = ended(process, seconds=10)
    assert done.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in done.stderr


def test_of_two_starts_at_once_the_second_says_whom_it_waits_for_and_leaves_the_record(program, tmp_path):
    out = tmp_path / "seed0.json"
    words = program.training(CELLS["greedy"], out)
    first = training_begun(program, CELLS["greedy"], out)
    first.send_signal(signal.SIGSTOP)
    second = program.start(*words)
    told = second.stderr.readline()
    assert f"{first.pid}" in told
    assert socket.gethostname() in told
    first.send_signal(signal.SIGCONT)
    assert ended(first).returncode == 0
    written = out.stat()
    done = ended(second)
    assert done.returncode == 0, done.stderr
    assert "epoch" not in done.stderr
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    same(out, program.undisturbed(CELLS["greedy"]))


def test_who_waits_goes_on_when_the_one_before_is_killed(program, tmp_path):
    out = tmp_path / "seed0.json"
    words = program.training(CELLS["greedy"], out)
    first = training_begun(program, CELLS["greedy"], out)
    first.send_signal(signal.SIGSTOP)
    second = program.start(*words)
    assert str(first.pid) in second.stderr.readline()
    first.kill()
    ended(first)
    done = ended(second)
    assert done.returncode == 0, done.stderr
    same(out, program.undisturbed(CELLS["greedy"]))


def test_a_lock_left_by_a_killed_process_is_taken_over(program, tmp_path):
    out = tmp_path / "seed0.json"
    words = program.training(CELLS["greedy"], out)
    killed = training_begun(program, CELLS["greedy"], out)
    killed.kill()
    ended(killed)
    assert (tmp_path / "seed0" / "lock").exists()
    done = program.run(*words)
    assert done.returncode == 0, done.stderr
    assert "wait" not in done.stderr
    same(out, program.undisturbed(CELLS["greedy"]))


def test_cells_that_run_beside_each_other_do_not_disturb_each_other(program, tmp_path):
    outs = [tmp_path / f"{name}.json" for name in ("a", "b", "c")]
    processes = [program.start(*program.training(CELLS["greedy"], out)) for out in outs]
    for process, out in zip(processes, outs, strict=True):
        assert ended(process).returncode == 0
        same(out, program.undisturbed(CELLS["greedy"]))
