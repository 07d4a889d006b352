"""Locks on files, which the kernel gives back when their holder ends, however it ends.

A file system may not offer them: Lustre, some NFS and FUSE. The lock is then one of this machine alone, in its memory,
and who runs on several machines is told so in a sentence.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from slotbench.errors import InputError, on_one_line
from slotbench.files import open_plain, require_plain

NOT_OFFERED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""How file systems say that they have no locks."""
MEMORY = Path("/dev/shm")


def shared_folder(name: str) -> Path:
    """A folder of this machine where each of its users may put files, and remove only their own."""
    folder = (MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())) / name
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return folder


def opened(path: Path) -> int:
    """The file at `path`, in a folder that users share, open for locking: each of them may, whatever anyone's umask."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        # Locking needs no more than to read, so that the file may belong to another user.
        file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if os.fstat(file).st_uid == os.geteuid():
            os.fchmod(file, 0o644)
        return file


def taken(file: int) -> bool:
    """Locks an open file for this process, until it is closed; false while another process holds it.

    An `OSError` of `NOT_OFFERED` says that its file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def lock(path: Path, purpose: str) -> Iterator[bool]:
    """Holds the lock at `path`; true if another process had to end first, which is told: it `purpose`.

    The file stays: who removes a lock while another process waits for it lets a third one in. What this process has
    claimed (`claim`) it need not wait for.
    """
    if path in _claimed:
        yield False
        return
    with ExitStack() as files:
        with _about(path):
            held, own, mine = _take(path, files)
            if not mine:
                print(f"slotbench: waiting for {_holder_in(path)}, which {purpose}", file=sys.stderr, flush=True)
                fcntl.flock(held, fcntl.LOCK_EX)
            _write_holder(own)
        yield not mine


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Holds the lock at `path` if no other process does, for what this process does next; false if one does."""
    with ExitStack() as files:
        with _about(path):
            _, own, mine = _take(path, files)
            if mine:
                _write_holder(own)
        if mine:
            _claimed.add(path)
            files.callback(_claimed.discard, path)
        yield mine


_claimed: set[Path] = set()
"""The locks that this process holds by `claim`."""


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Errors of the system in taking the lock at `path` name its file; those of what is done under it do not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _write_holder(file: int | None) -> None:
    """Writes into a lock's file that this process holds it, if there is a file that it may write."""
    if file is not None:
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def _take(path: Path, files: ExitStack) -> tuple[int, int | None, bool]:
    """Takes the lock if nobody holds it: what is locked, which `files` keep open; the file for its holder's name, if
    this process may write it; and whether it was taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    require_plain(path)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        named = True
    except PermissionError:  # another user's: to lock it, reading does
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        named = False
    files.callback(os.close, file)
    own = file if named else None
    try:
        return file, own, taken(file)
    except OSError as error:
        if error.errno not in NOT_OFFERED:
            raise
        print(
            f"slotbench: {path}: its file system offers no locks ({error.strerror}); only processes of this machine "
            "wait for each other, so let no other machine do the same work",
            file=sys.stderr,
            flush=True,
        )
        held = _on_this_machine(path)
        files.callback(os.close, held)
        return held, own, taken(held)


def holder(path: Path) -> str | None:
    """Who holds the lock at `path`, in its own words; None if nobody does."""
    try:
        with open_plain(path) as file:
            try:
                return None if _free(file.fileno()) else _holder_in(path)
            except OSError as error:
                if error.errno not in NOT_OFFERED:
                    return None
        held = _on_this_machine(path)
        try:
            return None if _free(held) else _holder_in(path)
        finally:
            os.close(held)
    except OSError:
        return None


def _free(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder_in(path: Path) -> str:
    try:
        with open_plain(path) as file:
            return on_one_line(file.readline(2000).decode(errors="replace").strip()) or "another process"
    except OSError:
        return "another process"


def _on_this_machine(path: Path) -> int:
    """The file that stands for the lock at `path` where its own file system has none."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    file = shared_folder("slotbench-locks") / name
    try:
        return opened(file)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; it would lock {path}, whose file system has no locks") from error
