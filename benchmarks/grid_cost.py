"""What a grid costs beyond the training of its cells.

    python benchmarks/grid_cost.py [--only cell plan report] [--cells 200] [--json FILE]

cell: Snakemake trains cells of a recipe of one step, one after the other, and `slotbench run` the same in one process;
both beside `import torch` alone. plan: `snakemake -n` of 10,000 cells beside a bare Snakefile of 10,000 jobs that has
the same directives and no functions. report: `slotbench collect` and `slotbench report` over 10,000 synthetic records.
All in a copy of the project in a temporary folder, and on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from slotbench import config  # noqa: E402
from slotbench.training.device import device_name, prepare  # noqa: E402
from tests.support import synthetic  # noqa: E402
from tests.support.project import Tree  # noqa: E402

PLANNED = 10_000
STEP = """about: one step
base: {epochs: 1, batch: 2000, learning_rate: 0.1, option_bound: 1.7, score_bounds: [1, 1], evaluate_by: sampling}
"""
SYNTHETIC = """run: synthetic
recipe: authors-code
grids:
  - {{dataset: mnist, architecture: lenet, selection: learned, seed: {seeds}}}
  - {{dataset: mnist, architecture: lenet, selection: greedy, k: [1, 2, 4, 8, 16, 32, 64, 128], seed: {seeds}}}
  - {{dataset: mnist, architecture: lenet, selection: probabilistic, k: [2, 4, 8, 16, 32, 64, 128], seed: {seeds}}}
  - {{dataset: mnist, architecture: lenet, selection: greedy, k: [2, 8, 64], finetune: e100, seed: {seeds}}}
  - dataset: cifar10
    architecture: [conv2, conv4, conv6, vgg19]
    selection: [greedy, learned]
    k: [1, 2, 4, 8, 16, 32, 64, 128]
    seed: {seeds}
  - dataset: cifar10
    architecture: [conv2, conv4, conv6, vgg19]
    selection: probabilistic
    k: [2, 4, 8, 16, 32, 64, 128]
    seed: {seeds}
  - dataset: cifar10
    architecture: [conv2, conv4, conv6, vgg19]
    selection: greedy
    k: [2, 8, 64]
    finetune: e100
    seed: {seeds}
"""
RUN = """run: {run}
recipe: {recipe}
grids:
  - {{dataset: {dataset}, architecture: lenet, selection: greedy, k: {k}, seed: {seeds}}}
"""
BARE = """
rule all:
    input: expand("results/{{i}}.json", i=range({jobs}))
rule fetch:
    output: "data/mnist.safetensors"
    shell: "touch {{output}}"
rule train:
    input: "data/mnist.safetensors"
    output: "results/{{i}}.json"
    log: "logs/{{i}}.log"
    benchmark: "logs/{{i}}.tsv"
    threads: 1
    resources: gpu=0, mem_mb=1000, runtime=10
    shell: "touch {{output}}"
