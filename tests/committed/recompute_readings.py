"""The report's readings of each claim, its reasons, costs and sentences above figures, computed again from the records.

    python tests/committed/recompute_readings.py

As recompute.py, whose table of records it takes: no code of the package. Prints what is not as it should be; status 1
if something is not.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.committed.recompute import (
    AXES,
    POINT,
    RECIPE,
    ROOT,
    RUN,
    RUNS,
    authors_code,
    by_statement,
    cells,
    deciding,
    interval,
    margin_of,
    on_show,
    published,
    table,
    verdict_of,
)

SIGNS = {"reproduced": "✓", "not reproduced": "✗", "too close to call": "≈", "open, cells missing": "…"}
SCORES = 12
"""bytes that an implementation with K scores keeps for each option: the option, its score, the score's momentum"""


# ---- the table of readings -------------------------------------------------------------------------------


def readings(claim: dict, frame: pd.DataFrame) -> Iterator[tuple[str, dict, pd.DataFrame]]:
    """What each column of the table reads: the claim, with its margin, and the cells."""
    own = deciding(frame)
    yield "decides", claim, own
    yield "last epoch", claim, own.assign(accuracy=own["last"])
    yield "recipe paper", claim, deciding(frame.assign(recipe=frame["recipe"].replace({RECIPE: "", "paper": RECIPE})))
    order = {run: place for place, run in enumerate(RUNS)}
    more = frame[frame["run"].isin(RUNS)].sort_values("run", key=lambda runs: runs.map(order), kind="stable")
    more = more.drop_duplicates([*POINT, "seed"]).assign(run=RUN)  # what a run has itself is not taken from one beside
    yield "more seeds", claim, deciding(more)
    if claim["quantity"] == "accuracy":
        values = pd.read_csv(ROOT / "slotbench" / "results" / "published.csv").set_index(["figure", "arch", "k"])
        rounding = values.loc[(claim["published"], "lenet-300-100", claim["first"]["k"]), "uncertainty_pct"]
        for name, sign in (("lowest rounding", -1), ("highest rounding", 1)):
            yield name, claim | {"margin": claim["margin"] + sign * rounding}, own
    learned = more[more["selection"].eq("learned") & more["dataset"].eq("mnist") & more["architecture"].eq("lenet")]
    best = learned.groupby("recipe")["validation"].mean().idxmax()
    tuned = learned[learned["recipe"].eq(best)].assign(flops=math.nan)
    yield "tuned baseline", claim, pd.concat([own[own["selection"].ne("learned")], tuned])


def measured(claim: dict, frame: pd.DataFrame) -> tuple[int, float, float, float]:
    """n, value and interval of a claim that has been measured."""
    result = interval(claim, frame)
    assert result is not None, claim
    return result


def wrong_in_readings(path: Path, frame: pd.DataFrame) -> list[str]:
    """Signs, means, n and p of the table of readings that are not as the records have it."""
    claims, wrong, seen = by_statement(), [], {}
    for row in table(path):
        statement = " ".join(row["claim"][0].split())
        claim, verdicts = claims[statement], {}
        for head, its_claim, its_cells in readings(claim, frame):
            printed = re.fullmatch(r"\(?(\S) (\S+) \(n = (\d+)\)\)?", row[head][0].strip())
            if printed is None:
                continue
            sign, mean, n = printed.groups()
            count, expected, *_ = measured(its_claim, its_cells)
            verdicts[head] = sign, SIGNS[verdict_of(its_claim, its_cells)]
            told = f"{expected:.2f}".replace("-", "−")
            seen.setdefault(statement, row["p (Holm)"])
            if (mean, int(n)) != (told, count):
                wrong.append(f"{path.name}, {statement}, {head}: {mean} (n = {n}), not {told} (n = {count})")
        # A reading whose planned cells are not all done is open, whatever its interval says.
        wrong += [f"{path.name}, {statement}, {head}: {printed}, not {sign}"
                  for head, (printed, sign) in verdicts.items() if printed not in (sign, "…")]  # fmt: skip
        names = {"last epoch": "epoch", "recipe paper": "recipe", "more seeds": "seeds", "lowest rounding": "rounding",
                 "highest rounding": "rounding", "tuned baseline": "baseline"}  # fmt: skip
        depends = [names[head] for head, (sign, _) in verdicts.items() if sign not in (verdicts["decides"][0], "…")]
        on = row["depends on"][0].strip()
        if on != (", ".join(dict.fromkeys(depends)) or "nothing"):
            wrong.append(f"{path.name}, {statement}: depends on {on}, not {depends}")
    corrected = holm({statement: p_of(claims[statement], deciding(frame)) for statement in seen})
    wrong += [f"{path.name}, {statement}: p = {number}, not {corrected.get(statement)}"
              for statement, (_, number) in seen.items()
              if (number or statement in corrected) and abs(float(number) - corrected[statement]) > 1e-6]  # fmt: skip
    return wrong or ([] if seen else [f"{path.name}: no row was read"])


