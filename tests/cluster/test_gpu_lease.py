"""Leases on GPUs, by real processes, on those that a driver of the tests' own (driver.py) says there are."""

import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from slotbench import locking
from slotbench.cluster import gpu_lease
from tests.cluster import driver
from tests.support.command import SLOTBENCH

HOLDER = """
import os, sys
from pathlib import Path
from slotbench.cluster import gpu_lease
device = gpu_lease.take({share})
Path("{told}").write_text(f"{{device}} {{os.environ['CUDA_VISIBLE_DEVICES']!r}}")
sys.stdin.read()
"""


class Holder:
    """A process that asks for a device, and has it until it is killed."""

    def __init__(self, told: Path, share: int, **variables: str):
        self.told = told
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER.format(share=share, told=told)],
            env=os.environ | variables, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def says(self) -> list[str]:
        """The device that it holds and what it sees; nothing while it waits."""
        return self.told.read_text().split() if self.told.exists() else []

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Machine:
    """Some devices of names that no other test has."""

    def __init__(self, folder: Path, number: int):
        self.folder = folder
        self.variables = driver.variables(folder / "driver")
        self.devices = [f"{uuid.uuid4()}" for _ in range(number)]
        self.holders: list[Holder] = []

    def start(self, share: int = 1, **variables: str) -> Holder:
        told = self.folder / str(len(self.holders))
        self.holders.append(
            Holder(told, share, **self.variables | {"CUDA_VISIBLE_DEVICES": ",".join(self.devices)} | variables)
        )
        return self.holders[-1]


@pytest.fixture
def machine(request, tmp_path):
    machine = Machine(tmp_path, request.param)
    yield machine
    for holder in machine.holders:
        holder.kill()
    for device in machine.devices:
        for file in locking.shared_folder(gpu_lease.LOCKS).glob(f"*{device}*"):
            file.unlink()


def devices(number: int):
    return pytest.mark.parametrize("machine", [number], indirect=True)


