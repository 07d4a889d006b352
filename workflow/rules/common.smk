# The config, and the way from a cell to its files and back.

import functools
import os
import sys
from dataclasses import replace
from pathlib import Path

from slotbench import config as configs, recipes
from slotbench.cluster import gpu_lease, resources
from slotbench.results import provenance, rerun
from slotbench.cells import Cell
from slotbench.data.datasets import stored
from slotbench.errors import InputError


def config_path():
    """The one config file. Snakemake would merge it into the default one, so slotbench reads it itself."""
    settings = workflow.config_settings
    if settings.config:
        raise InputError("--config: not supported; write a config file and name it with --configfile")
    if len(settings.configfiles) > 1:
        raise InputError("--configfile: name one file; a run has one config")
    path = [*settings.configfiles, Path(workflow.basedir, "config", "config.yaml")][0]
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path


try:
    CONFIG = config_path()
    RUN = configs.load(CONFIG)
except InputError as error:
    # Any other exception would be printed with the places in these files where it passed.
    sys.exit(f"slotbench: {error}")

RECORDS = [f"results/{RUN.run}/cells/{cell.path}" for cell in RUN.cells()]
