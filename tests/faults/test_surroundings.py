"""The whole workflow, with a person's surroundings as they may be: locale, path, home, settings, rights.

One run of two cells in all of them at once, and its records and report held to those of a run in none of them.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slotbench.results import records
from tests.support.project import Tree

BRIEF = """about: one epoch
base: {epochs: 1, checkpoints: [1], learning_rate: 0.1, option_bound: 1.7, score_bounds: [1, 1], evaluate_by: sampling}
"""
RUN = """run: brief  # a remark
recipe: brief
grids:
  - {dataset: digits, architecture: lenet, selection: [greedy, learned], k: 2, seed: 0}
"""
CONFIG = "config/it's my rün.yaml"
CELL = "brief/brief/digits/lenet/greedy/k2/none/seed0"
USER = 12345
"""A user of no name and no home."""


@pytest.fixture(scope="module")
def latin(tmp_path_factory) -> dict[str, str]:
    """What makes the locale de_DE.ISO-8859-1, generated here if the machine can."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True).returncode not in (0, 1):
        pytest.skip("this machine cannot make the locale")
    folder.chmod(0o755)
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1"}


def prepared(folder: Path) -> Tree:
    tree = Tree(folder)
    recipes = next(path for path in folder.rglob("quick.yaml") if path.parent.name == "recipes").parent
    (recipes / "brief.yaml").write_text(BRIEF, encoding="utf-8")
    (folder / CONFIG).write_text(RUN, encoding="utf-8")
    return tree


def finish(tree: Tree, *before: str, **variables: str | None) -> None:
    """The run by Snakemake, then what a person looks at; started by `before`, in an environment of these variables."""
    environment = os.environ | {
        "PYTHONPATH": str(tree.folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name, value in variables.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    snakemake = [sys.executable, "-m", "snakemake", "--configfile", CONFIG, "--cores", "1"]
    slotbench = [sys.executable, "-m", "slotbench"]
    looks = (
        ["collect", CONFIG],
        ["status", CONFIG],
        ["claims", "brief"],
        ["compare", "brief", "results/brief"],
        ["show", CELL],
    )
    for command in (snakemake, *([*slotbench, *look] for look in looks)):
        done = subprocess.run([*before, *command], cwd=tree.folder, env=environment, capture_output=True, check=False)
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, (command, output[-3000:])
        assert "Traceback" not in output
        if b"\x00" not in done.stdout and variables.get("LC_ALL"):
            done.stdout.decode("iso-8859-1")


def made(tree: Tree) -> dict[str, bytes]:
    """What the run has made, but for times, places and the machine's own news."""
    results, report = tree.folder / "results" / "brief", tree.folder / "report" / "brief"
    files = {str(path.relative_to(report)): path.read_bytes() for path in report.rglob("figures/*.svg")}
    for path in results.rglob("seed*.json"):
        made = records.read(path)
        files[str(path.relative_to(results))] = json.dumps(
            [made.results.model_dump(mode="json"), made.weights], ensure_ascii=False
        ).encode()
    assert files
    return files


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, bytes]:
    tree = prepared(tmp_path_factory.mktemp("plain"))
    finish(tree)
    return made(tree)


def test_a_run_in_a_foreign_locale_a_strange_path_without_home_and_with_settings_is_the_plain_run(
    tmp_path, latin, plain
):
    """A folder with a space, an apostrophe and an umlaut; a person's settings of matplotlib; umask 077."""
    folder = tmp_path / "Ada's größter Lauf"
    tree = prepared(folder)
    (folder / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nlines.linewidth: 9\n", encoding="utf-8")
    umask = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    backend = "module://matplotlib_inline.backend_inline"
    finish(tree, *umask, HOME=None, XDG_CACHE_HOME=None, MPLBACKEND=backend, SNAKEMAKE_PROFILE=None, **latin)
    assert made(tree) == plain
    modes = {path: path.stat().st_mode & 0o077 for path in (folder / "results").rglob("*") if path.is_file()}
    assert [path for path, mode in modes.items() if mode] == []
    assert (folder / "report" / "brief" / "index.html").read_text(encoding="utf-8").count("Run brief")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be another user")
def test_a_run_by_a_user_without_a_name_and_a_home_is_the_plain_run(tmp_path_factory, plain):
    """As in a container that a cluster starts under a number. Snakemake itself asks for a name and for folders."""
    # May read what root may, since this Python may lie in root's home, and write no more than its own files
    reads = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    user = ["setpriv", f"--reuid={USER}", "--clear-groups", *reads]
    try:
        subprocess.run([*user, "sh", "-c", f"{shlex.quote(sys.executable)} -c ''"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("another user may not run this Python")
    tree = prepared(tmp_path_factory.mktemp("theirs"))
    for path in [tree.folder, *tree.folder.rglob("*")]:
        os.chown(path, USER, USER)
    folders = {f"XDG_{kind}_HOME": str(tree.folder / ".snakemakes" / kind) for kind in ("CACHE", "CONFIG", "DATA")}
    for parent in tree.folder.parents[:2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    finish(tree, *user, HOME=None, LOGNAME="ada", **folders)
    assert made(tree) == plain
