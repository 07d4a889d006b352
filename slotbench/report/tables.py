"""The table → tables for people: LaTeX (booktabs, siunitx) and HTML, from the same content; README's in Markdown.

Adding a table: one function below, under `@table`, from the cells to a `Table`; the templates
table.tex and table.html write any of them. Everything is escaped on its way out, LaTeX as well as HTML.
A column that says the same in every row is told once, in the caption.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from slotbench.files import atomic
from slotbench.report import names
from slotbench.results import published
from slotbench.results.table import NETWORK, between, summary
from slotbench.selection import SELECTIONS

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Number:
    """A number as it is printed: with `places` decimals and, where there is one, its ± half interval."""

    value: float
    half: float = math.nan
    places: int = 2
    signed: bool = False
    powers: bool = False
    """as a power of ten: 9.77 × 10¹²"""

    def _plain(self) -> str:
        kind = "e" if self.powers else "f"
        return f"{self.value:{'+' if self.signed else ''}.{self.places}{kind}}"

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        text = self._plain().replace("-", "−")
        if self.powers:
            mantissa, exponent = self._plain().split("e")
            text = f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}"
        return text if math.isnan(self.half) else f"{text} ± {self.half:.{self.places}f}"

    @property
    def tex(self) -> Tex:
        """As siunitx reads it."""
        if math.isnan(self.value):
            return Tex("{--}")
        return Tex(self._plain() + ("" if math.isnan(self.half) else f" +- {self.half:.{self.places}f}"))

    @property
    def order(self) -> str:
        """What a browser sorts it by."""
        return "" if math.isnan(self.value) else f"{self.value:.12g}"


@dataclass(frozen=True)
class Link:
    """Text that leads somewhere on a page; in LaTeX it is only text."""

    text: str
    href: str

    def __str__(self) -> str:
        return self.text

    def __html__(self) -> str:
        return Markup('<a href="{}">{}</a>').format(self.href, self.text)


Shown = str | Number | Link


@dataclass(frozen=True)
class Column:
    head: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """What a table says: columns, rows of text, `Number` and `Link`, and notes below."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Shown]]
    notes: Sequence[str] = ()

    def brief(self) -> Table:
        """Itself without columns that say the same in each of several rows, text or no number: the caption does."""
        if len(self.rows) < 2:
            return self
        same = {}
        for place, column in enumerate(self.columns):
            text = str(self.rows[0][place])
            if {str(row[place]) for row in self.rows} == {text} and (not column.numeric or text == "–"):
                same[place] = text
        told = [f"{self.columns[place].head} {text}" for place, text in same.items() if text not in ("", "–")]
        kept = [place for place in range(len(self.columns)) if place not in same]
        return replace(
            self,
            caption=self.caption + (f" In every row: {', '.join(told)}." if told else ""),
            columns=[self.columns[place] for place in kept],
            rows=[[row[place] for place in kept] for row in self.rows],
        )

    def latex(self, place: int) -> Tex:
        """The type of column `place`: siunitx for numbers, lines that break for long text."""
        if self.columns[place].numeric:
            return Tex(f"S[{self.siunitx(place)},retain-explicit-plus]")
        return Tex(r">{\raggedright\arraybackslash}p{4.6cm}" if self.breaks(place) else "l")

    def breaks(self, place: int) -> bool:
        """Whether the text of column `place` is too long for a line."""
        return max((len(str(row[place])) for row in self.rows), default=0) > BROADEST

    @property
    def wide(self) -> bool:
        """Whether LaTeX needs a page on its side for it."""
        texts = zip(*([column.head for column in self.columns], *self.rows), strict=True)
        return sum(min(max(len(str(text)) for text in column), 28) + 2 for column in texts) > WIDEST

    def siunitx(self, place: int) -> str:
        """The `S` column's options for the numbers of column `place`: room for the widest one."""
        numbers = [row[place] for row in self.rows]
        shown = [number for number in numbers if isinstance(number, Number) and not math.isnan(number.value)]
        if not shown:
            return "table-format=1"
        whole = max(len(re.sub(r"[^\d].*", "", number._plain().lstrip("+-"))) for number in shown)
        sign = (
            "+" if any(number.signed for number in shown) else "-" if any(number.value < 0 for number in shown) else ""
        )
        places = max(number.places for number in shown)
        halves = [number for number in shown if not math.isnan(number.half)]
        digits = max(
            (len(f"{number.half:.{number.places}f}".replace(".", "").lstrip("0")) for number in halves), default=0
        )
        exponent = "e2" if any(number.powers for number in shown) else ""
        return f"table-format={sign}{whole}.{places}{f'({digits})' if digits else ''}{exponent}"


