"""What a report was drawn from, and whether that has changed since.

`slotbench report` leaves it beside its pages. Contents are compared and not times, which a clone writes anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from slotbench import recipes
from slotbench.files import atomic
from slotbench.results.fingerprint import PACKAGE, reached, source
from slotbench.results.plan import Plan
from slotbench.results.standing import standing

FILE = "drawn.json"
DRAWING = frozenset({"slotbench.results.table", "slotbench.report.page"})
BESIDE = (
    "slotbench/report/claims.yaml",
    "slotbench/results/published.csv",
    "slotbench/results/authors-code-here.csv",
    "benchmarks/step_cost.json",
)
"""Other files that a report shows, below the project's folder."""


def origins(plan: Plan) -> dict[str, str]:
    """What a report of the records that there are now is drawn from: part → hash."""
    cells = [(run.run, cell) for run in (plan.run, *plan.run.others) for cell in run.cells()]
    records = []
    for name, cell in cells:
        path = plan.results / name / "cells" / cell.path
        content = _hash(path) if path.exists() else "missing"
        stands = standing(cell, path) if path.exists() else None
        records.append((name, str(cell), content, *(stands or ())))
    modules = [source(module) for module in sorted(reached(DRAWING, whole=True))]
    shown = [PACKAGE.parent / name for name in BESIDE]
    about = [recipes.FOLDER / f"{name}.yaml" for name in sorted({cell.recipe for _, cell in cells})]
    templates = sorted(path for path in (PACKAGE / "report" / "templates").rglob("*") if path.is_file())
    return {
        "the records": _digest(json.dumps([plan.run.recipe, records])),
        "the code that draws it": _digest("".join(map(_hash, [*modules, *templates]))),
        "claims, published numbers or recipes": _digest(
            "".join(_hash(path) for path in (*shown, *about) if path.exists())
        ),
    }


def outdated(plan: Plan, results: Path, report: Path) -> str | None:
    """Why the report of `plan`'s run is to be drawn again; None if it shows what there is, or there is none."""
    try:
        before = json.loads((report / plan.run.run / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return f"{report / plan.run.run / FILE} is damaged"
    changed = [
        part for part, digest in origins(plan).items() if not isinstance(before, dict) or before.get(part) != digest
    ]
    return f"{' and '.join(changed)} changed" if changed else None


def write(plan: Plan, folder: Path) -> None:
    """Says in `folder`, a report's, what it is drawn from."""
    with atomic(folder / FILE) as file:
        json.dump(origins(plan), file, indent=1)
        file.write("\n")


def _hash(path: Path) -> str:
    """Of a file's content, whatever the ends of its lines are: a checkout may turn them."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
