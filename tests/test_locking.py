"""Locks between real processes, and on a file system that has none: a library of the test's own takes flock away."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slotbench import locking
from slotbench.errors import InputError

HOLD = """
import sys
from pathlib import Path
from slotbench.locking import lock
with lock(Path(sys.argv[1]), "does the same"):
    print("held", flush=True)
    sys.stdin.read()
"""
NO_LOCKS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int flock(int file, int operation) {
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (!strncmp(path, getenv("NO_LOCKS_BELOW"), strlen(getenv("NO_LOCKS_BELOW")))) {
        errno = atoi(getenv("NO_LOCKS_ERROR"));
        return -1;
    }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}
"""


class Holder:
    """A process that takes the lock at a path, and has it until it is killed."""

    def __init__(self, path: Path, **variables: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path], env=os.environ | variables, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def told(self) -> str:
        return self.process.stderr.readline()

    def held(self) -> bool:
        return self.process.stdout.readline() == "held\n"

    def kill(self) -> str:
        self.process.kill()
        return self.process.communicate()[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler, to take locks away with")
    path = tmp_path_factory.mktemp("library") / "nolocks.so"
    command = [compiler, "-shared", "-fPIC", "-o", path, "-x", "c", "-", "-ldl"]
    subprocess.run(command, input=NO_LOCKS, text=True, check=True)
    return path


def test_the_second_waits_for_the_first_by_name_and_takes_over_when_it_is_killed(tmp_path):
    path = tmp_path / "new" / "lock"
    first = Holder(path)
    assert first.held()
    assert locking.holder(path).startswith(f"process {first.process.pid} on ")
    second = Holder(path)
    assert second.told().startswith(f"slotbench: waiting for process {first.process.pid} on ")
    assert first.kill() == ""
    assert second.held()
    second.kill()
    assert locking.holder(path) is None


@pytest.mark.parametrize("error", sorted(locking.NOT_OFFERED))
def test_where_a_file_system_has_no_locks_processes_of_one_machine_wait_for_each_other_and_are_told(
    tmp_path, library, error
):
    variables = {"LD_PRELOAD": str(library), "NO_LOCKS_BELOW": str(tmp_path), "NO_LOCKS_ERROR": str(error)}
    path = tmp_path / "lock"
    first = Holder(path, **variables)
    sentence = first.told()
    assert sentence.startswith(f"slotbench: {path}: its file system offers no locks ({os.strerror(error)}); only ")
    assert first.held()
    second = Holder(path, **variables)
    assert second.told() == sentence
    assert second.told().startswith(f"slotbench: waiting for process {first.process.pid} on ")
    code = f"from pathlib import Path; from slotbench.locking import holder; print(holder(Path({str(path)!r})))"
    seen = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert seen.stdout.startswith(f"process {first.process.pid} on ")
    first.kill()
    assert second.held()
    second.kill()


def test_a_lock_that_another_user_left_unwritable_is_still_a_lock(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    path.chmod(0o444)
    with locking.lock(path, "does the same") as waited:
        assert waited is False


@pytest.mark.parametrize(
    "hold", [lambda path: locking.lock(path, "does the same"), locking.claim], ids=["lock", "claim"]
)
def test_an_error_of_what_is_done_under_a_lock_is_not_told_of_the_lock(hold, tmp_path):
    with pytest.raises(OSError, match="No space left") as told, hold(tmp_path / "lock"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.filename is None


def test_an_error_of_taking_a_lock_names_its_file(tmp_path):
    (tmp_path / "lock").mkdir()
    for hold in (locking.lock(tmp_path / "lock", "does the same"), locking.claim(tmp_path / "lock")):
        with pytest.raises((OSError, InputError), match="lock"), hold:
            pass
