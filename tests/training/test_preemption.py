"""Signals in mid-training."""

import os
import signal

import pytest

from slotbench.training import preemption


class Dying:
    """Is sent SIGTERM by itself as it is finalised, where Python prints an exception and forgets it."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("number", preemption.SIGNALS)
def test_a_signal_to_end_raises_where_the_program_is(number):
    outside = signal.signal(number, signal.SIG_DFL)  # under nohup or in the background it is ignored, and stays so
    try:
        with pytest.raises(preemption.Preempted) as preempted, preemption.preemptible():
            os.kill(os.getpid(), number)
        assert preempted.value.number == number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_signal_that_is_ignored_stays_so():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with preemption.preemptible() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            asked.check()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_that_is_lost_in_a_finaliser_is_raised_by_the_next_check():
    with preemption.preemptible() as asked:
        asked.check()
        dying = Dying()
        del dying
        with pytest.raises(preemption.Preempted):
            asked.check()


def test_a_second_sigterm_does_not_disturb_what_the_first_one_started():
    with preemption.preemptible():
        with pytest.raises(preemption.Preempted):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_after_the_end_waits_for_it():
    with preemption.preemptible() as asked:
        asked.end()
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
