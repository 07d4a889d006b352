"""Writes what was measured, benchmarks/*.json, into README and the pages of docs/ as tables.

    python benchmarks/tables.py

A table stands between `<!-- measured: NAME -->` and `<!-- end -->`; what all its rows share is said once, below it.
Of a command that was timed, what it printed stands there.
"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MARKED = re.compile(r"(?<=<!-- measured: )(?P<name>[\w-]+)(?P<mark> -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as a table in Markdown."""
    same = {
        key: value for key, value in rows[0].items() if len(rows) > 1 and all(row.get(key) == value for row in rows)
    }
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in same]
    lines = [
        [key.replace("_", " ") for key in columns],
        ["---"] * len(columns),
        *([shown(row.get(key)) for key in columns] for row in rows),
    ]
    words = "; ".join(f"{key.replace('_', ' ')} {shown(value)}" for key, value in same.items())
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + (f"\n\n{words}\n" if words else "\n")


def printed(timed: dict[str, Any]) -> str:
    """A command, what it printed, and how long it took on what."""
    lines = ["```text", f"$ {timed['command']}", *timed["output"], "```", ""]
    return "\n".join(lines) + f"{timed['minutes']} minutes on {timed['cores']} cores, {timed['device']}.\n"


def shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def filled(page: str) -> str:
    """A page with its tables as they have been measured."""

    def measured(match: re.Match[str]) -> str:
        content = json.loads((ROOT / "benchmarks" / f"{match['name']}.json").read_text(encoding="utf-8"))
        return match["name"] + match["mark"] + (table(content) if isinstance(content, list) else printed(content))

    return MARKED.sub(measured, page)


def pages() -> list[Path]:
    """Those that have something measured in them."""
    all_pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in all_pages if MARKED.search(page.read_text(encoding="utf-8"))]


def main() -> None:
    for page in pages():
        if (new := filled(old := page.read_text(encoding="utf-8"))) != old:
            page.write_text(new, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
