"""Configs, recipes, records, states and command lines that no person writes: each is taken, or refused in a sentence.

`make fuzz` runs this for ten minutes; `tests/fuzz/test_inputs.py` for some seconds. A case is told by its kind and its
number, from which it is drawn: `python -m tests.fuzz.inputs --kind recipes --first 123 --cases 1` runs it again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from slotbench import cli, config, recipes
from slotbench.cells import Cell
from slotbench.data import sources
from slotbench.data.batches import Data, Split
from slotbench.errors import LONGEST, InputError
from slotbench.results import records, status, table
from slotbench.selection import SELECTIONS
from slotbench.training import train
from slotbench.training.session import Session
from tests.support import synthetic

CONFIG = """run: fuzzed
recipe: own
grids:
  - dataset: mnist
    architecture: lenet
    selection: [greedy, learned]
    k: [2, 8]
    finetune: [none]
    seed: [0, 1]
exclude:
  - {k: 2, seed: 1}
"""
RECIPE = """about: a recipe to be mutated
base:
  epochs: 2
  batch: 16
  learning_rate: 0.1
  momentum: 0.9
  nesterov: false
  weight_decay: 0.0001
  schedule: {kind: steps, epochs: [1], factor: 0.5}
  option_bound: 1.7
  score_bounds: [1.0, 0.1]
  evaluate_by: sampling
  padding: [1, 1, 1]
  dropout: 0.5
  flip: true
  normalise: true
  checkpoints: [1]
  threads: 1
  precision: float32
  deterministic: false
rules:
  - when: {selection: lottery-ticket}
    set: {prune_after: [1], pruned: 0.8, checkpoints: []}
  - when: {finetuned: true, k_up_to: 8}
    set: {learning_rate: 0.01}
"""
NUMBERS = [
    "0", "-0", "1", "-1", "2", "7", "0.5", "1e-320", "1e-30", "1e-7", "1e-6", "0.99", "0.999999999", "1.0", "1.5",
    "999", "1000", "1001", "10000", "10001", "1e6", "1e7", "1e30", "1e31", "1e38", "1e300", "1e999", "-1e300",
    ".inf", "-.inf", ".nan", "2147483648", "4294967295", "4294967296", "4294967301", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "010", "0x10", "0o17", "0b1", "1:30", "1_000", "1e3", "+5",
    "true", "null", "~", "yes", "e100", "e9", "none", "9" * 4000, "9" * 5000,
]  # fmt: skip
PIECES = [
    "[", "]", "{", "}", ": ", "\n", "- ", ", ", "&a ", "*a", "!!int ", "'",
    "\"", "\t", "#", "|", "? ", "\x00", "\x85", "\ufeff",
]  # fmt: skip
WORDS = [
    "", "paper", "own", "greedy", "learned", "lottery-ticket", "mnist", "cifar10", "digits", "lenet", "vgg19",
    "a\nb", "\udcff", "../..", "/", ".", "-", "--", "\xe9", "\u202e", "steps", "warm-restarts", "constant",
    "highest", "x" * 9999,
]  # fmt: skip


class WrongAnswerError(Exception):
    """A sentence that is none."""


def sentence(text: str) -> None:
    if not text.isprintable() or len(text) > LONGEST + 3 or not text.strip():
        raise WrongAnswerError(f"no sentence: {text[:2000]!r}")


def mutated_text(text: str, draw: random.Random) -> bytes:
    """`text` with values put in the place of others, and sometimes with bytes that make it no text or no YAML."""
    lines = text.split("\n")
    for _ in range(draw.choice([1, 1, 2, 4])):
        number = draw.randrange(len(lines))
        key, colon, value = lines[number].partition(": ")
        pool = NUMBERS if draw.random() < 0.7 else WORDS
        new = draw.choice(pool)
        if value.startswith("[") and draw.random() < 0.7:
            new = f"[{', '.join(draw.choice(pool) for _ in range(draw.choice([1, 2, 3, 3, 20])))}]"
        if colon:
            lines[number] = f"{key}: {new}"
        elif draw.random() < 0.2:
            del lines[number]
    content = "\n".join(lines or [""]).encode("utf-8", "surrogateescape")
    for _ in range(draw.choice([0, 0, 0, 1, 3])):
        place, length = draw.randrange(len(content) + 1), draw.choice([0, 1, 5])
        content = content[:place] + draw.choice(PIECES).encode() + content[place + length :]
    return content


def mutated(value: Any, draw: random.Random) -> Any:
    """A JSON value with another in one place."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        if draw.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return value | {key: mutated(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.7:
        place = draw.randrange(len(value))
        return draw.choice([[], value[:place], [*value[:place], mutated(value[place], draw), *value[place + 1 :]]])
    extremes = [
        0, -1, 1, 2**31, 2**53, 2**62, 2**63, 10**30, 0.5, 1e-320, 1e308, -0.0, float("nan"), float("inf"), True,
        None, "", "x" * 5000, "a\nb\0", "\u202e", [], [None], [[]], {}, {"": 0},
    ]  # fmt: skip
    return draw.choice(extremes)


