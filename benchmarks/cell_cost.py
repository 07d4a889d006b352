"""What a cell costs beyond its steps: batches, evaluation, bookkeeping and start-up; and how many threads are best.

    python benchmarks/cell_cost.py [--epochs 120 --repeats 5 --json FILE]

Two cells of LeNet on MNIST, GS at K = 8 and plain SGD, train all their epochs on one thread, epoch by epoch in turns; a
clock in the loop tells what of it are steps, and what readings of accuracy. Then how long `slotbench train` takes to
its first step and `slotbench --help` to its end, beside `import torch` alone, as whole processes. Then what a machine
gets done in the same time with one cell a processor and one thread a cell, and with half as many cells of two threads.
Needs data/mnist.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.training.checkpoint import state_of
from slotbench.training.device import device_name, prepare
from slotbench.training.session import Session

RECIPE = "authors-code"
CELLS = {
    "plain": Cell(RECIPE, "mnist", "lenet", "learned", 1, "none", 0),
    "greedy": Cell(RECIPE, "mnist", "lenet", "greedy", 8, "none", 0),
}
FIRST_STEP = """
import gc, sys
gc.disable()  # as `slotbench train` does while it imports torch
from slotbench.selection.greedy import Greedy
step = Greedy.step
def first(self, *rest):
    step(self, *rest)
    sys.exit()
Greedy.step = first
sys.argv = ["slotbench", *{arguments!r}]
from slotbench.cli import main
main()
"""
TRAIN = ["train", "--dataset", "mnist", "--architecture", "lenet", "--selection", "greedy", "--k", "8",
         "--recipe", RECIPE]  # fmt: skip


class Clock:
    """The seconds that a session spends in steps, from a batch entering the network to its gradients' removal, and in
    reading accuracy on either split."""

    def __init__(self, session: Session) -> None:
        self.seconds = dict.fromkeys(("steps", "validation", "test set"), 0.0)
        self.began = 0.0
        zero_grad, accuracies = session.optimizer.zero_grad, session.accuracies
        session.network.register_forward_pre_hook(self.start)

        def stop() -> None:
            zero_grad()
            self.seconds["steps"] += time.perf_counter() - self.began

        def read(split: batches.Split) -> dict[str, float]:
            began = time.perf_counter()
            accuracy = accuracies(split)
            what = "validation" if split is session.data.validation else "test set"
            self.seconds[what] += time.perf_counter() - began
            return accuracy

        session.optimizer.zero_grad = stop
        session.accuracies = read  # type: ignore[method-assign]

    def start(self, *_: object) -> None:
        self.began = time.perf_counter()


def cells(epochs: int, data: batches.Data, device: torch.device) -> dict[str, float]:
    """Seconds of both cells from the network's making to the record's, of their epochs, and of the epochs' parts."""
    making, spent = dict.fromkeys(CELLS, 0.0), dict.fromkeys(CELLS, 0.0)
    sessions, clocks = {}, {}
    for name, cell in CELLS.items():
        began = time.perf_counter()
        sessions[name] = Session(cell, recipes.of(cell).model_copy(update={"epochs": epochs}), data, device)
        making[name] = time.perf_counter() - began
        clocks[name] = Clock(sessions[name])
    for _ in range(epochs):
        for name, session in sessions.items():
            began = time.perf_counter()
            session.train_epoch()
            session.evaluate()
            state_of(session, {}, {}, 0.0)
            spent[name] += time.perf_counter() - began
    measured = {f"{name}, {epochs} epochs, all included": making[name] + spent[name] for name in CELLS}
    for name in CELLS:
        measured |= {f"{name}, epochs": spent[name]} | {
            f"{name}, {part}": seconds for part, seconds in clocks[name].seconds.items()
        }
    return measured


def process_seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def starts(repeats: int, data_dir: Path) -> dict[str, float]:
    """Median seconds of whole processes, started in turns."""
    slotbench = str(Path(sys.executable).with_name("slotbench"))
    words = [*TRAIN, "--out", "/dev/shm/slotbench-first-step/seed0.json", "--data-dir", str(data_dir)]
    processes = {
        "import torch": [sys.executable, "-c", "import torch"],
        "slotbench train, to its first step": [sys.executable, "-c", FIRST_STEP.format(arguments=words)],
        "slotbench --help": [slotbench, "--help"],
        "slotbench cells config/config.yaml": [slotbench, "cells", "config/config.yaml"],
    }
    times: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(repeats):
        for name, command in processes.items():
            times[name].append(process_seconds(command))
    return {name: statistics.median(measured) for name, measured in times.items()}


def some_epochs(threads: int, epochs: int, data_dir: Path, number: int) -> tuple[float, float]:
    """Trains GS at K = 8 for some epochs, and says when it began and ended."""
    device = prepare(threads)
    cell = Cell(RECIPE, "mnist", "lenet", "greedy", 8, "none", number)
    session = Session(cell, recipes.of(cell), batches.load("mnist", data_dir, device), device)
    session.train_epoch()  # warm-up
    began = time.time()
    for _ in range(epochs):
        session.train_epoch()
        session.evaluate()
    return began, time.time()


def cells_an_hour(threads: int, at_once: int, epochs: int, data_dir: Path) -> float:
    """Cells, of all epochs of their recipe, that the machine trains in an hour with so many at once; from `epochs`."""
    whole = recipes.of(CELLS["greedy"]).epochs
    with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
        spans = list(pool.map(partial(some_epochs, threads, epochs, data_dir), range(at_once)))
    return at_once * epochs / (max(end for _, end in spans) - min(began for began, _ in spans)) * 3600 / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5, help="of each process, and of each number of threads")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    device = prepare(1)
    measured = cells(chosen.epochs, batches.load("mnist", chosen.data_dir, device), device)
    measured |= starts(chosen.repeats, chosen.data_dir)
    plain, greedy = (measured[f"{name}, {chosen.epochs} epochs, all included"] for name in CELLS)
    ratios = {"cell, greedy over plain": greedy / plain}
    for name in CELLS:
        steps = measured[f"{name}, steps"]
        ratios |= {
            f"epoch over its steps, {name}": measured[f"{name}, epochs"] / steps,
            f"steps and readings of accuracy over steps, {name}": sum(
                measured[f"{name}, {part}"] / steps for part in ("steps", "validation", "test set")
            ),
        }
    ratios["first step over import torch"] = measured["slotbench train, to its first step"] / measured["import torch"]
    hourly: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(chosen.repeats):
        for threads, rates in hourly.items():
            at_once = max(1, (os.cpu_count() or 1) // threads)
            rates.append(cells_an_hour(threads, at_once, 5, chosen.data_dir))
    where = {"device": device_name(device), "processors": os.cpu_count(), "torch": torch.__version__}
    rows = [{"what": name, "seconds": round(value, 3), **where} for name, value in measured.items()]
    rows += [{"what": name, "ratio": round(value, 3), **where} for name, value in ratios.items()]
    for threads, rates in hourly.items():
        what = f"cells an hour, {threads} thread{'s' * (threads > 1)} a cell"
        rows.append({"what": what, "cells": round(statistics.median(rates), 1), **where})
    table = Table("what", "median", title="{device}, {processors} processors, torch {torch}".format(**where))
    for row in rows:
        unit, value = next((unit, row[unit]) for unit in ("seconds", "ratio", "cells") if unit in row)
        table.add_row(str(row["what"]), {"seconds": f"{value} s", "ratio": f"× {value}", "cells": f"{value}"}[unit])
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