"""

Row = tuple[str, str, float, float]
"""what, its unit, by the clock, by the processor"""


@dataclass(frozen=True)
class Cost:
    """Of a program: seconds by the clock and of processors, and MB of memory (or those of a larger one before it)."""

    wall: float
    cpu: float
    memory: int

    def row(self, what: str, share: int = 1) -> Row:
        return what, "s", self.wall / share, self.cpu / share

    def over(self, other: Cost, what: str, share: int = 1) -> Row:
        return what, "×", self.wall / share / other.wall, self.cpu / share / other.cpu


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "memory")))


class Copy(Tree):
    def cost(self, *command: object) -> Cost:
        """Of a program of the environment, in this folder."""
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        words = [str(Path(sys.executable).with_name(str(command[0]))), *map(str, command[1:])]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(words, cwd=self.folder, env=environment, check=True, capture_output=True)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(ended - began, cpu, after.ru_maxrss // 1024)

    def config(self, run: str, recipe: str, dataset: str, k: list[int], seeds: int) -> None:
        text = RUN.format(run=run, recipe=recipe, dataset=dataset, k=k, seeds=list(range(seeds)))
        (self.folder / f"{run}.yaml").write_text(text, encoding="utf-8")


def of_a_cell(tree: Copy, cells: int) -> Iterator[Row]:
    (tree.folder / "slotbench" / "recipes" / "step.yaml").write_text(STEP, encoding="utf-8")
    tree.cost("slotbench", "fetch", "digits")
    for run in ("warm", "many", "alone"):
        tree.config(run, "step", "digits", [8], 2 if run == "warm" else cells)
    tree.cost("slotbench", "run", "warm.yaml")  # compiles the step
    records = [f"results/many/cells/step/digits/lenet/greedy/k8/none/seed{seed}.json" for seed in range(cells)]
    imports = [tree.cost("python", "-c", "import torch") for _ in range(5)]
    snakemake = tree.cost("snakemake", *records, "--configfile", "many.yaml", "--cores", "1")
    imports += [tree.cost("python", "-c", "import torch") for _ in range(5)]
    alone = tree.cost("slotbench", "run", "alone.yaml")
    yield median(imports).row("import torch")
    yield snakemake.row(f"one of {cells} cells of one step, by Snakemake", cells)
    yield snakemake.over(median(imports), "the same over import torch", cells)
    yield alone.row(f"one of {cells} cells of one step, by slotbench run", cells)


def of_the_plan(tree: Copy) -> Iterator[Row]:
    bare = tree.folder / "bare"
    bare.mkdir()
    (bare / "Snakefile").write_text(BARE.format(jobs=PLANNED), encoding="utf-8")
    tree.config("plan", "authors-code", "mnist", [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024], PLANNED // 10)
    costs: dict[str, list[Cost]] = {"bare": [], "ours": []}
    for _ in range(3):
        costs["bare"].append(tree.cost("snakemake", "-n", "--directory", bare, "--snakefile", bare / "Snakefile"))
        costs["ours"].append(tree.cost("snakemake", "-n", "--configfile", "plan.yaml"))
    bare_one, ours = median(costs["bare"]), median(costs["ours"])
    yield bare_one.row(f"snakemake -n, bare Snakefile of {PLANNED} jobs")
    yield ours.row(f"snakemake -n, {PLANNED} cells")
    yield ours.over(bare_one, "the same over the bare one")
    yield "its memory", "MB", ours.memory, ours.memory


def of_the_report(tree: Copy) -> Iterator[Row]:
    path = tree.folder / "synthetic.yaml"
    path.write_text(SYNTHETIC.format(seeds=list(range(PLANNED // 95 + 1))), encoding="utf-8")
    run = config.load(path)
    synthetic.train(tree.folder / "results", synthetic.SyntheticRun(run.run, run.recipe, run.cells()))
    collect, report = tree.cost("slotbench", "collect", "synthetic.yaml"), tree.cost("slotbench", "report", "synthetic")
    yield collect.row(f"slotbench collect, {len(run.cells())} records")
    yield report.row(f"slotbench report, {len(run.cells())} records")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=["cell", "plan", "report"], default=["cell", "plan", "report"])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for what in chosen.only:
            part = Path(folder, what)
            part.mkdir()
            if what == "cell":
                rows += of_a_cell(Copy(part), chosen.cells)
            else:
                rows += {"plan": of_the_plan, "report": of_the_report}[what](Copy(part))
    device = device_name(prepare(1))
    table = Table("what", "by the clock", "of processors", title=device)
    for what, unit, wall, cpu in rows:
        table.add_row(what, f"{wall:.2f} {unit}", f"{cpu:.2f} {unit}")
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        entries = [
            {"what": what, "unit": unit, "wall": round(wall, 3), "cpu": round(cpu, 3), "device": device}
            for what, unit, wall, cpu in rows
        ]
        chosen.json.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
