"""How a person names a run, the same for every command: its name, its config file, or a folder of it."""

from __future__ import annotations

from pathlib import Path

from slotbench import config, yaml_files
from slotbench.errors import InputError, missing, unknown

CONFIGS, RESULTS, REPORT = Path("config"), Path("results"), Path("report")


def run_of(name: str) -> config.Run:
    """The run that `name` means, by its config: the file that is named, or the one in `CONFIGS` that names the run."""
    if _is_config(name):
        return config.load(Path(name))
    wanted = _of_folder(name) or name
    known = {run: path for path in sorted(CONFIGS.glob("*.yaml")) if (run := _run_in(path)) is not None}
    if wanted in known:
        return config.load(known[wanted])
    raise _unknown(name, known, f"a run that a config of {CONFIGS} names")


def name_of(name: str) -> str:
    """The name of the run that `name` means, of which only the results have to be there."""
    if _is_config(name):
        return config.load(Path(name)).run
    wanted = _of_folder(name) or name
    if (RESULTS / wanted).is_dir():
        return wanted
    known = [path.name for path in sorted(RESULTS.glob("*")) if path.is_dir()]
    if any(_run_in(path) == wanted for path in CONFIGS.glob("*.yaml")):
        raise InputError(f"{RESULTS / wanted}: nothing has been collected; write it with `slotbench collect {wanted}`")
    raise _unknown(name, known, f"a run with results in {RESULTS} (`slotbench collect` writes them)")


def _is_config(name: str) -> bool:
    return Path(name).is_file() and _of_folder(name) is None


def _of_folder(name: str) -> str | None:
    """The run of a path at or below results/<run> or report/<run>; None of any other name."""
    path = Path(name)
    here = path.absolute()
    for root in (RESULTS.absolute(), REPORT.absolute()):
        if here.is_relative_to(root) and here != root and path.exists():
            return here.relative_to(root).parts[0]
    return None


def _run_in(path: Path) -> str | None:
    """The run that the config file at `path` names; None where it cannot be read, which is another run's matter."""
    try:
        plain = yaml_files.read(path).plain
    except InputError:
        return None
    run = plain.get("run") if isinstance(plain, dict) else None
    return run if isinstance(run, str) else None


def _unknown(name: str, known: list[str] | dict[str, Path], expected: str) -> InputError:
    if "/" in name or name.endswith((".yaml", ".yml")):
        return InputError(missing(Path(name)))
    if known:
        return InputError(f"{unknown('run', name, known)}; name a config file, or {expected}")
    return InputError(f"{name}: neither a config file nor {expected}")
