"""The two floors under a training step: its arithmetic, and the bytes that training must move for each connection.

    python benchmarks/floors.py [--json FILE]

One thread. What a step needs is counted, from torch's counter and from the arrays that are read and written; what the
processor does in a second is measured: products of the shape of the network's largest ones, and a pass that adds one
array to another, of the network's size. A step can be no faster than the sum of the two.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from slotbench import architectures
from slotbench.architectures import ARCHITECTURES
from slotbench.training.device import device_name, prepare
from slotbench.training.record_of_session import flops_per_image

BATCH = 128
PLAIN, GREEDY = 20, 28
"""Bytes a connection in float32: the gradient read; momentum, and weight or b, read and written; for greedy selection
also the two breakpoints around b read. What moves, a fraction of a percent of the connections, is left out."""


def seconds(task: Callable[[], object], repeats: int = 15) -> float:
    task()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        task()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def flops_a_second(architecture: str) -> float:
    """Of the network's own forward pass, at the batch's size: what torch's products reach on these shapes."""
    network = architectures.build(architecture).eval()
    images = torch.rand(BATCH, *ARCHITECTURES[architecture].input_shape)
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            network(images)
        return float(counter.get_total_flops()) / seconds(lambda: network(images))


def bytes_a_second(connections: int) -> float:
    first, other = torch.rand(connections), torch.rand(connections)
    return 12 * connections / seconds(lambda: first.add_(other))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    device = prepare(1)
    rows = []
    for architecture in ("lenet", "conv6", "vgg19"):
        network = architectures.build(architecture)
        connections = sum(weight.numel() for weight in network.parameters())
        pixels = torch.zeros(2, *ARCHITECTURES[architecture].input_shape, dtype=torch.uint8)
        flops, rate, width = (
            flops_per_image(network, pixels) * BATCH, flops_a_second(architecture), bytes_a_second(connections)
        )  # fmt: skip
        arithmetic = flops / rate
        plain, greedy = (1000 * (arithmetic + size * connections / width) for size in (PLAIN, GREEDY))
        rows.append(
            {
                "architecture": architecture,
                "gflop_a_step": round(flops / 1e9, 3),
                "gflop_a_second": round(rate / 1e9, 1),
                "mb_a_step_greedy": round(GREEDY * connections / 1e6, 1),
                "gb_a_second": round(width / 1e9, 1),
                "floor_plain_ms": round(plain, 3),
                "floor_greedy_ms": round(greedy, 3),
                "predicted_ratio": round(greedy / plain, 3),
                "device": device_name(device),
                "threads": 1,
            }
        )
    table = Table(*list(rows[0])[:8], title=f"{device_name(device)}, 1 thread, batch {BATCH}")
    for row in rows:
        table.add_row(*[str(value) for value in row.values()][:8])
    Console(width=max(140, Console().width)).print(table)  # a line a row, in a file too
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
