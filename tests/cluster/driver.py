"""A stand-in for CUDA's driver, where there is none: as many GPUs as a test wants, seen as the real one sees them.

CUDA_VISIBLE_DEVICES chooses among them by number, or by any longer name, up to the first that names nothing.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) {
    const char *names = getenv("CUDA_VISIBLE_DEVICES"), *there = getenv("TEST_GPUS");
    int all = there ? atoi(there) : 64;
    *count = all;
    if (!names) return 0;
    char *copy = strdup(names), *rest = copy, *name;
    for (*count = 0; (name = strsep(&rest, ",")); ++*count) {
        name += strspn(name, " ");
        if (!*name || *name == '-' || (strlen(name) < 4 && atoi(name) >= all)) break;
    }
    return 0;
}
"""


def build(folder: Path) -> Path:
    """A folder for LD_LIBRARY_PATH with the driver in it; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, to build a driver for the test")
    folder.mkdir(exist_ok=True)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", "-x", "c", "-"]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return folder


def variables(folder: Path, gpus: int | None = None) -> dict[str, str]:
    """What a process has to be told to see `gpus` GPUs; without a number, all that are named."""
    there = {} if gpus is None else {"TEST_GPUS": str(gpus)}
    return {"LD_LIBRARY_PATH": f"{build(folder)}{os.pathsep}{os.environ.get('LD_LIBRARY_PATH', '')}"} | there
