"""`step.c`'s step of greedy selection for a GPU: SGD on b and the climb, in one pass over memory, by Triton.

It rounds where `step.c` does. With TRITON_INTERPRET=1, set before this is imported, it runs on a CPU, as
tests/selection/test_kernel_gpu.py lets it do.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from slotbench.selection.kernel import gradient

BLOCK = 1024
"""Connections of one program"""


@triton.jit  # type: ignore[untyped-decorator]
def step(
    weight: tl.tensor,
    gradient: tl.tensor,
    b: tl.tensor,
    momentum: tl.tensor,
    entry: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    levels: tl.tensor,
    breakpoints: tl.tensor,
    connections: tl.tensor,
    lr: tl.float64,
    mu: tl.float64,
    decay: tl.float64,
    a: tl.float64,
    has_momentum: tl.constexpr,
    nesterov: tl.constexpr,
    decays: tl.constexpr,
    block: tl.constexpr,
) -> None:
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < connections
    here = tl.load(b + at, inside)
    change = tl.load(gradient + at, inside)
    if decays:
        change = tl.fma(here, tl.full((block,), decay, here.dtype), change)
    if has_momentum:
        kept = tl.full((block,), mu, here.dtype)
        velocity = tl.load(momentum + at, inside) * kept + change
        tl.store(momentum + at, velocity, inside)
        change = tl.fma(velocity, kept, change) if nesterov else velocity
    here = tl.fma(change, tl.full((block,), -lr, here.dtype), here)
    tl.store(b + at, here, inside)

    unit = tl.full((block,), a, here.dtype)
    rising = inside & (here > tl.load(high + at, inside) * unit)
    moving = rising | (inside & (here <= tl.load(low + at, inside) * unit))
    if tl.max(moving.to(tl.int32)) > 0:
        moved = moving
        place = tl.load(entry + at, moving)
        while tl.max(moving.to(tl.int32)) > 0:
            place += tl.where(moving, tl.where(rising, 1, -1), 0)
            # NaN ends every staircase and compares false
            above = here > tl.load(breakpoints + place + 1, moving) * unit
            below = here <= tl.load(breakpoints + place, moving) * unit
            moving = moving & tl.where(rising, above, below)
        tl.store(entry + at, place, moved)
        tl.store(low + at, tl.load(breakpoints + place, moved), moved)
        tl.store(high + at, tl.load(breakpoints + place + 1, moved), moved)
        tl.store(weight + at, tl.load(levels + place, moved), moved)


def try_out(device: torch.device) -> None:
    """Takes a step of one connection; raises whatever Triton raises where it lacks a compiler, a header or a driver."""
    weight = torch.zeros(1, device=device, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    numbers = torch.full((2,), torch.nan, device=device)
    entry = torch.zeros(1, dtype=torch.int32, device=device)
    climber = SimpleNamespace(entry=entry, low=numbers, high=numbers, levels=numbers, breakpoints=numbers)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False, "a": 1.0}
    greedy_step(weight, {"b": numbers, "momentum": numbers}, climber, settings)


def greedy_step(weight: Tensor, state: dict[str, Tensor], climber: Any, group: dict[str, Any]) -> None:
    """`kernel.greedy_step` for a layer on a GPU."""
    connections = weight.numel()
    step[(triton.cdiv(connections, BLOCK),)](
        weight.detach(),
        gradient(weight),
        state["b"],
        state["momentum"],
        climber.entry,
        climber.low,
        climber.high,
        climber.levels,
        climber.breakpoints,
        connections,
        group["lr"],
        group["momentum"],
        group["weight_decay"],
        abs(group["a"]),
        has_momentum=group["momentum"] != 0,
        nesterov=group["nesterov"],
        decays=group["weight_decay"] != 0,
        block=BLOCK,
        enable_fp_fusion=False,
    )
