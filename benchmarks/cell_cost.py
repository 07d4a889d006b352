"""What a cell costs beyond its steps: batches, evaluation, bookkeeping, and start-up.

    python benchmarks/cell_cost.py [--epochs 3 --repeats 5 --json FILE]

LeNet on MNIST, one thread, GS at K = 8 beside plain SGD, epoch by epoch in turns; then how long `slotbench train` takes
to its first step and `slotbench --help` to its end, beside `import torch` alone, as whole processes. Needs data/mnist.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

from slotbench import machine, recipes
from slotbench.cells import Cell
from slotbench.data import batches
from slotbench.training import Session

CELLS = {
    "plain": Cell("authors-code", "mnist", "lenet", "learned", 1, "none", 0),
    "greedy": Cell("authors-code", "mnist", "lenet", "greedy", 8, "none", 0),
}
FIRST_STEP = """
import sys
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
         "--recipe", "authors-code"]  # fmt: skip


def bare_epoch(session: Session) -> float:
    """Seconds of an epoch's forward and backward passes and optimizer steps alone, on batches made beforehand."""
    data, recipe = session.data, session.recipe
    ready = [(batches.scale(images), labels) for images, labels in batches.epoch(data.train, recipe.batch, 0, 0, False)]
    session.network.train()
    began = time.perf_counter()
    for images, labels in ready:
        cross_entropy(session.network(images), labels).backward()
        session.optimizer.step()
        session.optimizer.zero_grad()
    return time.perf_counter() - began


def whole_epoch(session: Session) -> float:
    """Seconds of the same epoch as a cell has it, with evaluation and the copy of its state."""
    began = time.perf_counter()
    session.train_epoch()
    session.evaluate()
    session.state(0.0)
    return time.perf_counter() - began


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5, help="of each process")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    device = machine.prepare(1)
    data = batches.load("mnist", chosen.data_dir, device)
    sessions = {name: Session(cell, recipes.of(cell), data, device) for name, cell in CELLS.items()}
    for session in sessions.values():
        bare_epoch(session)  # warm-up
    epochs: dict[str, list[float]] = {}
    for _ in range(chosen.epochs):
        for name, session in sessions.items():
            epochs.setdefault(f"{name}, steps alone", []).append(bare_epoch(session))
            epochs.setdefault(f"{name}, whole epoch", []).append(whole_epoch(session))

    python, slotbench = sys.executable, str(Path(sys.executable).with_name("slotbench"))
    out = ["--out", "/dev/shm/slotbench-first-step/seed0.json", "--data-dir", str(chosen.data_dir)]
    processes = {
        "import torch": [python, "-c", "import torch"],
        "slotbench train, to its first step": [python, "-c", FIRST_STEP.format(arguments=[*TRAIN, *out])],
        "slotbench --help": [slotbench, "--help"],
        "slotbench cells": [slotbench, "cells", "config/config.yaml"],
    }
    for _ in range(chosen.repeats):
        for name, command in processes.items():
            epochs.setdefault(name, []).append(seconds(command))

    median = {name: statistics.median(times) for name, times in epochs.items()}
    ratios = {
        "epoch beyond its steps, greedy": median["greedy, whole epoch"] / median["greedy, steps alone"],
        "whole epoch, greedy over plain": median["greedy, whole epoch"] / median["plain, whole epoch"],
        "first step over import torch": median["slotbench train, to its first step"] / median["import torch"],
    }
    table = Table("what", "median", title=f"{machine.name(device)}, 1 thread, torch {torch.__version__}")
    for name, value in median.items():
        table.add_row(name, f"{value:.3f} s")
    for name, value in ratios.items():
        table.add_row(name, f"× {value:.2f}")
    Console().print(table)
    if chosen.json:
        device_name = machine.name(device)
        rows = [{"what": name, "seconds": round(value, 4), "device": device_name} for name, value in median.items()]
        rows += [{"what": name, "ratio": round(value, 3), "device": device_name} for name, value in ratios.items()]
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