# ---- why a claim is not reproduced -----------------------------------------------------------------------


def reasons(frame: pd.DataFrame) -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """For each claim that is not reproduced: how far its mean is from the margin, how many seeds would tell, if as few
    as 100 do, and the recipes of the study that reach the margin, with mean and n."""
    own = deciding(frame)
    study = frame[frame["run"].eq("study") & frame["selection"].eq("greedy") & frame["finetune"].eq("none")]
    for claim in by_statement().values():
        verdict = verdict_of(claim, own) if about_lenet(claim) else ""
        if verdict not in ("not reproduced", "too close to call"):
            continue
        n, value, low, high = measured(claim, own)
        gap = value - margin_of(claim, own)
        seeds = math.ceil(n * ((high - low) / 2 / abs(gap)) ** 2)
        told = str(seeds) if verdict == "too close to call" and n < seeds <= 100 else ""
        reach = []
        if claim["quantity"] == "accuracy":
            others = study[study["k"].eq(claim["first"]["k"])].groupby("recipe")["accuracy"].agg(["mean", "size"])
            others = others[others["mean"] >= value - gap - 1e-9]
            reach = [(str(recipe), f"{mean:.2f}", str(int(size))) for recipe, mean, size in others.itertuples()]
        yield signed(gap), told, reach


def wrong_in_reasons(page: Path, frame: pd.DataFrame) -> list[str]:
    """Reasons on the report's page that are not as the records have them."""
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")))
    printed = [
        (
            gap,
            "".join(re.findall(r"about (\d+) seeds", rest)),
            re.findall(r"(study-\S+) (\d+\.\d+) \(n = (\d+)\)", rest),
        )
        for gap, rest in re.findall(r"The mean is (\S+) from the margin(.*?)Evidence", text)
    ]
    expected = list(reasons(frame))
    wrong = [
        f"{page.name}: {told}, not {other}" for told, other in zip(printed, expected, strict=False) if told != other
    ]
    return wrong or (
        [] if len(printed) == len(expected) else [f"{page.name}: {len(printed)} reasons of {len(expected)}"]
    )


def p_of(claim: dict, frame: pd.DataFrame) -> float | None:
    """Two-sided, of a mean by Student's law, of a standard deviation by χ²; None of what no seed changes."""
    n, value, low, _ = measured(claim, frame)
    margin = margin_of(claim, frame)
    match claim["quantity"]:
        case "cost" | "memory" | "magnitude":
            return None
        case "spread":
            ratio = (n - 1) * (value / margin) ** 2
            return float(2 * min(stats.chi2.cdf(ratio, n - 1), stats.chi2.sf(ratio, n - 1)))
    error = (value - low) / stats.t.isf(0.025, n - 1)
    return float(2 * stats.t.sf(abs(value - margin) / error, n - 1))


def holm(p: dict[str, float | None]) -> dict[str, float]:
    known = sorted((value, name) for name, value in p.items() if value is not None)
    steps = np.maximum.accumulate([(len(known) - place) * value for place, (value, _) in enumerate(known)])
    return {name: min(1.0, float(step)) for (_, name), step in zip(known, steps, strict=True)}


# ---- costs -----------------------------------------------------------------------------------------------


