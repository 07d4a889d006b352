"""`step.c`'s steps for a GPU, by Triton: SGD on b and the climb of greedy selection in one pass over memory, and the
draw of probabilistic sampling.

They round where `step.c` does. With TRITON_INTERPRET=1, set before this is imported, it runs on a CPU, as
tests/selection/test_kernel_gpu.py lets it do.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from slotbench.selection.slots import Layer, Settings

BLOCK = 1024
"""Connections of one program of `step`"""
DRAW_BLOCK = 256
"""Connections of one program of `drawing`, which reads their options and scores three times: few enough for a cache"""


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
    unit: tl.float64,
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

    here = here * tl.full((block,), unit, here.dtype)
    scale = tl.full((block,), a, here.dtype)
    rising = inside & (here > tl.load(high + at, inside) * scale)
    moving = rising | (inside & (here <= tl.load(low + at, inside) * scale))
    if tl.max(moving.to(tl.int32)) > 0:
        moved = moving
        place = tl.load(entry + at, moving)
        while tl.max(moving.to(tl.int32)) > 0:
            place += tl.where(moving, tl.where(rising, 1, -1), 0)
            # NaN ends every staircase and compares false
            above = here > tl.load(breakpoints + place + 1, moving) * scale
            below = here <= tl.load(breakpoints + place, moving) * scale
            moving = moving & tl.where(rising, above, below)
        tl.store(entry + at, place, moved)
        tl.store(low + at, tl.load(breakpoints + place, moved), moved)
        tl.store(high + at, tl.load(breakpoints + place + 1, moved), moved)
        tl.store(weight + at, tl.load(levels + place, moved), moved)


@triton.jit  # type: ignore[untyped-decorator]
def exponential(x: tl.tensor, double: tl.constexpr) -> tl.tensor:
    """`step.c`'s, for x ≤ 0."""
    if double:
        x = tl.where(x < -707, -707.0, x)
        magic = tl.full(x.shape, 6755399441055744.0, tl.float64)  # 1.5·2⁵²: a sum with it has no fraction
        n = x * tl.full(x.shape, 1.4426950408889634, tl.float64) + magic - magic
        r = x - n * tl.full(x.shape, 0.6931471806019545, tl.float64)
        r = r + n * tl.full(x.shape, 4.2009150726810846e-11, tl.float64)
        series = tl.full(x.shape, 1 / 6227020800, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 479001600, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 39916800, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 3628800, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 362880, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 40320, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 5040, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 720, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 120, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 24, tl.float64)
        series = series * r + tl.full(x.shape, 1 / 6, tl.float64)
        power = ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    else:
        x = tl.where(x < -87, -87.0, x)
        magic = tl.full(x.shape, 12582912.0, tl.float32)  # 1.5·2²³
        n = x * tl.full(x.shape, 1.44269504, tl.float32) + magic - magic
        r = x - n * tl.full(x.shape, 0.693359375, tl.float32)
        r = r + n * tl.full(x.shape, 2.12194440e-4, tl.float32)
        series = tl.full(x.shape, 1 / 5040, tl.float32)
        series = series * r + tl.full(x.shape, 1 / 720, tl.float32)
        series = series * r + tl.full(x.shape, 1 / 120, tl.float32)
        series = series * r + tl.full(x.shape, 1 / 24, tl.float32)
        series = series * r + tl.full(x.shape, 1 / 6, tl.float32)
        power = ((n.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    return series * power


@triton.jit(do_not_specialize=["connections", "k", "seed"])  # type: ignore[untyped-decorator]
def drawing(
    weight: tl.tensor,
    b: tl.tensor,
    every_option: tl.tensor,  # "options" is a name of Triton's own, in the function that it makes of this signature
    scores: tl.tensor,
    connections: tl.tensor,
    k: tl.tensor,
    a: tl.float64,
    seed: tl.int64,
    double: tl.constexpr,
    block: tl.constexpr,
) -> None:
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < connections
    here = tl.load(b + at, inside)
    scale = tl.full((block,), a, here.dtype)

    # The scores are computed three times rather than kept: there can be any number of them.
    top = tl.full((block,), float("-inf"), here.dtype)
    for j in range(k):
        row = j * connections.to(tl.int64) + at
        score = tl.fma(tl.load(scores + row, inside), scale, tl.load(every_option + row, inside) * here)
        top = tl.where(score > top, score, top)
    total = tl.zeros((block,), here.dtype)
    for j in range(k):
        row = j * connections.to(tl.int64) + at
        score = tl.fma(tl.load(scores + row, inside), scale, tl.load(every_option + row, inside) * here)
        total += exponential(score - top, double)

    # splitmix64 of seed and place, as `probabilistic.uniform`
    z = seed.to(tl.uint64) + at.to(tl.uint64) * 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    uniform = ((z ^ (z >> 31)) >> 40).to(tl.int32).to(tl.float32) * tl.full((block,), 2**-24, tl.float32)
    threshold = total * uniform.to(here.dtype)

    chosen = tl.load(every_option + at, inside)
    total = tl.zeros((block,), here.dtype)
    for j in range(k - 1):
        row = j * connections.to(tl.int64) + at
        option = tl.load(every_option + row, inside)
        score = tl.fma(tl.load(scores + row, inside), scale, option * here)
        total += exponential(score - top, double)
        following = tl.load(every_option + row + connections, inside)
        chosen = tl.where(total <= threshold, following, chosen)
    tl.store(weight + at, chosen, inside)


def try_out(device: torch.device) -> None:
    """Takes a step of one connection, and draws; raises whatever Triton raises where it lacks a compiler, a header or a
    driver."""
    weight, gradient = torch.zeros(1, device=device), torch.zeros(1, device=device)
    numbers = torch.full((2,), torch.nan, device=device)
    entry = torch.zeros(1, dtype=torch.int32, device=device)
    settings = Settings(lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False)
    climber = SimpleNamespace(entry=entry, low=numbers, high=numbers, levels=numbers, breakpoints=numbers)
    greedy_step(Layer(weight, gradient, numbers, numbers, 1.0), climber, settings, (1.0, 1.0))
    draw(weight, gradient, gradient[:, None], gradient[:, None], 1.0, 0)


def greedy_step(layer: Layer, climber: Any, settings: Settings, units: tuple[float, float]) -> None:
    """`kernel.greedy_step` for a layer on a GPU."""
    connections = layer.weight.numel()
    if not connections:
        return
    step[(triton.cdiv(connections, BLOCK),)](
        layer.weight.detach(),
        layer.gradient,
        layer.b,
        layer.momentum,
        climber.entry,
        climber.low,
        climber.high,
        climber.levels,
        climber.breakpoints,
        connections,
        *settings[:3],
        *units,
        has_momentum=settings.momentum != 0,
        nesterov=settings.nesterov,
        decays=settings.weight_decay != 0,
        block=BLOCK,
        enable_fp_fusion=False,
    )


def draw(weight: Tensor, b: Tensor, options: Tensor, scores: Tensor, a: float, seed: int) -> None:
    """`kernel.draw` for a layer on a GPU."""
    k, connections = options.shape
    if not connections:
        return
    drawing[(triton.cdiv(connections, DRAW_BLOCK),)](
        weight.detach(),
        b,
        options,
        scores,
        connections,
        k,
        a,
        seed,
        double=weight.dtype == torch.float64,
        block=DRAW_BLOCK,
        enable_fp_fusion=False,
    )
