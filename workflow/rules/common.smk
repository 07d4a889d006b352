# The config, and the way from a cell to its files and back.

import functools
import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

from slotbench import config as configs, recipes
from slotbench.cells import Cell
from slotbench.cluster import gpu_lease, resources
from slotbench.data.datasets import stored
from slotbench.errors import InputError
from slotbench.results import drawn, provenance
from slotbench.results.plan import Plan, order
from slotbench.results.standing import parent_of


def config_path():
    """The one config file. Snakemake would merge it into the default one, so slotbench reads it itself."""
    settings = workflow.config_settings
    if settings.config:
        given = " ".join(f"{key}={value}" for key, value in settings.config.items())
        raise InputError(
            f"--config {given}: not supported, since a run has one config file, from which its report can be made again; "
            "write it into a copy of the config and name that with --configfile"
        )
    if len(settings.configfiles) > 1:
        first, *others = settings.configfiles
        raise InputError(
            f"--configfile {first} {' '.join(map(str, others))}: name one file, since a run has one config; write the keys "
            f"that differ into a copy of {first}"
        )
    path = [*settings.configfiles, ROOT / "config" / "config.yaml"][0]
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


ROOT = Path(workflow.current_basedir).parents[1]

try:
    provenance.require_checkout(ROOT)
    CONFIG = config_path()
    RUN = configs.load(CONFIG)
except InputError as error:
    # Any other exception would be printed with the places in these files where it passed.
    sys.exit(f"slotbench: {error}")

PLAN = Plan(RUN, Path("results"))
RECORDS = [str(PLAN.record(cell)) for cell in RUN.cells()]
SLOTBENCH = (
    f"PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}} {shlex.quote(sys.executable)} -m slotbench"
)
"""The program of the code that has planned the jobs: not of whatever `slotbench` an environment finds first."""


def due(name, after, reason):
    """A file that is newer than the file `after`, as an input of what has to be made again for a reason that file times
    do not tell. It lies in Snakemake's own folder."""
    marker = Path(".snakemake", "slotbench", "due", name)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(f"{reason}\n", encoding="utf-8")
    newer = max(time.time_ns(), after.stat().st_mtime_ns + 1)
    os.utime(marker, ns=(newer, newer))
    return local(str(marker))


def program(wildcards, input):
    """The program, for a job. A function of `input`, which is no trigger: a checkout that has moved trains nothing.

    It is run by the Python that plans; `conda` in the rules says what that must have.
    """
    return SLOTBENCH
