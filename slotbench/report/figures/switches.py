"""Which marks of a chart belong to which method, so that the page can switch it off (templates/switches.js).

A mark's id in the SVG ends with the method's name; the name of a label begins with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib.artist import Artist
from matplotlib.axes import Axes

SWITCH = re.compile(r"method-\d+-(.+)")
"""The id of a mark that can be switched off: a number of its own, and the method."""


@contextmanager
def switch(ax: Axes, method: str) -> Iterator[None]:
    """What is drawn on `ax` within belongs to `method`; to none if that is empty."""
    before = set(ax.get_children())
    yield
    for place, mark in enumerate(ax.get_children()):
        if method and mark not in before:
            belong(ax, mark, method, place)


def belong(ax: Axes, mark: Artist, method: str, place: int) -> None:
    """Makes `mark` one of `method`; `place` tells it from the others of `ax`."""
    number = f"{ax.figure.axes.index(ax)}{place:04}"
    mark.set_gid(f"method-{number}-{_plain(method)}")


def belong_by_name(ax: Axes, label: Artist, text: str) -> None:
    """Makes a label one of the method with whose name it begins, if there is one on `ax`: of several, the longest."""
    children = ax.get_children()
    known = {method[1] for mark in children if (method := SWITCH.fullmatch(mark.get_gid() or ""))}
    if names := sorted((name for name in known if _plain(text).startswith(name)), key=len):
        belong(ax, label, names[-1], children.index(label))


def _plain(text: str) -> str:
    """As an id may have it."""
    return re.sub(r"[\s,()]+", "_", text).strip("_")