BROADEST = 22
"""Letters of a text that is set in one line."""
WIDEST = 124
"""Letters of a table's line on an upright page of A4."""

TABLES: dict[str, Callable[[pd.DataFrame], Table]] = {}


def table(name: str) -> Callable[[Callable[[pd.DataFrame], Table]], Callable[[pd.DataFrame], Table]]:
    """Puts the function below into `TABLES`, in the order of the report."""

    def register(build: Callable[[pd.DataFrame], Table]) -> Callable[[pd.DataFrame], Table]:
        TABLES[name] = build
        return build

    return register


def of(cells: pd.DataFrame) -> list[Table]:
    """Every table of a run."""
    return [build(cells).brief() for build in TABLES.values()]


def save(tables: Sequence[Table], folder: Path, run: str) -> None:
    """Writes each table as `folder`/<name>.tex, a `tabular` for any document, and as .html."""
    for content in tables:
        for environment, name in ((TEX, "table.tex"), (HTML, "table-page.html")):
            with atomic((folder / content.name).with_suffix(Path(name).suffix)) as file:
                file.write(environment.get_template(name).render(table=content, run=run))


# ---- the tables ------------------------------------------------------------------------------------------

POINT = ["dataset", "architecture", "selection", "k", "finetune", "recipe"]
"""What the cells behind one mean have in common."""
HEADS = (
    *(Column(head) for head in ("dataset", "architecture", "selection")),
    Column("K", numeric=True),
    Column("finetuned from epoch", numeric=True),
    Column("recipe"),
)


AUTHORS = "authors-code"
"""The recipe that does what the authors' code does."""
THEIR_CODE = "authors' code here (%)"


def with_published(cells: pd.DataFrame) -> pd.DataFrame:
    """`summary` of `cells` by `POINT`, with mean_published, uncertainty and source, NaN where nothing is published."""
    return summary(cells, POINT).merge(
        published.values()[[*NETWORK, "selection", "k", "mean", "uncertainty", "source"]].assign(finetune="none"),
        how="left",
        on=[*NETWORK, "selection", "k", "finetune"],
        suffixes=("", "_published"),
    )


@table("accuracy")
def accuracy(cells: pd.DataFrame) -> Table:
    """Mean test accuracy with its interval and n, beside the published value."""
    means = with_published(cells)
    theirs = (
        published.authors_code().groupby([*NETWORK, "selection", "k"])["test_accuracy"].agg(theirs="mean", runs="size")
    )
    named = theirs.reset_index().assign(finetune="none", recipe=AUTHORS)
    means = means.merge(named, how="left", on=[*NETWORK, "selection", "k", "finetune", "recipe"])
    sources = list(dict.fromkeys(means["source"].dropna()))
    rows: list[list[Shown]] = []
    notes = [f"Published, {_letter(place)}: {source}." for place, source in enumerate(sources)]
    for row in means.to_dict("records"):
        letter = _letter(sources.index(row["source"])) if row["source"] in sources else ""
        rows.append(
            [
                *axes(row),
                str(row["epochs"]),
                Number(row["n"], places=0),
                Number(row["mean"], row["half"]),
                Number(row["mean_published"], row["uncertainty"]),
                letter,
                Number(row["mean"] - row["mean_published"], signed=True),
                Number(row["theirs"]),
                Number(row["diverged"], places=0),
            ]
        )
        if row["diverged"]:
            notes.append(f"Diverged, and not in the mean: {row['diverged']} of {_words(row)}.")
    if means["theirs"].notna().any():
        seeds = ", ".join(f"{row.runs:.0f} at K = {row.k}" for row in means.dropna(subset="theirs").itertuples())
        notes.append(f"{THEIR_CODE}: the authors' own code, run on a machine like ours, last epoch; seeds: {seeds}.")
    heads = ("n", "test accuracy (%)", "published (%)")
    return Table(
        "accuracy",
        "Test accuracy in percent at the epoch of best validation accuracy: mean over n seeds ± half of the "
        "95 % t-interval (none for one seed). Published values with the uncertainty of reading them; the "
        "distance is ours minus published.",
        [
            *HEADS,
            Column("epochs"),
            *(Column(head, numeric=True) for head in heads),
            Column("source"),
            Column("distance", numeric=True),
            Column(THEIR_CODE, numeric=True),
            Column("diverged", numeric=True),
        ],
        rows,
        notes,
    )


