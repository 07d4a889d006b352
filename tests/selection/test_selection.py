"""What is asked of the rules whatever they select: to leave an accelerator alone, and to be small."""

import tracemalloc
from importlib import import_module
from itertools import accumulate

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from slotbench.selection import SELECTIONS
from slotbench.selection.greedy import Greedy
from slotbench.selection.slots import Slots


@pytest.mark.parametrize("name", SELECTIONS)
def test_no_step_on_an_accelerator_waits_for_a_number_to_be_read_on_the_host(name):
    """Tensors of the meta device have a shape and no numbers: whatever reads one, or how many there are, fails."""
    layers = [nn.Parameter(torch.empty(shape, device="meta")) for shape in ((6, 5, 3, 3), (10, 20))]
    for read in (torch.nonzero, torch.Tensor.item, torch.Tensor.cpu, lambda layer: layer[layer > 0]):
        with pytest.raises((NotImplementedError, RuntimeError)):
            read(layers[0].detach())
    module, _, rule = SELECTIONS[name].optimizer.partition(":")
    optimizer = getattr(import_module(f"slotbench.selection.{module}"), rule)(
        layers, k=8 if SELECTIONS[name].has_options else 1, seed=0, lr=0.1, momentum=0.9, weight_decay=0.5
    )
    signs = set()
    for _ in range(30):
        for layer in layers:
            layer.grad = torch.empty_like(layer)
        optimizer.step()
        signs |= {a < 0 for a in optimizer.a.values()} if isinstance(optimizer, Slots) else set()
    assert len(signs) == (2 if isinstance(optimizer, Slots) else 0), "a never was negative"


@pytest.mark.parametrize("k", [2, 8, 64, 128])
def test_greedy_selection_holds_at_most_100_bytes_a_connection_and_twice_as_many_while_it_is_built(k):
    """Beyond weights and gradients: options, breakpoints, scores and momentum. The textbook holds 12·K."""
    Greedy([nn.Parameter(torch.empty(2, 2))], k=2, seed=0, lr=0.1)  # what Python imports at the first one
    layers = [nn.Parameter(torch.empty(shape)) for shape in ((300, 784), (100, 300), (10, 100))]
    connections = sum(layer.numel() for layer in layers)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        tracemalloc.start()
        optimizer = Greedy(layers, k=k, seed=0, lr=0.1, momentum=0.9)
        numpy_bytes, numpy_peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    torch_bytes = list(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))
    held = (numpy_bytes + torch_bytes[-1]) / connections
    assert 16 < held <= 100, "b, momentum and a level's place and breakpoints are 20 bytes"
    assert (numpy_peak + max(torch_bytes)) / connections <= 2 * held
    assert len(optimizer.options) == 3