def configs(draw: random.Random, folder: Path) -> None:
    path = folder / "config" / "fuzzed.yaml"
    path.write_bytes(mutated_text(CONFIG, draw))
    try:
        run = config.load(path)
    except InputError as error:
        sentence(str(error))
        if path.name not in str(error) and "own.yaml" not in str(error):
            raise WrongAnswerError(f"names no file: {error}") from None
    else:
        for cell in run.cells()[:5]:
            Cell.from_path(cell.path)


@cache
def data() -> Data:
    """Some images of LeNet's size."""
    numbers = torch.Generator().manual_seed(0)
    split = Split(torch.randint(0, 256, (40, 1, 28, 28), generator=numbers, dtype=torch.uint8), torch.arange(40) % 10)
    return Data(split, split, split, {})


def taught(selection: str, k: int, finetune: str = "none") -> Cell:
    return Cell("own", "mnist", "lenet", selection, k if SELECTIONS[selection].has_options else 1, finetune, 0)


def recipes_(draw: random.Random, folder: Path) -> None:
    """What a recipe says is refused before training, or training stands it, to its record."""
    path = recipes.FOLDER / "own.yaml"
    path.write_bytes(mutated_text(RECIPE, draw))
    recipes.load.cache_clear()
    recipes.of.cache_clear()
    cell = taught(draw.choice(sorted(SELECTIONS)), draw.choice([1, 2, 3, 8]))
    try:
        recipe = recipes.of(cell.checked())
    except InputError as error:
        sentence(str(error))
        return
    finally:
        path.write_text(RECIPE, encoding="utf-8")
        recipes.load.cache_clear()
        recipes.of.cache_clear()
    last = max([2, *(epoch + 1 for epoch in getattr(recipe, "prune_after", ()))])
    if last > 5:
        return  # as many epochs take too long, and are no others
    recipe = recipe.model_copy(update={"epochs": min(recipe.epochs, last)})
    out = folder / "trained" / "seed0.json"
    shutil.rmtree(out.parent, ignore_errors=True)
    train.run(Session(cell, recipe, data(), torch.device("cpu")), out, lambda *_: None, {})
    records.read(out)


RECORDED = Cell("paper", "mnist", "lenet", "greedy", 8, "none", 0)


def records_(draw: random.Random, folder: Path) -> None:
    """A record with its checksum in order, or bytes damaged: collected, or its row says why not; and so shown."""
    content = json.loads(records.text(synthetic.record(RECORDED)))
    run = synthetic.SyntheticRun("fuzzed", "paper", (RECORDED,))
    path = synthetic.path(folder / "results", run, RECORDED)
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(draw.choice([1, 1, 3])):
        content = mutated(content, draw)
    try:
        path.write_text(records.text(records.Record.model_validate(content)), encoding="utf-8")
    except (ValidationError, ValueError):
        path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")
    if draw.random() < 0.2:
        damaged = bytearray(path.read_bytes())
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
    collected = table.collect(run, folder / "results")
    table.write(collected, folder / "results" / "fuzzed")
    (row,) = table.read(folder / "results" / "fuzzed").cells.to_dict("records")
    if row["status"] == "failed":
        sentence(row["problem"])
    status.state_of(RECORDED, path, None)
    command(["show", str(path)])


