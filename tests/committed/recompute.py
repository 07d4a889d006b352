"""Every number of README, report and paper that comes from the committed records, computed again from the JSON files.

    python tests/committed/recompute.py

Shares no code with the package: pandas and scipy, on results/*/cells and the YAML and CSV files of claims and published
numbers. Prints what is not as it should be; status 1 if something is not.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

ROOT = Path(__file__).parents[2]
RUN, RECIPE = "reference", "authors-code"
POINT = ["dataset", "architecture", "selection", "k", "finetune", "recipe"]
PACKAGE = ROOT / "slotbench"
BESIDE = yaml.safe_load((ROOT / "config" / f"{RUN}.yaml").read_text(encoding="utf-8")).get("beside", [])
RUNS = [RUN, *([BESIDE] if isinstance(BESIDE, str) else BESIDE)]
"""whose cells the report shows"""


def cells() -> pd.DataFrame:
    """A row for each committed record of every run."""
    rows = []
    for path in sorted((ROOT / "results").glob("*/cells/**/seed*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        results, costs = record["results"], record["costs"]
        layers = results["layers"] or []
        rows.append(
            record["cell"]
            | {
                "run": path.relative_to(ROOT / "results").parts[0],
                "accuracy": 100 * results["test_accuracy"],
                "last": 100 * results["test_accuracy_last"],
                "validation": 100 * results["validation_accuracy"],
                "train": 100 * results["train_accuracy"],
                "changed": (results["curves"]["changed"] or [math.nan])[-1],
                "connections": results["connections"],
                "device": record["provenance"]["device"],
                "peak": costs["peak_bytes"],
                "state": costs["state_bytes"],
                "levels": mean_of_connections(layers, lambda layer: np.dot(layer["levels"], count(layer["levels"]))),
                "bits": mean_of_connections(layers, lambda layer: layer["bits_of_move"]),
                "epochs": results["epochs"],
                "best": results["best_epoch"],
                "start": results["start_epoch"],
                "flops_an_epoch": results["flops_per_epoch"],
                "magnitude": min(
                    (layer["selected_magnitude"] / layer["offered_magnitude"] for layer in layers), default=math.nan
                ),
            }
        )
    return pd.DataFrame(rows)


def count(shares: list[float]) -> np.ndarray:
    """1, 2, …: how many levels those have of whose share each is."""
    return np.arange(1, len(shares) + 1)


def mean_of_connections(layers: list[dict], value: Callable[[dict], float]) -> float:
    """The mean of `value` over all connections of the layers; NaN without any."""
    if not layers:
        return math.nan
    return float(np.average([value(layer) for layer in layers], weights=[layer["connections"] for layer in layers]))


def on_show(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of the run, and those of runs beside it at points where it has none itself."""
    points = pd.MultiIndex.from_frame(frame[POINT])
    new = ~points.isin(points[frame["run"].eq(RUN)])
    return frame[frame["run"].eq(RUN) | (frame["run"].isin(RUNS) & new)]


def half(values: pd.Series) -> float:
    """Half of the 95 % t-interval of the mean; NaN for one value."""
    if len(values) < 2:
        return math.nan
    return float(stats.t.isf(0.025, len(values) - 1) * stats.sem(values))


def published() -> pd.DataFrame:
    """One published value for each network, selection and K: the least uncertain, of several the last in the file."""
    frame = pd.read_csv(PACKAGE / "results" / "published.csv")
    frame["arch"] = frame["arch"].replace("lenet-300-100", "lenet")
    frame["k"] = frame["k"].fillna(1).astype(int)
    frame["order"] = -np.arange(len(frame))
    best = frame.sort_values(["uncertainty_pct", "order"]).drop_duplicates(["dataset", "arch", "method", "k"])
    return best.set_index(["dataset", "arch", "method", "k"])


def authors_code() -> pd.Series:
    """Mean test accuracy, by K, of the runs of the authors' own code at their last epochs."""
    frame = pd.read_csv(PACKAGE / "results" / "authors-code-here.csv", comment="#")
    last = frame.loc[frame.groupby(["k", "seed"])["epoch"].idxmax()]
    return last.groupby("k")["test_accuracy"].mean()


# ---- what is shown ---------------------------------------------------------------------------------------


class Tables(HTMLParser):
    """The tables of a page: rows of (text, data-sort)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[list[str]]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        self.inside = self.inside or tag in ("td", "th")
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append(["", dict(attrs).get("data-sort") or ""])

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1][0] += data


def table(path: Path) -> Iterator[dict[str, list[str]]]:
    """The rows of a table's own page, by their heads."""
    heads: list[str] = []
    for row in Tables(path.read_text(encoding="utf-8")).rows:
        if not heads:
            heads = [text.strip() for text, _ in row]
        elif len(row) == len(heads):
            yield dict(zip(heads, row, strict=True))


