"""The installed program, run as a process."""

import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

SLOTBENCH = Path(sys.executable).with_name("slotbench")


def slotbench(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SLOTBENCH, *arguments], cwd=folder, capture_output=True, text=True, check=False)
