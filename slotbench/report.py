"""The table → report/<run>: figures, tables, and index.html, which shows them. Nothing is read but the table.

The folder needs no server and no network. The same table gives the same bytes: every date and number in it
comes from records. Links to records are relative: they hold where results/ and report/ stand side by side.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from slotbench import claims, figures, table, tables
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.records import CellName, atomic

SIGNS = {"done": "✓", "diverged": "↗", "missing": "–", "failed": "✗"}
"""A status by its shape too, for who does not see its colour."""

PIXELS = 150
"""An inch of a figure on the page: its print-sized letters become as large as the text around it."""

PUBLISHED_SEEDS = 4
"""The paper's means are over 4 to 5 seeds."""


def render(run: str, results: Path, report: Path) -> Path:
    """Writes `report`/<run> from `results`/<run>/cells.parquet; returns the path of its index.html."""
    cells = table.read(results / run)
    folder = report / run
    link = _link(results, folder)
    verdicts = claims.judge(cells, claims.load())
    pictures = figures.save(cells, folder / "figures")
    page = tables.HTML.get_template("index.html").render(
        run=cells.attrs["run"],
        counts=_counts(cells),
        verdicts=_verdicts(verdicts, link),
        verdict_counts=_verdict_counts(verdicts),
        facts=_facts(cells),
        differences=_differences(cells),
        figures=[_figure(figures.FIGURES[name], picture, cells) for name, picture in pictures.items() if picture],
        empty=[figures.FIGURES[name] for name, picture in pictures.items() if picture is None],
        tables=tables.save(cells, folder / "tables"),
        cells=_cells(cells, link),
        outside=cells.attrs["outside"],
        signs=SIGNS | claims.SIGNS,
    )
    index = folder / "index.html"
    with atomic(index) as file:
        file.write(page)
    return index


README_MARKS = "<!-- numbers: begin -->", "<!-- numbers: end -->"


def update_readme(readme: Path, run: str, results: Path) -> None:
    """Writes `run`'s numbers between the two marks of `readme`, a Markdown file; the rest stays as it is."""
    begin, end = README_MARKS
    before, opened, rest = readme.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise InputError(f"{readme}: has no {begin} before {end}; put both where the numbers belong")
    with atomic(readme) as file:
        file.write(f"{before}{begin}\n{tables.markdown(table.read(results / run))}\n{end}{after}")


def _link(results: Path, folder: Path) -> Callable[[str], str]:
    """From a record's path below `results` to its address as seen from `folder`."""
    base = os.path.relpath(results, folder)
    return lambda record: quote(Path(base, record).as_posix())


def _figure(entry: figures.Entry, picture: Figure, cells: pd.DataFrame) -> dict[str, Any]:
    width, height = (round(PIXELS * inches) for inches in picture.get_size_inches())
    return {
        "name": entry.name,
        "title": entry.title,
        "caption": entry.caption(cells),
        "alt": entry.alt(cells),
        "width": width,
        "height": height,
    }


def _counts(cells: pd.DataFrame) -> dict[str, int]:
    total = cells["status"].value_counts()
    return {status: int(total.get(status, 0)) for status in SIGNS}


def _verdicts(verdicts: list[claims.Verdict], link: Callable[[str], str]) -> list[list[dict[str, Any]]]:
    """For each claim its verdicts, the first of them for all its networks."""
    return [
        [
            {
                "verdict": one,
                "distance": tables.Number(math.nan if one.distance is None else one.distance, signed=True),
                "published": tables.Number(math.nan if one.published is None else one.published),
                "compared": [(label, tables.Number(value)) for label, value in one.values.items()],
                "records": [
                    (link(record), record.split("/cells/")[-1].removesuffix(".json")) for record in one.records
                ],
            }
            for one in rows
        ]
        for _, rows in itertools.groupby(verdicts, key=lambda one: one.id)
    ]


def _verdict_counts(verdicts: list[claims.Verdict]) -> dict[str, int]:
    """How many claims have each verdict, by what is said for all their networks."""
    firsts = [next(rows).verdict for _, rows in itertools.groupby(verdicts, key=lambda one: one.id)]
    return {verdict: firsts.count(verdict) for verdict in claims.SIGNS}


