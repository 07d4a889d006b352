"""The table of datasets is complete, and light to import."""

import subprocess
import sys

import pytest

from slotbench.data.datasets import DATASETS, stored
from slotbench.data.formats import FORMS
from slotbench.data.sources import SOURCES, pinned


@pytest.mark.parametrize("dataset", sorted({stored(dataset) for dataset in DATASETS}))
def test_every_dataset_has_published_hashes_sources_and_forms(dataset):
    assert {name.split("/")[1] for name in pinned(dataset)} == {"images", "labels"}
    assert SOURCES[dataset]
    assert dataset in FORMS


def test_listing_datasets_imports_neither_numpy_nor_torch():
    code = "import sys, slotbench.data.datasets; sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
