"""Signals that ask a process to end: training writes its state first.

SIGTERM comes from a scheduler, SIGINT from Ctrl-C, SIGHUP from a terminal that closes. Where a signal is ignored, as
under nohup, it stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Preempted(BaseException):
    """The process is asked to end by the signal `number`, and will be started again."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Preemption:
    """What signals do while `preemptible`: the first raises `Preempted` wherever the program is, until `end`."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.ended = False

    def stop(self, number: int, _frame: FrameType | None) -> None:
        if self.asked is None and not self.ended:  # one is enough; let the state be written
            self.asked = number
            raise Preempted(number)

    def check(self) -> None:
        """Raises it again, for where an exception is lost: in a finaliser or a callback."""
        if self.asked is not None:
            raise Preempted(self.asked)

    def end(self) -> None:
        """From here on the program runs to its end."""
        self.check()
        self.ended = True


@contextmanager
def preemptible() -> Iterator[Preemption]:
    """Turns `SIGNALS` into `Preempted`."""
    preemption = Preemption()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, preemption.stop)
    try:
        yield preemption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