@table("cells")
def by_status(cells: pd.DataFrame) -> Table:
    """How many cells are done, diverged, missing and failed, and which seeds are not done."""
    statuses = ("done", "diverged", "missing", "failed")
    rows: list[list[Shown]] = []
    seeds = cells[cells["status"] != "done"].groupby([*POINT, "status"])["seed"].agg(list).to_dict()
    for row in summary(cells, POINT).rename(columns={"n": "done"}).to_dict("records"):
        point = tuple(row[axis] for axis in POINT)
        absent = "; ".join(
            f"{status}: seed {', '.join(map(str, seeds[*point, status]))}"
            for status in statuses
            if (*point, status) in seeds
        )
        rows.append([*axes(row), *(Number(row[status], places=0) for status in statuses), absent])
    total = cells["status"].value_counts()
    notes = [f"In all {len(cells)} cells: {', '.join(f'{total.get(status, 0)} {status}' for status in statuses)}."]
    return Table(
        "cells",
        "Cells by status. Diverged: the loss was not finite and training ended there. Missing: no record. "
        "Failed: training or its record failed, for the reason that the report gives.",
        [*HEADS, *(Column(status, numeric=True) for status in statuses), Column("not done")],
        rows,
        notes,
    )


@table("cost")
def cost(cells: pd.DataFrame) -> Table:
    """FLOPs and peak memory of a cell.

    Not the time by the clock, which is in each record: cells that run side by side slow each other down.
    """
    done = cells[cells["status"] == "done"]
    by = [*POINT, "device"]
    costs = done.groupby(by).agg({"flops": "mean", "peak_bytes": "max"}).reset_index()
    rows: list[list[Shown]] = [
        [
            *axes(row),
            str(row["device"]),
            Number(row["n"], places=0),
            Number(row["flops"], powers=True),
            Number(row["peak_bytes"] / 2**20, places=0),
        ]
        for row in summary(done, by).merge(costs, on=by).to_dict("records")
    ]
    heads = ("n", "FLOPs", "peak memory (MiB)")
    return Table(
        "cost",
        "What a cell costs, without the cell that it starts from: FLOPs (floating-point operations of all its epochs), "
        "and peak memory (the largest of n seeds). Times by the clock, which depend on what else ran, stand on each "
        "cell's page; steps were timed by themselves (docs/performance.md).",
        [*HEADS, Column("device"), *(Column(head, numeric=True) for head in heads)],
        rows,
    )


def beside_published(cells: pd.DataFrame) -> Table:
    """`accuracy` of what is done by the deciding recipe wherever the paper has a number."""
    return accuracy(_where_published(cells)).brief()


def _where_published(cells: pd.DataFrame) -> pd.DataFrame:
    done = cells[cells["decides"] & (cells["status"] == "done")]
    points = published.values()[[*NETWORK, "selection", "k"]].assign(finetune="none").drop_duplicates()
    return done.merge(points, on=list(points.columns))


README_HEADS = ("selection", "K", "n", "test accuracy (%)", "published (%)", "distance", THEIR_CODE)


EIGHT = 8
"""options per connection, at which the paper's abstract sets selection beside learned weights"""


def markdown(cells: pd.DataFrame, beside: pd.DataFrame) -> str:
    """What README shows of a run, in Markdown: what is done by the deciding recipe wherever the paper has a number; how
    far selection is from either baseline, of which the tuned one may be among the cells `beside`; and networks that a
    recipe has trained which decides nothing."""
    done = _where_published(cells)
    shown = accuracy(done)
    networks = done[NETWORK].drop_duplicates().itertuples(index=False, name=None)
    shown_networks = [names.network(dataset, architecture) for dataset, architecture in networks]
    several = NETWORK if len(shown_networks) > 1 else []
    epochs = ", ".join(map(str, sorted(done["epochs"].unique())))
    heads = [column.head for column in shown.columns]
    places = [place for place, head in enumerate(heads) if head in (*several, *README_HEADS)]
    published_at = heads.index("published (%)")
    rows = [[str(row[place]) for place in places] for row in shown.rows if str(row[published_at]) != "–"]
    rules = ["---:" if shown.columns[place].numeric else "---" for place in places]
    return "\n".join(
        [
            f"{'; '.join(shown_networks)}. Recipe {between(done['recipe'])}, {epochs} epochs, trained on "
            f"{', '.join(sorted(done['device'].unique()))}. Test accuracy in percent at the epoch of best validation "
            "accuracy: mean over n seeds ± half of its 95 % interval; published values ± the uncertainty of reading "
            "them. Where it was run on a machine like ours, the authors' own code beside, at its last epoch.",
            "",
            *(f"| {' | '.join(row)} |" for row in ([heads[place] for place in places], rules, *rows)),
            *_baselines(done, pd.concat([cells, beside])),
            *_undecided(cells),
        ]
    )


