"""Leases on GPUs, by real processes on simulated devices: the names in CUDA_VISIBLE_DEVICES."""

import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from slotbench.cluster import gpu_lease
from tests.support.command import SLOTBENCH

HOLDER = """
import os, sys
from pathlib import Path
from slotbench.cluster import gpu_lease
from tests.support.command import SLOTBENCH
device = gpu_lease.take({share})
Path("{said}").write_text(f"{{device}} {{os.environ['CUDA_VISIBLE_DEVICES']!r}}")
sys.stdin.read()
"""


class Holder:
    """A process that asks for a device, and has it until it is killed."""

    def __init__(self, said: Path, share: int, **variables: str):
        self.said = said
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER.format(share=share, said=said)],
            env=os.environ | variables, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def says(self) -> list[str]:
        """The device that it holds and what it sees; nothing while it waits."""
        return self.said.read_text().split() if self.said.exists() else []

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class Machine:
    """Some devices of names that no other test has."""

    def __init__(self, folder: Path, number: int):
        self.folder = folder
        self.devices = [f"{uuid.uuid4()}" for _ in range(number)]
        self.holders: list[Holder] = []

    def start(self, share: int = 1, **variables: str) -> Holder:
        said = self.folder / str(len(self.holders))
        self.holders.append(Holder(said, share, **{"CUDA_VISIBLE_DEVICES": ",".join(self.devices)} | variables))
        return self.holders[-1]


@pytest.fixture
def machine(request, tmp_path):
    one = Machine(tmp_path, request.param)
    yield one
    for holder in one.holders:
        holder.kill()
    for device in one.devices:
        for file in gpu_lease.LOCKS.glob(f"*{device}*"):
            file.unlink()


def devices(number: int):
    return pytest.mark.parametrize("machine", [number], indirect=True)


def first_of(*holders: Holder) -> tuple[Holder, str]:
    """The first of these that holds a device, and which one."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for holder in holders:
            if said := holder.says():
                return holder, said[0]
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
        assert not any(one.says() for one in waiting)
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


def test_without_the_variable_all_devices_of_the_machine_are_offered(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for number in range(3):
        (tmp_path / f"0000:{number:02}:00.0").mkdir()
    monkeypatch.setattr(gpu_lease, "MACHINE", tmp_path)
    assert gpu_lease.devices() == ["0", "1", "2"]
    monkeypatch.setattr(gpu_lease, "MACHINE", Path("/nowhere"))
    assert gpu_lease.devices() == []


@devices(1)
def test_training_waits_for_its_device(machine, tmp_path):
    holder, device = first_of(machine.start())
    process = subprocess.Popen(
        [SLOTBENCH, "train", "--dataset", "digits", "--architecture", "lenet", "--selection", "learned",
         "--recipe", "quick", "--data-dir", tmp_path / "nowhere", "--out", tmp_path / "seed0.json"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": device}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr.readline() == f"slotbench: waiting for a GPU: other cells hold {device}\n"
    holder.kill()
    assert "slotbench fetch digits" in process.communicate()[1]
    assert process.returncode == 2
