"""report/<run>/index.html → report/<run>.html: the page as one file, to be sent alone.

Styles, scripts and figures are in the page already. What leads to another file of the folder would lead nowhere, and is
text here; downloads are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

from slotbench.files import atomic

ELSEWHERE = re.compile(r'<a (?:[^>]*? )?href="(?!#|https?:|data:)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
FILES = re.compile(r'<(span|p) class="files">.*?</\1>', re.DOTALL)
NOTE = (
    '<p class="note">This file is all of the page. The page of each cell, the records and the figures as files lie in '
    "the folder that it was made from.</p>"
)


def write(index: Path) -> Path:
    """Writes the page `index` as one file beside its folder; returns its path."""
    page = index.read_text(encoding="utf-8")
    page = FILES.sub("", page)
    page = ELSEWHERE.sub(r"\1", page)
    page = page.replace('<main id="main">', f'<main id="main">\n{NOTE}', 1)
    path = index.parent.with_name(f"{index.parent.name}.html")
    with atomic(path) as file:
        file.write(page)
    return path