def wrong_in_costs(path: Path, frame: pd.DataFrame) -> list[str]:
    """Rows of the table of costs whose n, FLOPs and memory are not as the records have it."""
    wrong, read = [], 0
    shown = on_show(frame)
    shown = shown.assign(own=shown["flops_an_epoch"] * (shown["epochs"] - shown["start"]))
    for row in table(path):
        chosen = shown[shown["device"].eq(row["device"][0].strip())]
        for head, column in AXES.items():
            text = row[head][0].strip()
            value = {"K": 1, "finetuned from epoch": "none"}.get(head) if text == "–" else text
            value = int(value) if head == "K" else f"e{value}" if head.startswith("fine") and text != "–" else value
            chosen = chosen[chosen[column].eq(value)]
        expected = len(chosen), chosen["own"].mean(), chosen["peak"].max() / 2**20
        printed = [float(row[head][1]) for head in ("n", "FLOPs", "peak memory (MiB)")]
        read += 1
        if not np.allclose(printed, expected, rtol=1e-5):
            wrong.append(f"{path.name}: {printed}, not {expected}: {[text.strip() for text, _ in row.values()]}")
    return wrong or ([] if read else [f"{path.name}: no row was read"])


# ---- the sentences above the figures ---------------------------------------------------------------------


def signed(value: float, places: int = 2) -> str:
    return f"{value:+.{places}f}".replace("-", "−")


def about_lenet(claim: dict) -> bool:
    return "lenet" in claim.get("architectures", "lenet")


