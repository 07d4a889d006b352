"""The table → report/<run>: index.html with its figures, tables and a page for each cell, and paper.tex of the same.

Nothing is read but the table, and by `cell_pages` the records that it names. The folder needs no server and no
network. The same table gives the same bytes: every date and number in it comes from records. Links to records are
relative: they hold where results/ and report/ stand side by side.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.report import answer, cell_pages, claims, figures, names, paper, slot_machine, tables
from slotbench.report.figures import style
from slotbench.report.judge import judge
from slotbench.report.readings import robustness
from slotbench.report.tables import Column, Link, Number, Table
from slotbench.report.verdict import DECIDING, NOT_RUN, Verdict
from slotbench.results import published, table

SIGNS = {"done": "✓", "diverged": "↗", "missing": "–", "failed": "✗"}
"""A status by its shape too, for who does not see its colour."""

PIXELS = 150
"""An inch of a figure on the page: its print-sized letters become as large as the text around it."""

PUBLISHED_SEEDS = 4
"""The paper's means are over 4 to 5 seeds."""


def render(run: str, results: Path, report: Path) -> Path:
    """Writes `report`/<run> from `results`/<run>/cells.parquet; returns the path of its index.html."""
    collected = table.read(results / run)
    cells, shown_cells = collected.cells, collected.shown
    folder = report / run
    link = _link(results, folder)
    known = claims.load()
    verdicts = judge(collected, known)
    pictures = figures.save(collected, folder / "figures")
    of_verdicts = figures.save_of_verdicts(collected, verdicts, folder / "figures")
    drawn = {name: _figure(picture) for name, picture in (of_verdicts | pictures).items() if picture}
    shown = [_verdict_table(verdicts).brief(), robustness(verdicts).brief(), *tables.of(shown_cells)]
    tables.save(shown, folder / "tables", collected.run)
    cell_pages.render(collected, results, folder, link)
    content: dict[str, Any] = {
        "run": collected.run,
        "answer": answer.sentence(verdicts, known),
        "matrix": answer.matrix(verdicts, known),
        "network_labels": {name: names.architecture_label(name) for name in known.networks},
        "counts": _counts(cells),
        "verdict_counts": _verdict_counts(verdicts),
        "facts": _facts(collected),
        "code": _code(cells),
        "differences": _differences(cells, collected.recipe),
        "hero": drawn.get(figures.HERO),
        "forest": drawn.get(figures.CLAIMS),
        "figures": [drawn[name] for name in pictures if name in drawn],
        "common": figures.common(shown_cells),
        "empty": [figures.FIGURES[name] for name, picture in pictures.items() if picture is None],
        "tables": shown,
    }
    groups = _verdicts(verdicts, link, _study(results))
    judged = [group for group in groups if group[0]["verdict"].verdict != NOT_RUN]
    content["not_run"] = [group[0]["verdict"] for group in groups if group[0]["verdict"].verdict == NOT_RUN]
    content["unpublished"] = _published_but_not_run(cells)
    page = tables.HTML.get_template("index.html").render(
        **content,
        smoke=collected.recipe not in DECIDING,
        real="../reference/index.html" if (report / "reference" / "index.html").exists() else "",
        verdicts=judged,
        slot_machine=Markup(slot_machine.html()),
        all_cells=_all_cells(shown_cells),
        beside=len(shown_cells) - len(cells),
        absent=_absent(cells),
        outside=collected.outside,
        signs=SIGNS | answer.KINDS,
        dark=style.dark_variables("".join(picture["wide"] + picture["narrow"] for picture in drawn.values())),
    )
    paper.render(content, collected, judged, drawn, folder)
    with atomic(folder / "captions.json") as file:
        file.write(_captions(drawn.values(), shown))
    index = folder / "index.html"
    with atomic(index) as file:
        file.write(page)
    return index


README_MARKS = "<!-- numbers: begin -->", "<!-- numbers: end -->"
ANSWER_MARKS = "<!-- answer: begin -->", "<!-- answer: end -->"


def update_readme(readme: Path, run: str, results: Path) -> None:
    """Writes `run`'s numbers between the two marks of `readme`, a Markdown file, and the answer between two others.

    The rest stays as it is.
    """
    text, collected = readme.read_text(encoding="utf-8"), table.read(results / run)
    text = _between(text, README_MARKS, tables.markdown(collected.cells, collected.beside), readme)
    if ANSWER_MARKS[0] in text:
        known = claims.load()
        text = _between(text, ANSWER_MARKS, answer.markdown(judge(collected, known), known), readme)
    with atomic(readme) as file:
        file.write(text)


