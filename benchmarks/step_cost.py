"""What a training step costs: selection beside plain SGD and beside the textbook algorithm (K stored scores).

    python benchmarks/step_cost.py [--architecture lenet --k 2 8 --threads 1 --precision float32 bf16 --json FILE]

On as many threads as a cell of that network trains on by the recipes, unless told otherwise.

All contenders of a network train in one process, in turns, on the same random images; a figure is the median over
the turns. They take the passes that training takes: channels-last convolutions, the recipe's precision, on a GPU one
graph and Triton's step. "plain" is torch.optim.SGD on the same network; "textbook" is tests/support/oracle.py in
float32, left out where its scores would not fit. "torch alone" is ours without the compiled step, "row-major" plain SGD
with the layout that torch gives a network. "floor" is the arithmetic of a step, by torch's counter, at the rate that a
large convolution (for LeNet a large product) reaches at that precision, and the bytes that the rule has to move for
each connection (benchmarks/floors.py) at the rate of a large copy.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.floors import GREEDY, PLAIN
from slotbench import architectures
from slotbench.architectures import ARCHITECTURES
from slotbench.recipes import Precision
from slotbench.selection import kernel
from slotbench.selection.greedy import Greedy
from slotbench.selection.learned import Learned
from slotbench.selection.options import draw
from slotbench.selection.probabilistic import Probabilistic
from slotbench.selection.rule import SQRT3
from slotbench.training import cuda_graphs
from slotbench.training.device import autocast, device_name, place, prepare
from slotbench.training.record_of_session import flops_per_image
from tests.support.oracle import Textbook

SETTINGS: dict[str, Any] = {"lr": 0.1, "momentum": 0.9}
TEXTBOOK_BYTES = 2 * 2**30


class Contender:
    """A network and what trains it, one step at a time."""

    def __init__(
        self,
        architecture: str,
        selection: str,
        k: int,
        batch: int,
        device: torch.device,
        compiled: bool,
        precision: Precision = "float32",
        padding: Sequence[int] = (1, 1, 1),
        row_major: bool = False,
    ) -> None:
        self.architecture, self.selection, self.k, self.compiled = architecture, selection, k, compiled
        self.device, self.precision, self.row_major = device, precision, row_major
        network = architectures.build(architecture, padding=padding)
        self.network = network.to(device) if row_major else place(network, device)
        weights = list(self.network.parameters())
        self.connections = sum(weight.numel() for weight in weights)
        self.optimizer = self._optimizer(weights)
        shape = batch, *ARCHITECTURES[architecture].input_shape
        self.images = torch.randint(256, shape, dtype=torch.uint8, device=device)
        self.labels = torch.randint(10, (batch,), device=device)
        loss = cuda_graphs.Loss(self.network.train(), (None, None), precision)
        self.passes = cuda_graphs.passes(loss, self.images, self.labels)
        self.turns: list[float] = []

    def _optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer | Textbook:
        match self.selection:
            case "plain":
                return Learned(weights, seed=0, **SETTINGS)
            case "greedy":
                return Greedy(weights, k=self.k, seed=0, **SETTINGS)
            case "probabilistic":
                return Probabilistic(weights, k=self.k, seed=0, **SETTINGS)
        drawn = draw(weights, k=self.k, seed=0, option_bound=SQRT3, score_bounds=(SQRT3, SQRT3))
        return Textbook(weights, drawn, sampling=self.selection == "textbook-probabilistic", **SETTINGS)

    def step(self) -> None:
        self.passes(self.images, self.labels)
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

    @property
    def path(self) -> str:
        if self.selection not in ("greedy", "probabilistic"):
            return "row-major" if self.row_major else "torch alone"
        return {"compiled": "compiled", "triton": "Triton"}.get(self.compiled_by, "torch alone")

    @property
    def compiled_by(self) -> str:
        kernel.enabled = self.compiled
        return kernel.path(self.device)

    def milliseconds(self) -> float:
        return statistics.median(self.turns)

    def bytes_per_connection(self) -> float:
        """Of the training state, the weight itself and its gradient left out, options and breakpoints counted."""
        held = {}
        waiting: list[Any] = [self.optimizer]
        skip = {id(tensor) for weight in self.network.parameters() for tensor in (weight, weight.grad)}
        while waiting:
            value = waiting.pop()
            if isinstance(value, torch.Tensor) and id(value) not in skip:
                held[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            elif isinstance(value, dict):
                waiting += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple):
                waiting += value
            elif isinstance(value, torch.optim.Optimizer | Textbook):
                waiting.append(vars(value))
        weights = {weight.untyped_storage().data_ptr() for weight in self.network.parameters()}
        return sum(size for place, size in held.items() if place not in weights) / self.connections


def contenders(
    architecture: str,
    ks: list[int],
    batch: int,
    device: torch.device,
    precision: Precision = "float32",
    padding: Sequence[int] = (1, 1, 1),
) -> list[Contender]:
    def contender(selection: str, k: int, compiled: bool = True, row_major: bool = False) -> Contender:
        return Contender(architecture, selection, k, batch, device, compiled, precision, padding, row_major)

    contenders = [contender("plain", 1)]
    if architecture != "lenet":
        contenders.append(contender("plain", 1, row_major=True))
    connections = contenders[0].connections
    compiled = contenders[0].compiled_by != "torch"
    for k in ks:
        contenders += [contender("greedy", k)] if compiled else []
        if precision != "float32":
            continue
        contenders.append(contender("greedy", k, compiled=False))
        if 16 * k * connections < TEXTBOOK_BYTES:
            contenders.append(contender("textbook", k))
        if k == 8 and architecture == "lenet":
            contenders += [contender("probabilistic", k)] if compiled else []
            contenders += [contender("probabilistic", k, compiled=False), contender("textbook-probabilistic", k)]
    return contenders


def fastest(task: Callable[[], object], device: torch.device) -> float:
    """Seconds."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        task()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)