def shown(mean: float, half_width: float, places: int = 2) -> str:
    text = f"{mean:.{places}f}"
    return text if math.isnan(half_width) else f"{text} ± {half_width:.{places}f}"


# ---- README and the table of accuracies ------------------------------------------------------------------


def wrong_in_readme(text: str, frame: pd.DataFrame) -> list[str]:
    """Rows of README's table that are not as the records have it, and means of the records that it lacks."""
    own = frame[frame["run"].eq(RUN) & frame["recipe"].eq(RECIPE) & frame["finetune"].eq("none")]
    own = own[own["dataset"].eq("mnist") & own["architecture"].eq("lenet")]
    values, theirs, wrong, seen = published(), authors_code(), [], set()
    for line in text.partition("<!-- numbers: begin -->")[2].partition("<!-- numbers: end -->")[0].splitlines():
        parts = [part.strip() for part in line.strip("| ").split("|")]
        if len(parts) < 6 or not re.fullmatch(r"\d+", parts[2]):
            continue
        selection, k = parts[0].replace(" ", "-"), 1 if parts[1] == "–" else int(parts[1])
        rows = own.loc[own["selection"].eq(selection) & own["k"].eq(k), "accuracy"]
        paper = values.loc[("mnist", "lenet", selection, k)]
        distance = rows.mean() - paper["test_accuracy_pct"]
        expected = [
            str(len(rows)),
            shown(rows.mean(), half(rows)),
            f"{paper['test_accuracy_pct']:.2f} ± {paper['uncertainty_pct']:.2f}",
            f"{distance:+.2f}".replace("-", "−"),
            f"{theirs[k]:.2f}" if selection == "greedy" and k in theirs else "–",
        ]
        seen.add((selection, k))
        wrong += [f"README, {selection} at K = {k}: {part}, not {number}"
                  for part, number in zip(parts[2:], expected, strict=True) if part != number]  # fmt: skip
    published_points = {
        (method, k) for dataset, arch, method, k in values.index if (dataset, arch) == ("mnist", "lenet")
    }
    there = set(own[["selection", "k"]].itertuples(index=False, name=None)) & published_points
    wrong += [f"README lacks {selection} at K = {k}" for selection, k in sorted(there - seen)]
    sentences = [baselines(own, frame), *of_another_recipe(frame)]
    return wrong + [f"README lacks: {sentence}" for sentence in sentences if sentence not in text]


def baselines(own: pd.DataFrame, frame: pd.DataFrame) -> str:
    """How far greedy selection at K = 8 is from learned weights: the recipe's, and those of the rate of validation."""
    learned = frame[frame["run"].isin(RUNS) & frame["selection"].eq("learned") & frame["dataset"].eq("mnist")]
    means = learned[learned["architecture"].eq("lenet")].groupby("recipe")["validation"].mean()
    best = means.idxmax()
    tuned = learned.loc[learned["recipe"].eq(best), "accuracy"]
    greedy = own.loc[own["selection"].eq("greedy") & own["k"].eq(8), "accuracy"].mean()
    by_recipe = own.loc[own["selection"].eq("learned"), "accuracy"].mean()
    apart = [f"{greedy - other:+.2f}".replace("-", "−") for other in (by_recipe, tuned.mean())]
    return (
        f"greedy at K = 8 is {apart[0]} from learned weights by the recipe, and {apart[1]} from those at the learning "
        f"rate that validation chose, {shown(tuned.mean(), half(tuned))} (n = {len(tuned)}, {best})."
    )


def of_another_recipe(frame: pd.DataFrame) -> Iterator[str]:
    """The means of CIFAR-10's cells, which the deciding recipe has not trained."""
    own = frame[frame["run"].eq(RUN) & frame["dataset"].eq("cifar10") & frame["recipe"].ne(RECIPE)]
    for (_, k), rows in own.groupby(["architecture", "k"]):
        yield f"greedy at K = {k}: {shown(rows['accuracy'].mean(), half(rows['accuracy']))} (n = {len(rows)}; published"


AXES = {
    "dataset": "dataset",
    "architecture": "architecture",
    "selection": "selection",
    "K": "k",
    "finetuned from epoch": "finetune",
    "recipe": "recipe",
}


