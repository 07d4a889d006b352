"""SIGTERM in mid-training, and the states on disk."""

import os
import signal

import pytest
import torch

from slotbench.training import checkpoint


class Dying:
    """Is sent SIGTERM by itself as it is finalised, where Python prints an exception and forgets it."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_raises_where_the_program_is():
    with pytest.raises(checkpoint.Preempted), checkpoint.preemptible():
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_that_is_lost_in_a_finaliser_is_raised_by_the_next_check():
    with checkpoint.preemptible() as preemption:
        preemption.check()
        dying = Dying()
        del dying
        with pytest.raises(checkpoint.Preempted):
            preemption.check()


def test_a_second_sigterm_does_not_disturb_what_the_first_one_started():
    with checkpoint.preemptible():
        with pytest.raises(checkpoint.Preempted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_after_the_end_waits_for_it():
    with checkpoint.preemptible() as preemption:
        preemption.end()
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_newest_two_states_stay_and_later_ones_can_be_removed(tmp_path):
    for epoch in (1, 2, 3, 12):
        checkpoint.write(checkpoint.State(epoch, {"x": torch.full((3,), float(epoch))}, {"epoch": epoch}), tmp_path)
    assert [state.epoch for state in checkpoint.read(tmp_path)] == [12, 3]
    checkpoint.clear(tmp_path, after=3)
    (left,) = checkpoint.read(tmp_path)
    assert (left.epoch, left.rest) == (3, {"epoch": 3})
    assert torch.equal(left.tensors["x"], torch.full((3,), 3.0))
    checkpoint.clear(tmp_path)
    assert list(checkpoint.read(tmp_path)) == []
