"""What building costs: the staircases of a whole network, beside drawing its numbers alone; seconds and memory.

    python benchmarks/build_cost.py [--architecture lenet vgg19 --k 64 --repeats 3 --json FILE]

One thread, each time a process of its own, in turns; medians. Drawing passes over every option and every initial score
once, as building does, and keeps none.
"""

import argparse
import json
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from slotbench import architectures
from slotbench.architectures import ARCHITECTURES
from slotbench.selection.greedy import Greedy
from slotbench.selection.options import draw
from slotbench.selection.rule import SQRT3
from slotbench.training.device import device_name, prepare


def drawing(architecture: str, k: int) -> tuple[float, int]:
    prepare(1)
    weights = list(architectures.build(architecture).parameters())
    began = time.perf_counter()
    for options in draw(weights, k=k, seed=0, option_bound=SQRT3, score_bounds=(SQRT3, SQRT3)):
        for _ in options.blocks():
            pass
    return time.perf_counter() - began, peak_bytes()


def building(architecture: str, k: int) -> tuple[float, int]:
    prepare(1)
    weights = list(architectures.build(architecture).parameters())
    Greedy([torch.empty(1, 1, requires_grad=True)], k=2, seed=0, lr=0.1)  # loads what is loaded once
    began = time.perf_counter()
    Greedy(weights, k=k, seed=0, lr=0.1, momentum=0.9)
    return time.perf_counter() - began, peak_bytes()


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", default=["lenet", "vgg19"], choices=list(ARCHITECTURES))
    parser.add_argument("--k", nargs="+", type=int, default=[64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    for architecture in chosen.architecture:
        for k in chosen.k:
            costs: dict[str, list[tuple[float, int]]] = {"drawing": [], "building": []}
            for _ in range(chosen.repeats):
                for task in (drawing, building):
                    with ProcessPoolExecutor(1, get_context("spawn")) as process:
                        costs[task.__name__].append(process.submit(task, architecture, k).result())
            draws, builds = (statistics.median(seconds for seconds, _ in times) for times in costs.values())
            rows.append(
                {
                    "architecture": architecture,
                    "k": k,
                    "seconds_drawing": round(draws, 2),
                    "seconds_building": round(builds, 2),
                    "ratio_to_drawing": round(builds / draws, 2),
                    "peak_gb": round(max(peak for _, peak in costs["building"]) / 1e9, 2),
                    "device": device_name(torch.device("cpu")),
                    "torch": torch.__version__,
                }
            )
    table = Table(*list(rows[0])[:6], title=f"{rows[0]['device']}, 1 thread, torch {torch.__version__}")
    for row in rows:
        table.add_row(*[str(value) for value in row.values()][:6])
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