def wrong_in_accuracies(path: Path, frame: pd.DataFrame) -> list[str]:
    """Rows of the report's table of accuracies that are not as the records have it."""
    wrong, rows = [], list(table(path))
    for row in rows:
        chosen = on_show(frame)
        for head, column in AXES.items():
            if head in row:
                text = row[head][0].strip()
                absent = {"k": 1, "finetune": "none"}.get(column)
                wanted = absent if text == "–" else int(text) if column == "k" else text
                wanted = f"e{wanted}" if column == "finetune" and text != "–" else wanted
                chosen = chosen[chosen[column].eq(wanted)]
        name = ", ".join(text.strip() for text, _ in row.values())
        accuracies = chosen["accuracy"]
        head = next(head for head in row if head.startswith("test accuracy"))
        text, order = row[head]
        if chosen[[axis for axis in POINT if axis != "finetune"]].drop_duplicates().shape[0] != 1:
            wrong.append(f"{path.name}: no cells, or several kinds, behind: {name}")
        elif text.strip() != shown(accuracies.mean(), half(accuracies)) or abs(float(order) - accuracies.mean()) > 1e-8:
            wrong.append(f"{path.name}: {text.strip()}, not {shown(accuracies.mean(), half(accuracies))}: {name}")
        elif int(row["n"][0]) != len(accuracies):
            wrong.append(f"{path.name}: n = {row['n'][0]}, not {len(accuracies)}: {name}")
    return wrong or ([] if rows else [f"{path.name}: no row was read"])


# ---- the paper -------------------------------------------------------------------------------------------