def _between(text: str, marks: tuple[str, str], content: str, path: Path) -> str:
    begin, end = marks
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (opened and closed):
        raise InputError(f"{path}: has no {begin} before {end}; put both where the numbers belong")
    return f"{before}{begin}\n{content}\n{end}{after}"


def _link(results: Path, folder: Path) -> Callable[[str], str]:
    """From a record's path below `results` to its address as seen from `folder`."""
    base = os.path.relpath(results, folder)
    return lambda record: quote(Path(base, record).as_posix())


def _figure(drawn: figures.Drawn) -> dict[str, Any]:
    picture = drawn.picture
    width, height = (round(PIXELS * inches) for inches in picture.get_size_inches())
    return {
        "name": drawn.name,
        "words": drawn.words,
        "wide": Markup(style.for_page(drawn.wide, drawn.name)),
        "narrow": Markup(style.for_page(drawn.narrow, f"narrow-{drawn.name}")) if drawn.narrow else "",
        "width": width,
        "height": height,
        "fraction": min(1.0, round(picture.get_size_inches()[0] / 6.7, 2)),  # of a page, at its own size if that fits
    }


def _captions(pictures: Iterable[dict[str, Any]], shown: list[Table]) -> str:
    """Title and caption of all figures and tables as JSON, captions in the reStructuredText of Snakemake's report."""

    def plain(text: str) -> str:
        return re.sub(r"([\\*`|_])", r"\\\1", text)

    return json.dumps(
        {
            "figures": {
                picture["name"]: {
                    "title": picture["words"].title,
                    "caption": plain(f"{picture['words'].finding}. {picture['words'].alone}"),
                }
                for picture in pictures
            },
            "tables": {
                shown_table.name: {
                    "title": shown_table.name.capitalize(),
                    "caption": plain(" ".join([shown_table.caption, *shown_table.notes])),
                }
                for shown_table in shown
            },
        },
        indent=1,
    )


def _counts(cells: pd.DataFrame) -> dict[str, int]:
    total = cells["status"].value_counts()
    return {status: int(total.get(status, 0)) for status in SIGNS}


def _study(results: Path) -> pd.DataFrame:
    """The cells of the run `study`, which changes one setting of the authors' recipe at a time; none without it."""
    try:
        return table.read(results / "study").cells
    except InputError:
        return pd.DataFrame()