def _baselines(done: pd.DataFrame, shown: pd.DataFrame) -> list[str]:
    """A line on each network of the cells `done` for which one of those `shown` is a tuned baseline."""
    lines = []
    tuned = shown[shown["tuned"] & ~shown["decides"] & shown["status"].eq("done")]
    for network, rows in done.groupby(NETWORK, sort=False):
        greedy = rows.loc[rows["selection"].eq("greedy") & rows["k"].eq(EIGHT), "test_accuracy"].mean()
        learned = rows.loc[rows["selection"].eq("learned"), "test_accuracy"].mean()
        baseline = summary(tuned.merge(rows[NETWORK].drop_duplicates(), on=NETWORK), ["recipe"])
        for row in baseline.to_dict("records"):
            text = f"{names.network(*network)}: {names.method('greedy', EIGHT)} is "
            text += f"{Number(greedy - learned, signed=True)} from learned weights by the recipe, and "
            text += f"{Number(greedy - row['mean'], signed=True)} from those at the learning rate that validation "
            lines += ["", text + f"chose, {Number(row['mean'], row['half'])} (n = {row['n']}, {row['recipe']})."]
    return lines


def _undecided(cells: pd.DataFrame) -> list[str]:
    """A line on each recipe's cells of networks that the deciding recipe has not trained, if there are any."""
    lines = []
    for recipe, rows in published.undecided(cells).groupby("recipe", sort=False):
        texts = [
            f"{names.network(row['dataset'], row['architecture'])}, {names.method(row['selection'], row['k'])}: "
            f"{Number(row['mean'], row['half'])} (n = {row['n']}"
            + ("" if math.isnan(row["mean_published"]) else f"; published {Number(row['mean_published'], places=1)}")
            + ")"
            for row in with_published(rows).to_dict("records")
        ]
        devices = ", ".join(sorted(rows["device"].unique()))
        lines += ["", f"Recipe {recipe}, which decides no claim, on {devices}: {'; '.join(texts)}."]
    return lines


def axes(row: Mapping[Any, Any]) -> list[Shown]:
    """The cells of a row under `HEADS`; a rule without options has no K."""
    options = row["selection"] not in SELECTIONS or SELECTIONS[row["selection"]].has_options
    start = math.nan if row["finetune"] == "none" else float(row["finetune"][1:])
    return [
        row["dataset"],
        row["architecture"],
        row["selection"],
        Number(row["k"] if options else math.nan, places=0),
        Number(start, places=0),
        row["recipe"],
    ]


def _words(row: Mapping[Any, Any]) -> str:
    method = names.method(row["selection"], row["k"], row["finetune"])
    return f"{row['architecture']} on {row['dataset']}, {method}, recipe {row['recipe']}"


def _letter(place: int) -> str:
    return chr(ord("a") + place)


# ---- writing ---------------------------------------------------------------------------------------------


class Tex(str):
    """LaTeX that is not escaped again."""


TEX_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_",
    "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "–": "--", "±": r"$\pm$",
    "≥": r"$\ge$", "×": r"$\times$", "−": "$-$", "≤": r"$\le$", "√": r"$\surd$", "σ": r"$\sigma$", "θ": r"$\theta$",
    "→": r"$\to$", 
    "≈": r"$\approx$", "◐": r"$\ominus$", "…": r"\dots{}", "·": r"$\cdot$",
    "✓": r"$\checkmark$", "✗": r"$\times$", "↗": r"$\nearrow$",
}  # fmt: skip


def escape_tex(text: object) -> Tex:
    """`text` as LaTeX (T1 encoding) that prints it; signs that LaTeX's fonts lack become "?"."""
    if isinstance(text, Tex):
        return text

    def sign(match: re.Match[str]) -> str:
        letter = match[0]
        if letter in TEX_SIGNS:
            return TEX_SIGNS[letter]
        if letter.isspace() or not letter.isprintable():
            return " "
        return letter if letter < "\u0100" else "?"

    return Tex(re.sub(r"[^A-Za-z0-9 .,;:()]", sign, str(text)))


TEMPLATES = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
HTML = jinja2.Environment(
    loader=TEMPLATES, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
# finalize sees every value that a template prints: nothing reaches LaTeX unescaped unless it is `Tex`.
TEX = jinja2.Environment(
    loader=TEMPLATES, finalize=escape_tex, undefined=jinja2.StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
    block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
    comment_start_string="<#", comment_end_string="#>",
)  # fmt: skip
TEX.globals["tex"] = Tex
