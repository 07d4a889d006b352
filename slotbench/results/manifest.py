"""Copies of a checkout for machines without git: a manifest says which commit they are, and the hash of every file.

`slotbench copy FOLDER` writes one; a record made there then names the commit, and whether a file has changed since.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slotbench.errors import InputError
from slotbench.files import atomic, sha256

NAME = "manifest.json"
PARTS = ("slotbench", "config", "benchmarks", "tests", "pyproject.toml", "constraints.txt")
"""What training without git takes along, with the programs that measure it and the tests that it works there."""
CODE = ("slotbench",)
"""What makes a record: code and recipes."""


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    files: dict[str, str]
    """path below the copy → SHA-256"""


def files_of(folder: Path, parts: tuple[str, ...]) -> dict[str, str]:
    """Every file of these parts of a folder that is no by-product of Python's, and its SHA-256."""
    paths = {path for part in parts for path in (folder / part, *(folder / part).rglob("*"))}
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(paths)
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".part")
    }


def commit_of(folder: Path) -> tuple[str | None, bool | None]:
    """The commit that the copy in `folder` was made of, and whether its code or recipes differ from it; (None, None)
    without a manifest. Raises an `InputError` for one that cannot be read."""
    path = folder / NAME
    if not path.is_file():
        return None, None
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: not a manifest; copy the checkout anew, with `slotbench copy`") from error
    places = tuple(f"{part}/" for part in CODE)
    code = {name: digest for name, digest in manifest.files.items() if name.startswith(places)}
    return manifest.commit, files_of(folder, CODE) != code


def copy(checkout: Path, commit: str, folder: Path) -> int:
    """Copies what training needs of a clean `checkout`, whose commit is named, into a new `folder`; how many files."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name a new folder")
    files = files_of(checkout, PARTS)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((checkout / name).read_bytes())
    with atomic(folder / NAME) as file:
        file.write(json.dumps({"commit": commit, "files": files}, indent=1) + "\n")
    return len(files)
