"""What a training step costs: selection beside plain SGD and beside the textbook algorithm (K stored scores).

    python benchmarks/step_cost.py [--architecture lenet --k 2 8 64 128 --threads 1 --json FILE]

All contenders of a network train in one process, in turns, on the same random images; a figure is the median over
the turns. "plain" is torch.optim.SGD on the same network; "textbook" is tests/support/oracle.py in float32, left
out where its scores would not fit. "torch alone" is ours without the compiled step.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).parent.parent))

from slotbench import architectures
from slotbench.architectures import ARCHITECTURES
from slotbench.selection import kernel
from slotbench.selection.greedy import Greedy
from slotbench.selection.learned import Learned
from slotbench.selection.options import draw
from slotbench.selection.probabilistic import Probabilistic
from slotbench.selection.rule import SQRT3
from slotbench.training.device import device_name, prepare
from tests.support.oracle import Textbook

SETTINGS = {"lr": 0.1, "momentum": 0.9}
TEXTBOOK_BYTES = 2 * 2**30


class Contender:
    """A network and what trains it, one step at a time."""

    def __init__(self, architecture: str, selection: str, k: int, batch: int, device: torch.device, compiled: bool):
        self.architecture, self.selection, self.k, self.compiled = architecture, selection, k, compiled
        self.device = device
        self.network = architectures.build(architecture).to(device)
        weights = list(self.network.parameters())
        self.connections = sum(weight.numel() for weight in weights)
        self.optimizer = self._optimizer(weights)
        self.images = torch.rand(batch, *ARCHITECTURES[architecture].input_shape, device=device)
        self.labels = torch.randint(10, (batch,), device=device)
        self.turns: list[float] = []

    def _optimizer(self, weights):
        match self.selection:
            case "plain":
                return Learned(weights, seed=0, **SETTINGS)
            case "greedy":
                return Greedy(weights, k=self.k, seed=0, **SETTINGS)
            case "probabilistic":
                return Probabilistic(weights, k=self.k, seed=0, **SETTINGS)
        bounds = {"option_bound": SQRT3, "score_bounds": (SQRT3, SQRT3)}
        drawn = draw(weights, k=self.k, seed=0, **bounds)
        return Textbook(weights, drawn, sampling=self.selection == "textbook-probabilistic", **SETTINGS)

    def step(self) -> None:
        cross_entropy(self.network(self.images), self.labels).backward()
        self.optimizer.step()
        self.network.zero_grad()

    def turn(self, steps: int) -> None:
        """Times `steps` steps."""
        kernel.enabled = self.compiled
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.turns.append(1000 * (time.perf_counter() - began) / steps)

    def milliseconds(self) -> float:
        return statistics.median(self.turns)

    def bytes_per_connection(self) -> float:
        """Of the training state, the weight itself and its gradient left out, options and breakpoints counted."""
        held = {}
        waiting: list = [self.optimizer]
        skip = {id(one) for weight in self.network.parameters() for one in (weight, weight.grad)}
        while waiting:
            one = waiting.pop()
            if isinstance(one, torch.Tensor) and id(one) not in skip:
                held[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
            elif isinstance(one, dict):
                waiting += [*one.keys(), *one.values()]
            elif isinstance(one, list | tuple):
                waiting += one
            elif isinstance(one, torch.optim.Optimizer | Textbook):
                waiting.append(vars(one))
        weights = {weight.untyped_storage().data_ptr() for weight in self.network.parameters()}
        return sum(size for place, size in held.items() if place not in weights) / self.connections


def contenders(architecture: str, ks: list[int], batch: int, device: torch.device) -> list[Contender]:
    def one(selection: str, k: int, compiled: bool = True) -> Contender:
        return Contender(architecture, selection, k, batch, device, compiled)

    found = [one("plain", 1)]
    connections = found[0].connections
    compiled = device.type == "cpu" and kernel.library() is not None
    for k in ks:
        found += [one("greedy", k)] if compiled else []
        found.append(one("greedy", k, compiled=False))
        if 16 * k * connections < TEXTBOOK_BYTES:
            found.append(one("textbook", k))
        if k == 8 and architecture == "lenet":
            found += [one("probabilistic", k)] if compiled else []
            found += [one("probabilistic", k, compiled=False), one("textbook-probabilistic", k)]
    return found


def measure(architecture: str, ks: list[int], batch: int, device: torch.device, seconds: float) -> list[dict]:
    """Rows of the table for one network."""
    running = contenders(architecture, ks, batch, device)
    for contender in running:  # warm-up
        contender.turn(3)
        contender.turns.clear()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(running[0].turns) < 5:
        for contender in running:
            # The textbook is an order of magnitude slower: few of its steps are as sure a figure.
            contender.turn(max(1, (2 if "textbook" in contender.selection else 20) * 250_000 // contender.connections))
    plain = running[0].milliseconds()
    textbook = {
        (one.selection.removeprefix("textbook-").replace("textbook", "greedy"), one.k): one.milliseconds()
        for one in running
        if one.selection.startswith("textbook")
    }
    return [
        {
            "architecture": architecture,
            "selection": one.selection,
            "path": "compiled" if one.compiled and one.selection in ("greedy", "probabilistic") else "torch alone",
            "k": one.k,
            "batch": batch,
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "ms_per_step": round(one.milliseconds(), 3),
            "ratio_to_plain": round(one.milliseconds() / plain, 3),
            "ratio_to_textbook": round(one.milliseconds() / textbook[one.selection, one.k], 4)
            if (one.selection, one.k) in textbook
            else None,
            "bytes_per_connection": round(one.bytes_per_connection(), 1),
            "turns": len(one.turns),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        for one in running
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", nargs="+", default=["lenet", "conv6", "vgg19"], choices=list(ARCHITECTURES))
    parser.add_argument("--k", nargs="+", type=int, default=[2, 8, 64, 128])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of turns, for each architecture")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    device = prepare(chosen.threads)
    rows = []
    for architecture in chosen.architecture:
        ks = chosen.k if architecture == "lenet" else [k for k in chosen.k if k in (8, 64)] or chosen.k[:1]
        rows += measure(architecture, ks, chosen.batch, device, chosen.seconds)
    columns = ["architecture", "selection", "path", "k", "ms_per_step", "ratio_to_plain", "ratio_to_textbook",
               "bytes_per_connection"]  # fmt: skip
    table = Table(*columns, title=f"{device_name(device)}, {chosen.threads} threads, batch {chosen.batch}")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
