"""Copies on a node's own disk; and where there is no shared file system: object storage, the profile for Kubernetes,
and the image that it runs."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from slotbench import config
from tests.support.project import ROOT, Tree
from tests.support.records import same

pytestmark = pytest.mark.cluster

pytest.importorskip("moto", reason="needs `pip install -e '.[kubernetes,test-cluster]'`")
pytest.importorskip("snakemake_storage_plugin_s3", reason="needs `pip install -e '.[kubernetes]'`")

BRIEF = """
run: brief
recipe: quick
grids:
  - {dataset: digits, architecture: lenet, selection: greedy, k: 8, finetune: [none, e4], seed: 0}
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks as S3 does, on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    with socket.socket() as client:
        while client.connect_ex(("127.0.0.1", port)) and time.monotonic() < end:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Tree:
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "any")
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY", "any")
    tree = Tree(tmp_path / "stored")
    (tree.folder / "brief.yaml").write_text(BRIEF)
    return tree


def test_a_run_on_object_storage_is_the_local_run_and_is_known_to_the_next_machine(tree, endpoint, tmp_path):
    """Its finetuned cell starts from weights that lie there."""
    storage = ("--default-storage-provider", "s3", "--default-storage-prefix", "s3://slotbench",
               "--storage-s3-endpoint-url", endpoint)  # fmt: skip
    brief = ("--configfile", "brief.yaml", "--cores", "1")
    done = tree.snakemake(*brief, *storage, "--keep-storage-local-copies")
    assert done.returncode == 0, done.stderr
    assert not (tree.folder / "results").exists()
    stored = tree.folder / ".snakemake" / "storage" / "s3" / "slotbench"
    shutil.copytree(stored, tmp_path / "kept")

    elsewhere = Tree(tmp_path / "elsewhere")
    (elsewhere.folder / "brief.yaml").write_text(BRIEF)
    assert not {"fetch", "train", "finetune"} & elsewhere.planned(*brief, *storage).keys()

    done = elsewhere.snakemake(*brief)
    assert done.returncode == 0, done.stderr
    for cell in config.load(tree.folder / "brief.yaml").cells():
        path = Path("results", "brief", "cells", cell.path)
        same(tmp_path / "kept" / path, elsewhere.folder / path)
    assert (tmp_path / "kept" / "report" / "brief" / "index.html").exists()


@pytest.mark.skipif(shutil.which("rsync") is None, reason="needs Debian's package rsync")
def test_a_run_on_copies_that_a_node_keeps_is_the_local_run(tree, tmp_path):
    pytest.importorskip("snakemake_storage_plugin_fs", reason="needs `pip install -e '.[slurm]'`")
    scratch = tmp_path / "scratch"
    brief = ("--configfile", "brief.yaml", "--cores", "1")
    copies = ("--default-storage-provider", "fs", "--local-storage-prefix", str(scratch),
              "--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache")  # fmt: skip
    done = tree.snakemake(*brief, *copies, "--printshellcmds")
    assert done.returncode == 0, done.stderr
    read_from = re.findall(r"-m slotbench train .*--data-dir=(\S+)", done.stdout + done.stderr)
    assert len(read_from) == 2
    assert all(Path(folder).is_relative_to(scratch) for folder in read_from)

    local = Tree(tmp_path / "local")
    (local.folder / "brief.yaml").write_text(BRIEF)
    done = local.snakemake(*brief)
    assert done.returncode == 0, done.stderr
    for cell in config.load(tree.folder / "brief.yaml").cells():
        path = Path("results", "brief", "cells", cell.path)
        same(tree.folder / path, local.folder / path)
    assert (tree.folder / "report" / "brief" / "index.html").exists()


def test_the_profile_for_kubernetes_loads_and_its_plugins_know_every_setting(tree, endpoint):
    arguments = ("-n", "--workflow-profile", "profiles/kubernetes", "--configfile", "brief.yaml",
                 "--storage-s3-endpoint-url", endpoint, "--default-storage-prefix", "s3://empty")  # fmt: skip
    done = tree.snakemake(*arguments)
    assert done.returncode == 0, done.stderr
    profile = tree.folder / "profiles" / "kubernetes" / "config.yaml"
    profile.write_text(profile.read_text() + "kubernetes-nothing: 1\n")
    assert "unrecognized arguments: --kubernetes-nothing" in tree.snakemake(*arguments).stderr


def test_networks_with_convolutions_ask_for_a_gpu_on_a_cluster_and_lenet_does_not(tree, endpoint):
    for profile, more in (("slurm", ()), ("kubernetes", ("--storage-s3-endpoint-url", endpoint))):
        done = tree.snakemake("-n", "-p", "--workflow-profile", f"profiles/{profile}", *more)
        assert done.returncode == 0, done.stderr
        asked = re.findall(r"--architecture=(\w+) .*--gpu-share=(\d)", done.stdout + done.stderr)
        assert {name for name, _ in asked} == {"lenet", "conv2", "conv4", "conv6", "vgg19"}
        assert all((gpu == "0") == (name == "lenet") for name, gpu in asked), profile


def reached(requirement: Requirement) -> set[str]:
    """The packages that installing `requirement` installs, here."""
    packages: set[str] = set()
    waiting = [(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        packages.add(name)
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                new = {(canonicalize_name(needed.name), more) for more in ("", *needed.extras)} - seen
                seen |= new
                waiting += new
    return packages


def test_the_image_has_the_torch_and_all_the_packages_that_constraints_name():
    text = (ROOT / "Containerfile").read_text()
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    assert re.findall(r"^ARG PYTORCH=([\d.]+)-", text, re.M) == [pins["torch"]]
    (extra,) = re.findall(r"--constraint constraints.txt --editable '\.\[(\w+)\]'$", text, re.M)
    unpinned = (
        reached(Requirement(f"slotbench[{extra}]")) - set(map(canonicalize_name, pins)) - {"slotbench", "setuptools"}
    )
    # torch's own: the image has those of its GPU's libraries, another torch others or none
    assert {name for name in unpinned if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()
    for sources in re.findall(r"^COPY (.*) \S+$", text, re.M):
        assert all((ROOT / source).exists() for source in sources.split())
