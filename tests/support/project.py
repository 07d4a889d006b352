"""A copy of the project to do things in, with Snakemake in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from slotbench import config, recipes
from slotbench.cells import Cell
from slotbench.results import records
from slotbench.results.fingerprint import fingerprint
from tests.support import synthetic

ROOT = Path(__file__).parents[2]
CELLS = config.load(ROOT / "config" / "quick.yaml").cells()


class Tree:
    """A copy of the project without its results, and Snakemake in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        hidden = shutil.ignore_patterns("__pycache__")
        for name in ("workflow", "profiles", "config", "slotbench"):
            shutil.copytree(ROOT / name, folder / name, ignore=hidden)
        for name in ("Snakefile", "environment.yml"):
            shutil.copy(ROOT / name, folder)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        command = [sys.executable, "-m", "snakemake", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def planned(self, *arguments: str) -> dict[str, set[str]]:
        """What a dry run says it would run: the first output of each job, by rule."""
        done = self.snakemake("-n", *arguments)
        assert done.returncode == 0, done.stderr
        plan: dict[str, set[str]] = {}
        told = re.findall(r"^Job \d+: (train|finetune|fetch|draw) (\S+)(.*)", done.stdout + done.stderr, re.M)
        for verb, what, rest in told:
            run, _, cell = what.partition("/")
            rule, output = {
                "fetch": ("fetch", f"data/{what}.safetensors"),
                "draw": ("report" if "there are" in rest else "complete_report", f"results/{cell}/cells.csv"),
            }.get(verb, (verb, f"results/{run}/cells/{cell}.json"))
            plan.setdefault(rule, set()).add(output)
        return plan

    def trained(self, *arguments: str) -> set[Cell]:
        return cells_of(self.planned(*arguments))

    def record(self, cell: Cell) -> Path:
        return self.folder / "results" / "quick" / "cells" / cell.path

    def finish(self, cells: Iterable[Cell] = CELLS) -> None:
        """Records of `cells` as today's code and recipes would make them, with checkpoints and data."""
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / "digits.safetensors").touch()
        for cell in cells:
            record = as_of_today(cell)
            records.write(record, self.record(cell))
            for name in record.weights:
                path = records.weights_path(self.record(cell), name)
                path.parent.mkdir(exist_ok=True)
                path.touch()


def as_of_today(cell: Cell) -> records.Record:
    """A synthetic record as today's code and recipe would make it."""
    record, recipe = synthetic.record(cell), recipes.of(cell)
    made_by = {"fingerprint": fingerprint(cell), "started_from": "0" * 64 if cell.parent else None}
    return record.model_copy(
        update={
            "recipe": json.loads(recipe.model_dump_json()),
            "provenance": record.provenance.model_copy(update=made_by),
            "weights": {f"e{epoch}": "0" * 64 for epoch in recipe.checkpoints},
        }
    )


def cells_of(plan: dict[str, set[str]]) -> set[Cell]:
    """The cells that a plan trains, finetuned ones too."""
    return {Cell.from_path(path) for rule in ("train", "finetune") for path in plan.get(rule, ())}
