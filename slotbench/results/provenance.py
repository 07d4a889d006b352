"""Which code and versions make a record."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from slotbench.errors import InputError
from slotbench.results import manifest

CHECKOUT = Path(__file__).parents[2]
"""Where this code lies."""
VERSIONED = ("torch", "numpy", "safetensors")


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether its code or recipes differ from it; (None, None) outside a checkout, but of a
    copy that has a manifest what that says (`manifest`).

    What it is when first asked, at the start of training: modules that are loaded do not change with the tree.
    """

    # GIT_DIR and its like speak of another repository, where git or a hook of its has started this process
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(CHECKOUT), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != CHECKOUT.resolve():
            return manifest.commit_of(CHECKOUT)
        # Only code and recipes make a record; results and pages that change meanwhile do not.
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "slotbench"))
    except (OSError, subprocess.CalledProcessError):
        return manifest.commit_of(CHECKOUT)


def require_checkout(folder: Path) -> None:
    """Raises an `InputError` if this code is not that of the checkout at `folder`, whose workflow wants to run it."""
    if (folder / "slotbench").is_dir() and (folder / "slotbench").resolve() != CHECKOUT.resolve() / "slotbench":
        raise InputError(
            f"the slotbench that Python imports lies in {CHECKOUT}, but this workflow in {folder.resolve()}; "
            "run `make setup` there and use its .venv, or set PYTHONPATH to that folder"
        )


def versions() -> dict[str, Any]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONED}}