class Stopped(BaseException):
    """Ends training where a kill would."""


def trained_for(epochs: int, out: Path) -> None:
    """Trains a cell on digits until so many epochs are told of; it writes its state after each."""

    def progress(epoch: int, _last: int, _news: str) -> None:
        if epoch > epochs:
            raise Stopped

    os.environ["SLOTBENCH_RESUME_SECONDS"] = "0"
    cell = Cell("own", "digits", "lenet", "greedy", 2, "none", 0)
    sources.fetch("digits", Path("data"))
    with contextlib.suppress(Stopped):
        train.train_cell(cell, out, Path("data"), None, progress)


@cache
def left_by_a_kill() -> dict[str, bytes]:
    """The files of a cell after its first epoch, of which one is its state."""
    with tempfile.TemporaryDirectory() as folder:
        trained_for(1, Path(folder) / "seed0.json")
        return {path.name: path.read_bytes() for path in (Path(folder) / "seed0").iterdir()}


def states(draw: random.Random, folder: Path) -> None:
    """A state with a right hash and wrong content, and files that are none beside it: taken, or trained afresh."""
    out = folder / "states" / "seed0.json"
    shutil.rmtree(out.parent, ignore_errors=True)
    out.with_suffix("").mkdir(parents=True)
    for name, content in left_by_a_kill().items():
        if name.startswith("resume-"):
            content = mutated_state(content, draw)
            name = f"resume-000001-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        (out.with_suffix("") / name).write_bytes(content)
    for odd in draw.sample(["resume-1a-x.safetensors", "resume--.safetensors", "resume-000002-.safetensors", "é"], 2):
        (out.with_suffix("") / odd).write_bytes(b"\xff")
    trained_for(2, out)
    records.read(out)


def mutated_state(content: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    if draw.random() < 0.3:
        cut = draw.randrange(len(content))
        return draw.choice([content[:cut], content[:8] + draw.randbytes(8) + content[16:], bytes(draw.randrange(40))])
    header = json.loads(content[8 : 8 + length])
    names = sorted(header["__metadata__"])
    if draw.random() < 0.7:
        name = draw.choice(names)
        header["__metadata__"][name] = json.dumps(mutated(json.loads(header["__metadata__"][name]), draw))
    else:
        header = mutated(header, draw)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def command(words: list[str]) -> None:
    """The program, in this process: it ends with status 0, or with 2 and one sentence.

    The end of the time that `run` is given, which is a SIGTERM to its process, is the end of the command.
    """

    def time_is_up(_number: int, _frame: object) -> None:
        raise SystemExit(0)

    before, out, err = sys.argv, io.StringIO(), io.StringIO()
    terminated = signal.signal(signal.SIGTERM, time_is_up)
    sys.argv = ["slotbench", *words]
    ended: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main()
            except SystemExit as exit_:
                ended = exit_.code
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, terminated)
    if ended not in (0, None, 2):
        raise WrongAnswerError(f"status {ended}: {err.getvalue()}")
    last = err.getvalue().splitlines()[-1:]
    if ended == 2 and not (last and (last[0].startswith("slotbench: ") or "Usage:" in err.getvalue())):
        raise WrongAnswerError(f"no sentence: {err.getvalue()!r}")
    if last and last[0].startswith("slotbench: "):
        sentence(last[0].removeprefix("slotbench: "))


