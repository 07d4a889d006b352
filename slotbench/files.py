"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal


@contextmanager
def atomic(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """A file that appears at `path` whole or not at all, whatever happens meanwhile; text is UTF-8.

    Who may read it is the umask's to say, or the folder's, as for any new file. What a killed writer has left in the
    folder is removed. An `OSError` names `path`.
    """
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_plain(path)
        remove_orphans(path.parent)
        part, file = _part(path, mode)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)  # before it is closed, which gives its lock back
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in (None, part, str(part)):
            error.filename, error.filename2 = str(path), None  # a full disk's error does not say which file
        if part is not None:
            part.unlink(missing_ok=True)
        raise


def _part(path: Path, mode: Literal["w", "wb"]) -> tuple[Path, IO[Any]]:
    """A new file beside `path`, locked for as long as it is open: so others see that its writer is alive."""
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        try:
            file = part.open("x" if mode == "w" else "xb", encoding="utf-8" if mode == "w" else None)
        except OSError as error:
            error.filename = str(path)
            raise
        with suppress(OSError):  # a file system without locks: what is left there stays
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()  # another process has seen it before it was locked


def remove_orphans(folder: Path) -> None:
    """Removes the `.part` files in `folder` whose writers have ended without removing them."""
    for part in folder.glob(".*.part"):
        if re.search(r"\.[0-9a-z_]{8,16}\.part$", part.name):
            with suppress(OSError), open_plain(part) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()


def open_plain(path: Path) -> IO[bytes]:
    """The plain file at `path`, open to be read.

    An `OSError` if a link stands in its place, which would lead elsewhere, or a pipe, which would be waited for.
    """
    require_plain(path)
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def require_plain(path: Path) -> None:
    """An `OSError` if what is at `path` is not a plain file; nothing need be there."""
    with suppress(FileNotFoundError):
        kind = path.lstat().st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            what = "a link, which is not followed" if stat.S_ISLNK(kind) else "not a plain file"
            raise OSError(errno.EINVAL, what, str(path))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
