"""A rendered report, as a browser would find it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

from slotbench.cells import Cell
from slotbench.report import figures, page
from slotbench.results import table
from tests.support import synthetic


class Page(HTMLParser):
    """What a browser would find: ids, addresses, the text of each tag's kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.pictures: list[str] = []
        self.words: list[str] = []
        self.unseen = False
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.unseen = tag in ("style", "script")
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [attributes[key] for key in ("href", "src") if key in attributes]
        self.images += [attributes] if tag == "img" else []
        self.pictures += [attributes["aria-label"]] if attributes.get("role") == "img" and tag == "div" else []

    def handle_endtag(self, tag: str) -> None:
        self.unseen = False

    def handle_data(self, data: str) -> None:
        self.words += [] if self.unseen else [data]


def rendered(
    root: Path,
    cells: tuple[Cell, ...],
    *,
    name: str = "made-up",
    recipe: str = "authors-code",
    without: tuple[Cell, ...] = (),
    spoil: Callable[[synthetic.SyntheticRun], object] = lambda run: None,
    every_figure: bool = False,
) -> Path:
    """The index page of a synthetic run, below `root`, with every figure or with few."""
    run = synthetic.SyntheticRun(name, recipe, cells)
    synthetic.train(root / "results", run, without=without)
    spoil(run)
    table.write(table.collect(run, root / "results"), root / "results" / name)  # type: ignore[arg-type]  # as much of a run as it asks for
    if every_figure:
        return page.render(name, root / "results", root / "report")
    with few_figures():
        return page.render(name, root / "results", root / "report")


@contextmanager
def few_figures() -> Iterator[None]:
    """A report has of its figures this one and those of the verdicts: to draw takes longer than all the rest of it."""
    name = "accuracy-over-k"
    with mock.patch.dict(figures.FIGURES, {name: figures.FIGURES[name]}, clear=True):
        yield


def local(page: Page, index: Path) -> list[tuple[Path, str]]:
    """What a page links to, as (path, anchor); both can be empty."""
    addresses = [address for address in page.addresses if not address.startswith("data:")]
    parts = [address.partition("#") for address in addresses]
    return [(index.parent / unquote(path) if path else index, anchor) for path, _, anchor in parts]


def panels_of(folder: Path) -> dict[str, Any]:
    """What cell.html can show: each cell of the run with its content."""
    panels: dict[str, Any] = {}
    for path in (folder / "cells").rglob("*.js"):
        call = re.fullmatch(r"show\((.*)\)\n", path.read_text(), re.DOTALL)
        assert call is not None, path
        content = json.loads(call[1])
        assert all(name.startswith(f"{path.relative_to(folder / 'cells').with_suffix('')}/") for name in content)
        panels |= content
    return panels
