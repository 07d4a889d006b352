"""SIGTERM in mid-training, and the states on disk."""

import os
import signal

import pytest
import torch

from slotbench import resume


class Dying:
    """Is sent SIGTERM by itself as it is finalised, where Python prints an exception and forgets it."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_raises_where_the_program_is():
    with pytest.raises(resume.Preempted), resume.preemptible():
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_that_is_lost_in_a_finaliser_is_raised_by_the_next_check():
    with resume.preemptible() as preemption:
        preemption.check()
        dying = Dying()
        del dying
        with pytest.raises(resume.Preempted):
            preemption.check()


def test_a_second_sigterm_does_not_disturb_what_the_first_one_started():
    with resume.preemptible():
        with pytest.raises(resume.Preempted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_after_the_end_waits_for_it():
    with resume.preemptible() as preemption:
        preemption.end()
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_newest_two_states_stay_and_later_ones_can_be_removed(tmp_path):
    for epoch in (1, 2, 3, 12):
        resume.write(resume.State(epoch, {"x": torch.full((3,), float(epoch))}, {"epoch": epoch}), tmp_path)
    assert [state.epoch for state in resume.read(tmp_path)] == [12, 3]
    resume.clear(tmp_path, after=3)
    (left,) = resume.read(tmp_path)
    assert (left.epoch, left.rest) == (3, {"epoch": 3})
    assert torch.equal(left.tensors["x"], torch.full((3,), 3.0))
    resume.clear(tmp_path)
    assert list(resume.read(tmp_path)) == []
