"""What a claim judged anew prints, and how long it takes: its cells are trained again in full.

    python benchmarks/replay_claim.py [--claim lenet-k2 --json FILE]

As many cells at a time as there are cores, one thread each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from slotbench.results.provenance import commit
from slotbench.training.device import device_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claim", default="lenet-k2")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    command = ["replay", "--claim", chosen.claim]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "slotbench", *command], stdout=subprocess.PIPE, text=True, check=True)
    minutes = (time.perf_counter() - began) / 60
    print(done.stdout, f"{minutes:.1f} minutes", sep="")
    measured = {
        "command": f"slotbench {' '.join(command)}",
        "output": done.stdout.splitlines(),
        "minutes": round(minutes, 1),
        "device": device_name(torch.device("cpu")),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "commit": commit()[0],
    }
    if chosen.json:
        chosen.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
