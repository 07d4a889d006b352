"""How many small cells pay to share one GPU: LeNet's cells an hour with 1, 2, 4, … processes at once.

    python benchmarks/gpu_share.py [--at-once 1 2 4 8 --epochs 20 --json FILE]

Each process trains GS at K = 8 on MNIST for some epochs, as `slotbench run --gpu-share N` lets N of them do; start-up
is left out. Without NVIDIA's MPS a GPU gives processes slices of time in turn: one fills what another leaves idle, and
no two compute side by side. On a CPU it says the same of its processors. Needs data/mnist.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.cell_cost import cells_an_hour
from slotbench.training.device import device_name, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    where = {"device": device_name(prepare(1)), "processors": os.cpu_count(), "torch": torch.__version__}
    rows = [
        {"at_once": count, "cells_an_hour": round(cells_an_hour(1, count, chosen.epochs, chosen.data_dir), 1), **where}
        for count in chosen.at_once
    ]
    table = Table("at once", "cells an hour", title="{device}, torch {torch}".format(**where))
    for row in rows:
        table.add_row(str(row["at_once"]), str(row["cells_an_hour"]))
    Console().print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
