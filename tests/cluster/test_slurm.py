"""Quick's grid through a real SLURM, of which the node is drained, a job cancelled, and others preempted."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slotbench import locking
from slotbench.cluster import gpu_lease
from tests.cluster import driver
from tests.support.command import SLOTBENCH
from tests.support.project import CELLS, Tree
from tests.support.records import same

pytestmark = pytest.mark.cluster

pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs `pip install -e '.[slurm]'`")
SCRIPT = Path(__file__).with_name("slurm")
NODE = os.uname().nodename
STATE = re.compile(r"resume-(\d+)-")

missing = [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name) is None]
if missing or os.geteuid() != 0:
    pytest.skip("needs root and Debian's packages slurm-wlm and munge", allow_module_level=True)


@pytest.fixture
def slurm(tmp_path) -> Iterator[None]:
    folder = tmp_path / "slurm"
    folder.mkdir()
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # munge's socket is for all users
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=60)
        yield
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=60)
        for lock in locks():
            lock.unlink()


def locks() -> list[Path]:
    """The slots of GPUs that jobs of this SLURM have held: <job>-<GPU>-<slot>."""
    return [*locking.shared_folder(gpu_lease.LOCKS).glob("[0-9]*-[01]-0")]


def answer(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def jobs(state: str) -> list[str]:
    return answer("squeue", "--noheader", "--format=%i", f"--states={state}").split()


class Cluster(Tree):
    """A copy of the project, and Snakemake in it, which sends its cells to SLURM."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.events: list[str] = []
        self.log = folder / "slurm.log"

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *arguments]
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PATH": f"{SLOTBENCH.parent}{os.pathsep}{os.environ['PATH']}",
            "SLOTBENCH_RESUME_SECONDS": "0",
            **driver.variables(self.folder / "driver"),  # SLURM hands its simulated GPUs out by number
        }
        self.began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def note(self, event: str) -> None:
        self.events.append(f"{time.monotonic() - self.began:4.0f} s  {event}")

    def until(self, condition: Callable[[], object], seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log.read_text()[-5000:]
            assert time.monotonic() < end, "waited in vain\n" + self.log.read_text()[-5000:]
            time.sleep(0.05)

    def training(self) -> list[Path]:
        """The records of cells that are in the middle of their training."""
        epochs = ((cell, re.findall(r"^epoch (\d+)/", self.told(cell), re.M)) for cell in CELLS)
        return [self.record(cell) for cell, seen in epochs if seen and 2 <= int(seen[-1]) <= 8]

    def told(self, cell) -> str:
        log = self.folder / "logs" / "quick" / cell.path.with_suffix(".log")
        return log.read_text() if log.exists() else ""

    def states(self) -> dict[Path, int]:
        """The records of cells that have left a state to go on from, and its epoch."""
        states = (self.folder / "results").rglob("resume-*.safetensors")
        return {path.parent.with_suffix(".json"): int(STATE.search(path.name)[1]) for path in sorted(states)}


def test_quicks_grid_with_a_drained_node_a_cancelled_and_a_preempted_job_is_the_local_runs(tmp_path, slurm):
    local = Tree(tmp_path / "local")
    cluster = Cluster(tmp_path / "cluster")
    for tree in (local, cluster):
        done = tree.snakemake("data/digits.safetensors", "--cores", "1")
        assert done.returncode == 0, done.stderr
    environment = os.environ | {"PYTHONPATH": str(local.folder)}
    command = [SLOTBENCH, "run", "config/quick.yaml"]
    subprocess.run(command, cwd=local.folder, env=environment, check=True, capture_output=True)

    cluster.start(
        "--configfile", "config/quick.yaml", "--cores", "1", "--group-components", "short=4", "--retries", "9",
        "--set-resources", "train:gpu=1", "finetune:gpu=1", "--slurm-status-command", "squeue",
        "--slurm-init-seconds-before-status-checks", "2",
    )  # fmt: skip
    cluster.until(lambda: len(jobs("running")) == 2 and cluster.training())
    answer("scontrol", "update", f"nodename={NODE}", "state=drain", "reason=test")
    cluster.note(f"node drained; running: {jobs('running')}, waiting: {jobs('pending')}")
    assert "drain" in answer("sinfo", "--noheader", "--format=%T")
    waiting = jobs("pending")
    cluster.until(lambda: not jobs("running"))
    cluster.note(f"running: {jobs('running')}, waiting: {jobs('pending')}")
    assert waiting
    assert set(waiting) <= set(jobs("pending"))
    answer("scontrol", "update", f"nodename={NODE}", "state=resume")
    cluster.note("node resumed")

    cluster.until(lambda: jobs("running") and cluster.training())
    cancelled = jobs("running")[0]
    answer("scancel", cancelled)
    cluster.note(f"cancelled: {cancelled}")
    cluster.until(lambda: cancelled in jobs("cancelled"))

    cluster.until(lambda: jobs("running") and cluster.training())
    preempted = jobs("running")
    answer("scancel", "--signal=TERM", *preempted)
    cluster.note(f"SIGTERM to the cells of {preempted}")
    cluster.until(lambda: not set(preempted) & set(jobs("running")))
    left = cluster.states()
    cluster.note(f"left to go on from: {[f'{path.stem} at epoch {epoch}' for path, epoch in left.items()]}")

    assert cluster.process.wait(timeout=1200) == 0, cluster.log.read_text()[-5000:]
    cluster.note(f"finished; jobs: {answer('squeue', '--noheader', '--states=all', '--format=%i %T').splitlines()}")
    print(*cluster.events, sep="\n")
    for cell in CELLS:
        same(cluster.record(cell), local.record(cell))
        if cluster.record(cell) in left:
            began = re.search(r"^epoch (\d+)/", cluster.told(cell), re.M)
            assert began is not None
            assert int(began[1]) == left[cluster.record(cell)] + 1
    assert (cluster.folder / "report" / "quick" / "index.html").exists()
    assert {path.name.split("-")[1] for path in locks()} == {"0", "1"}