def _verdicts(verdicts: list[Verdict], link: Callable[[str], str], study: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """For each claim its verdicts: for all its networks first, unless only one has been run and says the same."""
    return [
        [
            {
                "verdict": replace(verdict, reason=names.in_words(verdict.reason)),
                "kind": kind,
                "networks": _networks(verdict, group),
                "why": answer.why(verdict, study),
                "distance": Number(math.nan if verdict.distance is None else verdict.distance, signed=True),
                "published": Number(math.nan if verdict.published is None else verdict.published),
                "compared": [(label, Number(value)) for label, value in verdict.values.items()],
                "scale": _scale(verdict),
                "records": [
                    (link(record), record.split("/cells/")[-1].removesuffix(".json")) for record in verdict.records
                ],
            }
            for verdict, kind in zip(shown, answer.kinds(group), strict=False)  # one alone is shown as its claim is
        ]
        for group in answer.grouped(verdicts)
        for shown in [group[1:] if len(group) == 2 else group]
    ]


def _networks(verdict: Verdict, group: list[Verdict]) -> str:
    """Which networks a row of the verdicts is about."""
    asked, own = len(group[0].architectures), len(verdict.architectures)
    if own > 1:
        return f"all {own}"
    label = names.architecture_label(verdict.architectures[0])
    return f"{label} (the other {asked - 1} not run)" if asked > 1 and len(group) == 2 else label


def _verdict_counts(verdicts: list[Verdict]) -> dict[str, int]:
    """How many claims there are of each kind."""
    kinds = [answer.kind_of_all(group) for group in answer.grouped(verdicts)]
    return {kind: kinds.count(kind) for kind in answer.KINDS if kind in kinds}


SCALE = 200
"""The width of a verdict's picture in pixels."""


def _scale(verdict: Verdict) -> dict[str, Any] | None:
    """Where the picture of a verdict has its parts, in pixels: margin, interval, mean, and what was published."""
    if verdict.mean is None or verdict.margin is None:
        return None
    margin = verdict.margin
    values = [
        value for value in (verdict.mean, verdict.low, verdict.high, margin, verdict.published) if value is not None
    ]
    room = 0.12 * ((max(values) - min(values)) or 1)
    low, high = min(values) - room, max(values) + room

    def place(value: float | None) -> float | None:
        return None if value is None else round(SCALE * (value - low) / (high - low), 1)

    return {
        "width": SCALE, "margin": place(margin), "mean": place(verdict.mean), "low": place(verdict.low),
        "high": place(verdict.high), "published": place(verdict.published),
    }  # fmt: skip


def _verdict_table(verdicts: list[Verdict]) -> Table:
    """The verdicts as a table like the others, for LaTeX and for a page of its own."""
    heads = ("n", "mean", "low", "high")
    return Table(
        "verdicts",
        "Verdicts on the paper's claims: the mean over n seeds with its 95 % interval from low to high, and what it "
        "has to be. Reproduced: the whole interval lies on the claim's side, so that the claim holds here, which is "
        "not to say that the published number came out; not reproduced: on the other; too close to call: it contains "
        "the margin; open: there are too few seeds, or a planned cell is not done. Intervals are over seeds, with one "
        "split of the training images and one test set. Many claims are judged without a correction; Holm's stands in "
        "the table of readings.",
        [
            Column("claim"),
            Column("networks"),
            Column("verdict"),
            *(Column(head, numeric=True) for head in heads),
            Column("has to be"),
            Column("published", numeric=True),
        ],
        [
            [
                verdict.statement,
                f"all {len(verdict.architectures)}" if len(verdict.architectures) > 1 else verdict.architectures[0],
                f"{answer.KINDS[kind]} {kind}" + (f" ({verdict.mark})" if verdict.depends else ""),
                Number(verdict.n, places=0),
                *(Number(math.nan if value is None else value) for value in (verdict.mean, verdict.low, verdict.high)),
                verdict.asks,
                Number(math.nan if verdict.published is None else verdict.published),
            ]
            for group in answer.grouped(verdicts)
            for verdict, kind in zip(group, answer.kinds(group), strict=True)
        ],
    )


def _facts(collected: table.Collected) -> list[tuple[str, list[str]]]:
    """What the run is: (term, descriptions)."""
    cells, about = collected.shown, collected.about
    trained = cells[cells["status"].isin(["done", "diverged"])]
    networks = cells[table.NETWORK].drop_duplicates().to_numpy()
    epochs = trained.groupby(["recipe", "selection"], sort=False)["epochs"].agg(table.between)
    finished = trained["finished"].str[:10]
    facts = [
        ("Networks", [", ".join(names.network(*network) for network in networks)]),
        ("Selections", [", ".join(cells["selection"].unique())]),
        ("K", [", ".join(map(str, sorted(cells["k"].unique())))]),
        ("Seeds", [", ".join(map(str, sorted(cells["seed"].unique())))]),
        (
            "Recipes",
            [
                f"{name}{' (decides)' if name == collected.recipe else ''}: {about[name]}"
                for name in sorted(about, key=lambda name: name != collected.recipe)
            ],
        ),
        (
            "Epochs",
            [
                f"recipe {recipe}: " + ", ".join(f"{selection} {text}" for selection, text in of_recipe.items())
                for recipe in epochs.index.unique(level=0)
                for of_recipe in [epochs.loc[recipe]]
            ],
        ),
        ("Devices", list(trained["device"].unique())),
        ("Trained", [f"{table.between(finished)}, {trained['wall_seconds'].sum() / 3600:.1f} hours in all"]),
    ]
    return [(term, values) for term, values in facts if values and (term != "Trained" or not trained.empty)]


def _code(cells: pd.DataFrame) -> list[tuple[str, list[str], list[str]]]:
    """Which code made the records: (commit and how many, why some of them would be made again today, why others of them
    stand although code has changed)."""
    trained = cells[cells["status"].isin(["done", "diverged"])].fillna(
        {"commit": "unknown", "stale": "", "vouched": ""}
    )
    made_by = []
    for commit, rows in trained.groupby("commit", sort=False):
        made = f"commit {commit}: {_cells(len(rows))}"
        if dirty := int(rows["dirty"].fillna(False).sum()):
            made += f", {dirty} of them with uncommitted changes"
        stale = rows.loc[rows["stale"] != "", "stale"].value_counts(sort=False)
        vouched = rows.loc[rows["vouched"] != "", "vouched"].value_counts(sort=False)
        made_by.append(
            (
                made,
                [f"{_cells(count)} since then: {reason}" for reason, count in stale.items()],
                [f"{_cells(count)}: {sentence}" for sentence, count in vouched.items()],
            )
        )
    return made_by


def _cells(count: int) -> str:
    return f"{count} cell{'s' if count != 1 else ''}"


def _differences(cells: pd.DataFrame, decides: str) -> list[str]:
    """What keeps these numbers from being the paper's own experiment, one sentence each."""
    values = published.values()
    main = cells[cells["decides"]]
    sentences = []
    if decides == "paper":
        sentences.append("Hyper-parameters are the paper's; where its text is silent, the authors' code decides.")
    elif decides == "authors-code":
        sentences.append(
            "Hyper-parameters are those of the authors' code, not those of the paper's text. That code "
            "reports the last epoch; here, as in the text, the epoch of best validation accuracy counts."
        )
    else:
        sentences.append(
            f"The deciding recipe, {decides}, is neither the paper's nor that of the authors' code: "
            "these accuracies are not results on the paper's claims."
        )
    for text, rows in main[main["deviations"].fillna("") != ""].groupby("deviations"):
        count = "1 cell was not trained as its" if len(rows) == 1 else f"{len(rows)} cells were not trained as their"
        sentences.append(f"{count} recipe says: {text}.")
    known = set(values[table.NETWORK].itertuples(index=False, name=None))
    for dataset, architecture in main[table.NETWORK].drop_duplicates().itertuples(index=False, name=None):
        if (dataset, architecture) not in known:
            sentences.append(f"The paper has no {names.network(dataset, architecture)} to compare with.")
    n = table.summary(main, [*table.NETWORK, "selection", "k", "finetune"])["n"]
    n = n[n > 0]
    if few := int((n < PUBLISHED_SEEDS).sum()):
        sentences.append(f"The paper's means are over 4 to 5 seeds; {few} of the {len(n)} means here are over fewer.")
    return sentences


def _all_cells(cells: pd.DataFrame) -> Table:
    """Every cell with its status, and a link to its page."""
    heads = ("test accuracy (%)", "at the last epoch (%)", "epochs", "wall time (s)")
    rows = []
    for row in cells.to_dict("records"):
        cell = cell_pages.cell_of(row)
        dataset, architecture, _, k, start, recipe = tables.axes(row)
        rows.append(
            [
                dataset, architecture, Link(cell.selection, cell_pages.address(cell)), k, start,
                Number(row["seed"], places=0), recipe, f"{SIGNS[row['status']]} {row['status']}", 
                Number(row["test_accuracy"]), Number(row["test_accuracy_last"]),
                Number(math.nan if pd.isna(row["epochs"]) else row["epochs"], places=0),
                Number(row["wall_seconds"], places=1),
            ]
        )  # fmt: skip
    *named, recipe_head = tables.HEADS
    columns = [*named, Column("seed", numeric=True), recipe_head, Column("status")]
    return Table(
        "all-cells",
        "Each cell leads to its page: curves, recipe, provenance, and the commands that train it again. Test accuracy "
        "is at the epoch of best validation accuracy, and at the last epoch.",
        [*columns, *(Column(head, numeric=True) for head in heads)],
        rows,
    ).brief()


def _absent(cells: pd.DataFrame) -> list[dict[str, str]]:
    """The cells without a result: their page, why, and the command that trains them."""
    return [
        {
            "name": str(cell_pages.cell_of(row)),
            "status": row["status"],
            "href": cell_pages.address(cell_pages.cell_of(row)),
            "problem": "" if pd.isna(row["problem"]) else row["problem"],
            "command": f"snakemake {shlex.quote('results/' + row['record'])}",
        }
        for row in cells[~cells["status"].isin(["done", "diverged"])].to_dict("records")
    ]


def _published_but_not_run(cells: pd.DataFrame) -> list[str]:
    """What the paper has numbers of, and this run has not: a line for each network and selection."""
    axes = [*table.NETWORK, "selection", "k"]
    done = cells[cells["decides"] & (cells["status"] == "done") & (cells["finetune"] == "none")]
    values = published.values()[axes].merge(done[axes].drop_duplicates(), on=axes, how="left", indicator=True)
    lacking = values[values["_merge"] == "left_only"].groupby([*table.NETWORK, "selection"], sort=False)["k"]
    networks: dict[str, list[str]] = {}
    for (dataset, architecture, selection), ks in lacking:
        at = "" if set(ks) == {1} else f" at K = {', '.join(map(str, sorted(ks)))}"
        networks.setdefault(names.network(dataset, architecture), []).append(f"{selection}{at}")
    return [f"{network}: {'; '.join(missing)}" for network, missing in networks.items()]