def floors(contender: Contender) -> dict[str, float]:
    """Milliseconds that no step of this network and precision can do without: plain SGD's, and greedy selection's."""
    device, size = contender.device, 4 if contender.device.type == "cuda" else 1  # so much that a launch does not count
    layer: nn.Module
    if contender.architecture == "lenet":
        layer, images = nn.Linear(2048 * size, 2048, bias=False), torch.rand(2048 * size, 2048 * size, device=device)
    else:
        layer, images = nn.Conv2d(256, 256, 3, padding=1, bias=False), torch.rand(64 * size**2, 256, 16, 16).to(device)
        images = images.contiguous(memory_format=torch.channels_last)
    layer = place(layer, device)
    with torch.no_grad(), autocast(contender.precision, device):
        with FlopCounterMode(display=False) as counter:
            layer(images)
        flops_a_second = counter.get_total_flops() / fastest(lambda: layer(images), device)
    source, target = torch.zeros(2, 2**25 * size, device=device)
    bytes_a_second = 2 * source.nbytes / fastest(lambda: target.copy_(source), device)
    flops = flops_per_image(contender.network, contender.images[:2]) * len(contender.images)
    return {
        selection: 1000 * (flops / flops_a_second + moved * contender.connections / bytes_a_second)
        for selection, moved in (("plain", PLAIN), ("greedy", GREEDY))
    }


def measure(
    architecture: str,
    ks: list[int],
    batch: int,
    device: torch.device,
    seconds: float,
    precision: Precision = "float32",
    padding: Sequence[int] = (1, 1, 1),
) -> list[dict[str, Any]]:
    """Rows of the table for one network."""
    running = contenders(architecture, ks, batch, device, precision, padding)
    floor = floors(running[0])
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
        (
            contender.selection.removeprefix("textbook-").replace("textbook", "greedy"),
            contender.k,
        ): contender.milliseconds()
        for contender in running
        if contender.selection.startswith("textbook")
    }
    return [
        {
            "architecture": architecture,
            "selection": contender.selection,
            "path": contender.path,
            "precision": precision,
            "padding": list(padding) if architecture.startswith("conv") else None,
            "k": contender.k,
            "batch": batch,
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "ms_per_step": round(contender.milliseconds(), 3),
            "floor_ms": round(floor[contender.selection], 3) if contender.selection in floor else None,
            "ratio_to_plain": round(contender.milliseconds() / plain, 3),
            "ratio_to_textbook": round(contender.milliseconds() / textbook[contender.selection, contender.k], 4)
            if (contender.selection, contender.k) in textbook
            else None,
            "bytes_per_connection": round(contender.bytes_per_connection(), 1),
            "turns": len(contender.turns),
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        for contender in running
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--architecture", nargs="+", default=["lenet", "conv2", "conv6", "vgg19"], choices=list(ARCHITECTURES)
    )
    parser.add_argument("--k", nargs="+", type=int, default=[2, 8, 64, 128])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, help="1 for LeNet, 2 for the others unless given")
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "tf32", "bf16"])
    parser.add_argument("--padding", nargs=3, type=int, default=[1, 1, 1], help="of CONV-N; the authors' is 0 0 1")
    parser.add_argument("--seconds", type=float, default=60.0, help="of turns, for each architecture")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    for precision in chosen.precision:
        for architecture in chosen.architecture:
            device = prepare(chosen.threads or (1 if architecture == "lenet" else 2), precision)
            ks = chosen.k if architecture == "lenet" else [k for k in chosen.k if k in (8, 64)] or chosen.k[:1]
            rows += measure(architecture, ks, chosen.batch, device, chosen.seconds, precision, chosen.padding)
    columns = ["architecture", "threads", "precision", "selection", "path", "k", "ms_per_step", "floor_ms",
               "ratio_to_plain", "ratio_to_textbook", "bytes_per_connection"]  # fmt: skip
    table = Table(*columns, title=f"{device_name(device)}, batch {chosen.batch}")
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
