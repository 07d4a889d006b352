"""Tests run side by side, one process a processor, each with one thread: torch's threads wait for each other by
spinning, and take many times as long where other processes want the processor too."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# readline, which pytest loads, tells every process that it starts of a screen that is not there.
for name in ("COLUMNS", "LINES"):
    os.environ[name] = ""  # unsetenv, which a name that Python does not know would not come to
    del os.environ[name]

SLOW = (
    "cluster/test_gpu_lease", "committed", "data/test_batches", "data/test_formats", "data/test_sources", "faults",
    "fuzz", "report", "results/test_manifest", "results/test_table", "selection/test_edge_popup",
    "selection/test_greedy", "selection/test_kernel", "selection/test_shared", "selection/test_slots",
    "selection/test_staircase", "selection/test_supermask", "test_benchmarks", "test_bf16_study", "test_cli",
    "test_docs", "test_gpu_page", "test_locking", "test_package", "test_plans", "test_workflow",
    "training/test_cuda_graphs", "training/test_packing", "training/test_preemption", "training/test_replay",
    "training/test_session",
)  # fmt: skip
"""Files and folders whose tests take seconds each: they train cells, start the program, draw, or unpack gigabytes."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are not asked for, the files that have no others are not imported, which takes seconds, too."""
    left_out = "not slow" in config.option.markexpr and _of(collection_path).startswith(SLOW)
    return True if left_out else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _of(item.path).startswith(SLOW):
            item.add_marker("slow")


def _of(path: Path) -> str:
    """Its name within tests/; of another file or folder, all of it."""
    here = Path(__file__).parent
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
