"""Files of datasets as their sources have them, for tests to make."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from slotbench.data.formats import CIFAR_TRAIN

CIFAR_BATCHES = [*CIFAR_TRAIN, "test_batch"]


def write_idx(folder: Path, arrays, compress: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        for kind, axes in (("images", 3), ("labels", 1)):
            array = arrays[f"{split}/{kind}"]
            content = bytes([0, 0, 8, axes]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
            name = f"{prefix}-{kind}-idx{axes}-ubyte"
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did, whose text was bytes: the form of the original CIFAR-10 and of mnist.pkl."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        content = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)  # type: ignore[attr-defined]

    dispatch[str] = dispatch[bytes] = save_text  # type: ignore[assignment]


def python2_pickle(value) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def cifar_tar(path: Path, prefix: str, content: bytes) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in CIFAR_BATCHES:
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
