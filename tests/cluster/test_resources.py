"""What cells ask for follows from the networks themselves; tests/committed holds it to what records took."""

import pytest
import torch

from slotbench import architectures, config
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.cluster import resources
from slotbench.training.record_of_session import flops_per_image
from tests.support.project import ROOT


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_and_flops_are_the_networks(name):
    network = architectures.build(name, padding=(1, 1, 1), dropout=0.5)
    assert sum(weight.numel() for weight in network.parameters()) == ARCHITECTURES[name].connections
    shape = ARCHITECTURES[name].input_shape
    assert flops_per_image(network, torch.zeros(2, *shape)) == pytest.approx(ARCHITECTURES[name].flops, rel=0.1)


def test_every_cell_of_the_papers_grid_asks_for_what_a_cluster_has():
    cells = config.load(ROOT / "config" / "config.yaml").cells()
    assert max(map(resources.minutes, cells)) < 48 * 60
    assert max(map(resources.mem_mb, cells)) < 16_000


def test_more_epochs_more_options_and_larger_networks_ask_for_more():
    lenet = Cell("authors-code", "mnist", "lenet", "probabilistic", 8, "none", 0)
    finetuned = Cell("authors-code", "mnist", "lenet", "greedy", 8, "e100", 0)
    scratch = Cell("authors-code", "mnist", "lenet", "learned", 1, "none", 0)
    vgg19 = Cell("authors-code", "cifar10", "vgg19", "greedy", 8, "none", 0)
    assert resources.minutes(lenet) < resources.minutes(
        Cell("authors-code", "mnist", "lenet", "probabilistic", 64, "none", 0)
    )
    assert resources.minutes(finetuned) < resources.minutes(scratch)
    assert resources.mem_mb(lenet) < resources.mem_mb(vgg19)