def findings(frame: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Each figure's name, and the numbers of the sentence above it in their order."""
    own = frame[frame["run"].eq(RUN) & frame["dataset"].eq("mnist") & frame["architecture"].eq("lenet")]
    paper = published()["test_accuracy_pct"].sort_index().loc["mnist", "lenet"]
    recipes, own = own, own[own["recipe"].eq(RECIPE)]
    plain = own[own["finetune"].eq("none")]
    greedy, learned = plain[plain["selection"].eq("greedy")], plain[plain["selection"].eq("learned")]
    means, several = greedy.groupby("k").mean(numeric_only=True), greedy[greedy["k"].gt(1)]
    most = str(several["k"].max())
    eight = means["accuracy"][8]
    gap = eight - learned["accuracy"].mean()
    everywhere = frame[frame["run"].isin(RUNS) & frame["dataset"].eq("mnist") & frame["selection"].eq("learned")]
    tuned = everywhere.loc[everywhere["recipe"].eq(everywhere.groupby("recipe")["validation"].mean().idxmax())]
    theirs = authors_code()

    told = [verdict_of(claim, deciding(frame)) for claim in by_statement().values() if about_lenet(claim)]
    judged = [verdict for verdict in told if verdict not in ("shown", "not run")]
    yield "claims", [str(judged.count("reproduced")), str(len(judged)), str(judged.count("not reproduced"))]
    yield "method-and-result", [f"{eight:.2f}", "8", f"{paper['greedy', 8]:.2f}"]
    yield "accuracy-over-k", [
        f"{eight:.2f}", "8", signed(gap), signed(eight - tuned["accuracy"].mean()), signed(eight - theirs[8])
    ]  # fmt: skip
    sampled = plain[plain["selection"].eq("probabilistic")].groupby("k")["accuracy"].mean()
    yield "greedy-vs-probabilistic", [signed((means["accuracy"] - sampled).dropna().mean())]
    yield "random-vs-two", [f"{means['accuracy'][k]:.1f}" for k in (1, 2)]
    by_recipe = recipes[recipes["selection"].eq("greedy") & recipes["finetune"].eq("none") & recipes["k"].gt(1)]
    apart = by_recipe.pivot_table(index="k", columns="recipe", values="accuracy")
    widest = (apart.max(axis=1) - apart.min(axis=1))[apart.notna().all(axis=1)]
    yield "recipes", [f"{widest.max():.2f}", str(widest.idxmax())]
    study = frame[frame["run"].eq("study") & frame["selection"].eq("greedy") & frame["finetune"].eq("none")]
    both = study[study["recipe"].eq("study-bound-and-rate")].groupby("k")["accuracy"].mean()
    yield "study", [
        number
        for k in both.index
        for number in (
            signed(means["accuracy"][k] - paper["greedy", k]), signed(both[k] - paper["greedy", k]), str(k)
        )
    ]  # fmt: skip
    finetuned = own[own["finetune"].ne("none") & own["k"].eq(8)]
    parents = greedy[greedy["k"].eq(8) & greedy["seed"].isin(finetuned["seed"])]
    yield "finetuning", [
        signed(finetuned["accuracy"].mean() - parents["accuracy"].mean()), "8",
        signed(finetuned["accuracy"].mean() - learned["accuracy"].mean()),
    ]  # fmt: skip
    layer = plain[plain["selection"].eq("greedy-shared-layer") & plain["k"].eq(64)]["accuracy"].mean()
    shared = plain[plain["selection"].str.startswith("greedy-shared") & plain["k"].eq(2)]
    unmoved = shared["changed"].eq(0) & shared["accuracy"].lt(20)
    at_64 = greedy[greedy["k"].eq(64)]["accuracy"].mean()
    yield "sharing", ["64", f"{at_64 - layer:.2f}", "2", str(unmoved.sum()), str(len(shared))]
    ways = plain[~plain["selection"].str.contains("shared|probabilistic") & (plain["k"].isin([1, 8]))]
    ways = ways[ways["selection"].ne("greedy") | ways["k"].eq(8)]
    by_way = ways.groupby("selection")["accuracy"].mean()
    yield "comparators", [f"{mean:.2f}" for mean in sorted([*by_way, tuned["accuracy"].mean()], reverse=True)]
    ended = plain[plain["k"].eq(8) | plain["selection"].isin(["learned", "edge-popup", "supermask", "lottery-ticket"])]
    ended = ended[~ended["selection"].str.contains("shared")].groupby("selection")[["best", "epochs"]].mean()
    yield "learning-curves", [f"{value:.0f}" for row in ended.to_numpy() for value in row]
    at_most = several[several["k"].eq(several["k"].max())].mean(numeric_only=True)
    yield "bits", [most, f"{at_most['bits']:.2f}", f"{np.log2(several['k'].max()):.0f}"]
    yield "levels", [most, f"{at_most['levels']:.1f}"]
    some_k = [2, 8, 64]
    yield "selected-vs-offered", ["64", f"{means['magnitude'][64]:.2f}"]
    yield "still-changing", [part for k in some_k for part in (f"{100 * means['changed'][k]:.2f}", str(k))]
    random = frame[frame["run"].isin(RUNS) & frame["dataset"].eq("mnist-random-labels")]
    random = random[random["epochs"].eq(random.groupby("selection")["epochs"].transform("max"))]
    memorised = random.groupby("selection")["train"].mean()
    yield "random-labels", [f"{memorised[name]:.1f}" for name in ("greedy", "learned")]
    flops = {name: (rows["flops_an_epoch"] * rows["epochs"]).mean() for name, rows in plain.groupby("selection")}
    yield "accuracy-vs-flops", [f"{flops['greedy'] / flops['learned']:.2f}", "8", signed(gap)]
    each = several.assign(each=several["state"] / several["connections"]).groupby("k")["each"].mean()
    yield "memory-and-time", [
        f"{each.iloc[0]:.0f}", "2", f"{each.iloc[-1]:.0f}", most, str(2 * SCORES), str(int(most) * SCORES), "2"
    ]  # fmt: skip


def wrong_in_findings(captions: Path, frame: pd.DataFrame) -> list[str]:
    """Sentences above figures whose numbers are not as the records have it."""
    told = json.loads(captions.read_text(encoding="utf-8"))["figures"]
    expected = dict(findings(frame))
    wrong = [f"{captions.name}: {name} was not read" for name in sorted(set(told) - set(expected) - {"staircases"})]
    for name, numbers in expected.items():
        sentence = re.split(r"(?<=[^\d])\. |(?<=\d)\. ", told[name]["caption"])[0]
        sentence = sentence.replace("LeNet-300-100", "")
        printed = re.findall(r"[+−]?\d+(?:\.\d+)?", sentence)
        if printed != numbers:
            wrong.append(f"{captions.name}, {name}: {printed}, not {numbers}: {sentence}")
    return wrong


def main() -> int:
    frame, report = cells(), ROOT / "report" / RUN
    wrong = [
        *wrong_in_readings(report / "tables" / "robustness.html", frame),
        *wrong_in_reasons(report / "index.html", frame),
        *wrong_in_costs(report / "tables" / "cost.html", frame),
        *wrong_in_findings(report / "captions.json", frame),
    ]
    print("\n".join(wrong) or f"every number is as {len(frame)} records have it")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