OPTIONS = {
    "--dataset": ["mnist", "mnits"], "--architecture": ["lenet"], "--selection": ["greedy", "learned"],
    "--recipe": ["own", "paper"], "--k": ["2"], "--seed": ["0"], "--finetune": ["none", "e1"],
    "--out": ["trained/seed0.json"], "--data-dir": ["nothing"], "--gpu-share": ["0"], "--parent": ["config"],
}  # fmt: skip


def command_lines(draw: random.Random, folder: Path) -> None:
    """Of commands that end at once: there is no data to train on."""
    odd = [*NUMBERS, *(word for word in WORDS if "\0" not in word)]

    def often(usual: list[str], share: float = 0.2) -> str:
        return draw.choice(odd) if draw.random() < share else draw.choice(usual)

    match draw.choice(
        ["train", "train", "run", "cells", "status", "show", "why", "compare", "claims", "report", "crate"]
    ):
        case "train":
            words = ["train"] + [part for name, usual in OPTIONS.items() if draw.random() < 0.95 or name == "--data-dir"
                                 for part in (name, "nothing" if name == "--data-dir" else often(usual))]  # fmt: skip
        case "run":
            words = ["run", often(["config/own.yaml"]), "--minutes", often(["1"], 0.9), "--data-dir", "nothing"]
            words += ["--gpu-share", "0"]
        case "cells" | "status" as name:
            words = [name, often(["config/own.yaml", "fuzzed", "nothing"])]
        case "compare":
            words = ["compare", often(["own"], 0.5), often(["own", "x"], 0.5)]
        case name:
            words = [name, often(["own", "config/own.yaml", "results", "results/own"], 0.7)]
    command(words)


KINDS: dict[str, Callable[[random.Random, Path], None]] = {
    "configs": configs,
    "recipes": recipes_,
    "records": records_,
    "states": states,
    "command-lines": command_lines,
}


@contextlib.contextmanager
def in_a_folder_of_its_own() -> Any:
    """A folder with a config and recipes, as the working directory; a file that is no text lies beside them."""
    before, recipes_there = Path.cwd(), recipes.FOLDER
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(recipes_there, folder / "config" / "recipes")
        (folder / "config" / "recipes" / "own.yaml").write_text(RECIPE, encoding="utf-8")
        (folder / "config" / "own.yaml").write_text(CONFIG.replace("fuzzed", "own"), encoding="utf-8")
        (folder / "config" / "odd.yaml").write_bytes(b"\xff\xfe\0run: fuzzed\n")
        (folder / "config" / "folder.yaml").mkdir()
        os.mkfifo(folder / "config" / "pipe.yaml")
        recipes.FOLDER = folder / "config" / "recipes"
        recipes.load.cache_clear()
        recipes.of.cache_clear()
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)
            recipes.FOLDER = recipes_there
            recipes.load.cache_clear()
            recipes.of.cache_clear()


def fuzz(kind: str, *, first: int, cases: int, seconds: float) -> tuple[int, list[str]]:
    """Runs cases of `kind` until there are enough or time is up: how many, and what failed of them."""
    failures, number, end = [], first, time.monotonic() + seconds
    with in_a_folder_of_its_own() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while number < first + cases and time.monotonic() < end:
            try:
                with contextlib.redirect_stderr(io.StringIO()):
                    KINDS[kind](random.Random(f"{kind} {number}"), folder)
            except Exception:
                failures.append(f"--kind {kind} --first {number} --cases 1\n{traceback.format_exc()}")
            number += 1
    return number - first, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append", help="all of them, if none is named")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--cases", type=int, default=10**9, help="of each kind")
    parser.add_argument("--seconds", type=float, default=600.0, help="of all kinds together")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds, failed = options.kind or list(KINDS), 0
    for kind in kinds:
        count, failures = fuzz(kind, first=options.first, cases=options.cases, seconds=options.seconds / len(kinds))
        for failure in failures[:5]:
            print(failure)
        print(f"{kind}: {count} cases, {len(failures)} failed", flush=True)
        failed += len(failures)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