def _facts(cells: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """What the run is: (term, descriptions)."""
    trained = cells[cells["status"].isin(["done", "diverged"])]
    about = cells.attrs["about"]
    networks = cells[figures.NETWORK].drop_duplicates().itertuples(index=False, name=None)
    epochs = (
        trained.groupby(["recipe", "architecture", "selection"], sort=False)["epochs"].agg(table.between).reset_index()
    )
    commits = trained.fillna({"commit": "unknown"}).groupby("commit", sort=False)
    finished = trained["finished"].str[:10]
    facts = [
        ("Networks", [f"{architecture} on {dataset}" for dataset, architecture in networks]),
        ("Selections", list(cells["selection"].unique())),
        ("K", [", ".join(map(str, sorted(cells["k"].unique())))]),
        ("Seeds", [", ".join(map(str, sorted(cells["seed"].unique())))]),
        (
            "Recipes",
            [
                f"{name}{' (decides)' if name == cells.attrs['recipe'] else ''}: {about[name]}"
                for name in sorted(about, key=lambda name: name != cells.attrs["recipe"])
            ],
        ),
        (
            "Epochs",
            [
                f"{selection}, {architecture}, recipe {recipe}: {text}"
                for recipe, architecture, selection, text in epochs.itertuples(index=False, name=None)
            ],
        ),
        ("Devices", list(trained["device"].unique())),
        (
            "Code",
            [
                f"commit {commit}: {len(rows)} cells"
                + (f", {dirty} of them with uncommitted changes" if (dirty := int(rows["dirty"].sum())) else "")
                for commit, rows in commits
            ],
        ),
        ("Trained", [f"{table.between(finished)}, {trained['wall_seconds'].sum() / 3600:.1f} hours in all"]),
    ]
    return [(term, said) for term, said in facts if said and (term != "Trained" or not trained.empty)]


def _differences(cells: pd.DataFrame) -> list[str]:
    """What keeps these numbers from being the paper's own experiment, one sentence each."""
    decides, published = cells.attrs["recipe"], figures.published()
    main = cells[cells["decides"]]
    said = []
    if decides == "paper":
        said.append("Hyper-parameters are the paper's; where its text is silent, the authors' code decides.")
    elif decides == "authors-code":
        said.append(
            "Hyper-parameters are those of the authors' code, not those of the paper's text. That code "
            "reports the last epoch; here, as in the text, the epoch of best validation accuracy counts."
        )
    else:
        said.append(
            f"The deciding recipe, {decides}, is neither the paper's nor that of the authors' code: "
            "these accuracies are not results on the paper's claims."
        )
    for text, rows in main[main["deviations"].fillna("") != ""].groupby("deviations"):
        count = "1 cell was not trained as its" if len(rows) == 1 else f"{len(rows)} cells were not trained as their"
        said.append(f"{count} recipe says: {text}.")
    known = set(published[figures.NETWORK].itertuples(index=False, name=None))
    for dataset, architecture in main[figures.NETWORK].drop_duplicates().itertuples(index=False, name=None):
        if (dataset, architecture) not in known:
            said.append(f"The paper has no {architecture} on {dataset}: nothing published stands beside it.")
    n = table.summary(main, [*figures.NETWORK, "selection", "k", "finetune"])["n"]
    n = n[n > 0]
    if few := int((n < PUBLISHED_SEEDS).sum()):
        said.append(f"The paper's means are over 4 to 5 seeds; {few} of the {len(n)} means here are over fewer.")
    return said


def _cells(cells: pd.DataFrame, link: Callable[[str], str]) -> list[dict[str, Any]]:
    """Each cell's row as the page shows it."""
    shown = []
    for row in cells.to_dict("records"):
        trained = row["status"] in ("done", "diverged")
        shown.append(
            {
                "name": str(Cell(**{axis: row[axis] for axis in CellName.model_fields})),
                "status": row["status"],
                "accuracy": tables.Number(row["test_accuracy"]),
                "last": tables.Number(row["test_accuracy_last"]),
                "epochs": row["epochs"] if trained else "–",
                "seconds": tables.Number(row["wall_seconds"], places=1),
                "href": link(row["record"]) if trained else None,
                "problem": "" if pd.isna(row["problem"]) else row["problem"],
                "command": f"snakemake --cores 2 {shlex.quote('results/' + row['record'])}",
            }
        )
    return shown