def first_of(*holders: Holder) -> tuple[Holder, str]:
    """The first of these that holds a device, and which one."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for holder in holders:
            if told := holder.says():
                return holder, told[0]
            assert holder.process.poll() is None, holder.process.stderr.read()
        time.sleep(0.005)
    raise AssertionError("waited in vain: a device is lost")


@devices(1)
def test_a_hundred_rounds_under_contention_with_a_killed_holder_lose_no_device_and_hold_none_twice(machine):
    """One device: two processes wait while the third has it and is killed, sometimes before the last has started."""
    (device,) = machine.devices
    waiting = [machine.start(), machine.start()]
    for _ in range(100):
        holder, held = first_of(*waiting)
        assert held == device
        (other,) = set(waiting) - {holder}
        waiting = [other, machine.start()]
        time.sleep(random.uniform(0, 0.15))
        assert not any(holder.says() for holder in waiting)
        holder.kill()


@devices(3)
def test_each_of_several_devices_goes_to_one_process(machine):
    holders = [machine.start() for _ in machine.devices]
    held = [first_of(holder)[1] for holder in holders]
    assert sorted(held) == sorted(machine.devices)
    late = machine.start()
    assert (
        late.process.stderr.readline()
        == f"slotbench: waiting for a GPU: other cells hold {', '.join(machine.devices)}\n"
    )
    holders[1].kill()
    assert first_of(late)[1] == held[1]


@devices(2)
def test_a_shared_device_has_slots_and_each_devices_first_goes_first(machine):
    holders = [machine.start(share=2) for _ in range(2)]
    assert len({first_of(holder)[1] for holder in holders}) == 2
    holders += [machine.start(share=2) for _ in range(2)]
    first = Counter(first_of(holder)[1] for holder in holders[2:])
    assert first == Counter(machine.devices)
    late = machine.start(share=2)
    assert "waiting" in late.process.stderr.readline()
    assert not late.says()


@devices(2)
def test_only_the_leased_device_is_visible_to_the_process(machine):
    holder, device = first_of(machine.start())
    assert holder.says() == [device, repr(device)]


@devices(1)
@pytest.mark.parametrize(
    ("share", "visible"), [(0, "0,1"), (1, ""), (1, "-1"), (1, "NoDevFiles"), (2, "-1,0")]
)  # fmt: skip
def test_without_a_device_to_lease_nothing_is_leased_and_nothing_visible(machine, share, visible):
    holder, _ = first_of(machine.start(share, CUDA_VISIBLE_DEVICES=visible))
    assert holder.says() == ["None", repr(visible if share else "")]


@devices(2)
def test_slurms_choice_is_kept_though_it_numbers_the_devices_of_each_job_alike(machine):
    holders = [machine.start(SLURM_JOB_ID=f"{machine.devices[0]}{job}") for job in (1, 2)]
    assert len({first_of(holder)[1] for holder in holders}) == 1
    beside = machine.start(SLURM_JOB_ID=f"{machine.devices[0]}1")
    assert first_of(beside)[1] == machine.devices[1]


def seen(**variables: str) -> tuple[list[str], str]:
    """The devices that a process with these variables is offered, and what it is told."""
    code = "from slotbench.cluster import gpu_lease; print(*gpu_lease.devices())"
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split(), done.stderr


def test_the_driver_says_which_devices_there_are_whatever_proc_or_a_variable_names(tmp_path):
    three = driver.variables(tmp_path / "driver", gpus=3)
    assert seen(**three) == (["0", "1", "2"], "")
    assert seen(CUDA_VISIBLE_DEVICES="2,0", **three) == (["2", "0"], "")
    named, told = seen(CUDA_VISIBLE_DEVICES="1,7,0", **three)
    assert named == ["1"]
    assert told == "slotbench: CUDA_VISIBLE_DEVICES=1,7,0: CUDA's driver finds no GPU 7; using 1\n"


@pytest.mark.skipif(bool(gpu_lease.devices()), reason="this machine has a GPU")
def test_a_gpu_that_is_named_on_a_machine_without_one_is_told_and_nobody_waits_for_it():
    assert seen() == ([], "")
    named, told = seen(CUDA_VISIBLE_DEVICES="0")
    assert named == []
    assert told == "slotbench: CUDA_VISIBLE_DEVICES=0: CUDA's driver finds no GPU 0; training on the CPU\n"


@devices(1)
def test_a_device_that_torch_cannot_use_is_given_back(machine):
    code = "import sys\nfrom slotbench.cluster import gpu_lease\n"
    code += "gpu_lease.keep_if_used(gpu_lease.take()); sys.stdin.read()"
    environment = os.environ | machine.variables | {"CUDA_VISIBLE_DEVICES": machine.devices[0]}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "cannot use it; training on the CPU" in process.stderr.readline()
    assert first_of(machine.start())[1] == machine.devices[0]
    process.communicate()


@devices(2)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_locks_are_locks_whatever_its_umask_and_one_that_cannot_be_read_leaves_the_others(machine):
    folder = locking.shared_folder(gpu_lease.LOCKS)
    mine, others = machine.devices

    def take_as(user: int, *named: str) -> subprocess.CompletedProcess[str]:
        """Another user's try; that user may not read where the project and the driver lie, which is loaded before."""
        code = "import os\nfrom slotbench.cluster import gpu_lease\nthere = gpu_lease.devices()\n"
        code += f"gpu_lease.devices = lambda: there\nos.setuid({user})\nos.umask(0o077)\nprint(gpu_lease.take())"
        environment = os.environ | machine.variables | {"CUDA_VISIBLE_DEVICES": ",".join(named)}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

    assert take_as(12345, mine).stdout.split() == [mine]
    (file,) = folder.glob(f"*{mine}*")
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (12345, 0o644)
    assert take_as(12346, mine).stdout.split() == [mine]

    file.chmod(0o600)  # as an earlier version left it: nobody else can open it
    assert take_as(12346, mine, others).stdout.split() == [others]
    assert f"{file}: not to be read; let their owner remove them, and try again" in take_as(12346, mine).stderr


@devices(1)
def test_training_waits_for_its_device(machine, tmp_path):
    holder, device = first_of(machine.start())
    process = subprocess.Popen(
        [SLOTBENCH, "train", "--dataset", "digits", "--architecture", "lenet", "--selection", "learned",
         "--recipe", "quick", "--data-dir", tmp_path / "nowhere", "--out", tmp_path / "seed0.json"],
        env=os.environ | machine.variables | {"CUDA_VISIBLE_DEVICES": device}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr.readline() == f"slotbench: waiting for a GPU: other cells hold {device}\n"
    holder.kill()
    assert "slotbench fetch digits" in process.communicate()[1]
    assert process.returncode == 2