def wrong_in_paper(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Means with intervals, and published values, of paper.tex that neither the records nor the paper have."""
    documents = [folder / name for name in ("paper.tex", "supplement.tex")]
    text = "".join(path.read_text(encoding="utf-8") for path in documents if path.exists())
    for name in re.findall(r"\\input\{([^}]+)\}", text):
        text += (folder / name).with_suffix(".tex").read_text(encoding="utf-8")
    known = {shown(row["test_accuracy_pct"], row["uncertainty_pct"]) for _, row in published().iterrows()}
    for column, places in (("accuracy", 2), ("last", 2)):
        groups = on_show(frame).groupby(POINT)[column]
        known |= {shown(values.mean(), half(values), places) for _, values in groups}
    printed = {f"{mean} ± {width}" for mean, width in re.findall(r"(\d+\.\d+) \+- (\d+\.\d+)", text)}
    wrong = [f"paper.tex: {number} is the mean of no cells, nor published" for number in sorted(printed - known)]
    return wrong or ([] if printed else ["paper.tex: no number was read"])


# ---- verdicts --------------------------------------------------------------------------------------------


def group_of(frame: pd.DataFrame, group: dict, column: str) -> pd.DataFrame:
    """Seeds × K of a group of cells of LeNet; `last` is the last checkpoint of the recipe, epoch 120."""
    start = {"last": "e120"}.get(group.get("finetune", "none"), group.get("finetune", "none"))
    ks = group.get("k", 1)
    own = frame[frame["selection"].eq(group["selection"]) & frame["finetune"].eq(start)]
    return pd.concat(
        {k: own[own["k"].eq(k)].set_index("seed")[column] for k in (ks if isinstance(ks, list) else [ks])}, axis=1
    )


def interval(claim: dict, frame: pd.DataFrame) -> tuple[int, float, float, float] | None:
    """n, value and the ends of the interval of a claim for LeNet; None without a seed that has all."""
    quantity = claim["quantity"]
    column = {"cost": "flops", "memory": "state", "magnitude": "magnitude"}.get(quantity, "accuracy")
    first = group_of(frame, claim["first"], column)
    second = group_of(frame, claim["second"], column) if "second" in claim else first
    seeds = first.dropna().index.intersection(second.dropna().index)
    if seeds.empty:
        return None
    a, b = first.loc[seeds].to_numpy(float), second.loc[seeds].to_numpy(float)
    if quantity in ("cost", "memory"):
        ratio = a / b
        values = ratio.mean(1) if quantity == "cost" else ratio[:, ratio.mean(0).argmin()]
        return len(values), values.mean(), values.min(), values.max()
    if quantity == "magnitude":
        return len(a), a.mean(), a.min(), a.max()
    if quantity == "spread":
        deviation = a.std(ddof=1)
        low, high = deviation * np.sqrt((len(a) - 1) / stats.chi2.isf([0.025, 0.975], len(a) - 1))
        return len(a), deviation, low, high
    if quantity == "largest gain":
        steps = np.diff(a, axis=1)
        later = steps[:, :1] - steps[:, 1:]
        values = later[:, later.mean(0).argmin()]
    else:
        values = (a - b if quantity == "difference" else a).mean(1)
    width = half(pd.Series(values))
    return len(values), values.mean(), values.mean() - width, values.mean() + width


def deciding(frame: pd.DataFrame) -> pd.DataFrame:
    """The cells that decide claims about LeNet."""
    frame = frame[frame["run"].eq(RUN) & frame["recipe"].eq(RECIPE) & frame["dataset"].eq("mnist")]
    # Epochs are counted from the parent's first, and cost the same in parent and child.
    return frame.assign(flops=frame["flops_an_epoch"] * frame["epochs"])


def by_statement() -> dict[str, dict]:
    claims = yaml.safe_load((PACKAGE / "report" / "claims.yaml").read_text(encoding="utf-8"))["claims"]
    return {" ".join(claim["statement"].split()): claim for claim in claims.values()}


def margin_of(claim: dict, frame: pd.DataFrame) -> float:
    """What a claim is held to for LeNet."""
    margin = claim.get("margin", 0)
    if claim["quantity"] == "accuracy":
        values = pd.read_csv(PACKAGE / "results" / "published.csv").set_index(["figure", "arch", "k"])
        margin += values.loc[(claim["published"], "lenet-300-100", claim["first"]["k"]), "test_accuracy_pct"]
    if claim["quantity"] == "spread":
        margin = max(margin, claim["times"] * group_of(frame, claim["second"], "accuracy").std().max())
    return margin


def verdict_of(claim: dict, frame: pd.DataFrame) -> str:
    """What becomes of a claim for LeNet, whose planned cells are all done."""
    measured = interval(claim, frame)
    if measured is None or not claim.get("judged", True):
        return "shown" if measured else "not run"
    n, _, low, high = measured
    if n < (1 if claim["quantity"] in ("memory", "magnitude") else 3):
        return "open, cells missing"
    margin = margin_of(claim, frame)
    low, high, margin = (-high, -low, -margin) if claim.get("side") == "below" else (low, high, margin)
    return "reproduced" if low >= margin - 1e-9 else "not reproduced" if high < margin - 1e-9 else "too close to call"


def wrong_in_answer(text: str, frame: pd.DataFrame) -> list[str]:
    """What README's sentence and matrix say of LeNet that does not follow from the records."""
    frame, claims = deciding(frame), by_statement()
    text = text.partition("<!-- answer: begin -->")[2].partition("<!-- answer: end -->")[0]
    rows = dict(re.findall(r"^\| (.+?) \| \S ([^|]+?) \|", text, re.M))
    verdicts = {statement: verdict_of(claims[statement], frame) for statement in rows}
    wrong = [f"README, {name}: {told}, not {verdicts[name]}" for name, told in rows.items() if told != verdicts[name]]
    counted = re.search(r"(\d+) of (\d+) claims hold, (\d+) do not and (\d+) are too close to call", text)
    told = list(verdicts.values())
    numbers = [told.count("reproduced"), len(told) - told.count("shown"), told.count("not reproduced"),
               told.count("too close to call")]  # fmt: skip
    if counted is None or [int(number) for number in counted.groups()] != numbers:
        wrong.append(f"README: {counted and counted[0]}, not {numbers}")
    return wrong


def wrong_in_verdicts(path: Path, frame: pd.DataFrame) -> list[str]:
    """Rows of the table of verdicts whose n, mean and interval are not as the records have it."""
    frame, claims = deciding(frame), by_statement()
    wrong, read = [], 0
    for row in table(path):
        claim = claims.get(" ".join(row["claim"][0].split()))
        if claim is None or not row["mean"][1]:
            continue
        expected = interval(claim, frame)
        read += 1
        printed = [row[head][1] for head in ("n", "mean", "low", "high")]
        if expected is None or any(
            abs(float(number) - other) > 1e-6 for number, other in zip(printed, expected, strict=True) if number
        ):
            wrong.append(f"{path.name}: {printed}, not {expected}: {row['claim'][0].strip()}")
    return wrong or ([] if read else [f"{path.name}: no row was read"])


def main() -> int:
    frame = cells()
    report, readme = ROOT / "report" / RUN, (ROOT / "README.md").read_text(encoding="utf-8")
    wrong = [
        *wrong_in_readme(readme, frame),
        *wrong_in_answer(readme, frame),
        *wrong_in_accuracies(report / "tables" / "accuracy.html", frame),
        *wrong_in_verdicts(report / "tables" / "verdicts.html", frame),
        *wrong_in_paper(report, frame),
    ]
    print("\n".join(wrong) or f"every number is as {len(frame)} records have it")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
