"""Figures look the same whatever a person, a folder or a notebook has set for matplotlib."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl

from slotbench.report.figures.style import styled

DRAW = """
import hashlib, io
from slotbench.report.figures.style import METADATA, styled
from matplotlib.figure import Figure
with styled():
    picture = Figure(figsize=(3, 2), layout="constrained")
    ax = picture.subplots()
    ax.plot([1, 2, 3], [1, 4, 9], marker="o", label="a_b")
    ax.set_title("100 % of it_all")
    ax.legend()
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata=METADATA["svg"])
print(hashlib.sha256(buffer.getvalue()).hexdigest())
"""
SETTINGS = "text.usetex: True\nfont.size: 30\nfont.family: Comic Sans MS\nlines.linewidth: 9\naxes.grid: True\n"


def drawn(folder: Path, **variables: str) -> str:
    command = [sys.executable, "-c", DRAW]
    done = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_settings_of_a_person_a_folder_or_a_notebook_do_not_reach_figures(tmp_path):
    for name in ("plain", "set", "home/.config/matplotlib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "set" / "matplotlibrc").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "home" / ".config" / "matplotlib" / "matplotlibrc").write_text(SETTINGS, encoding="utf-8")
    plain = drawn(tmp_path / "plain")
    assert drawn(tmp_path / "set") == plain
    home = str(tmp_path / "home")
    assert drawn(tmp_path / "plain", HOME=home, XDG_CONFIG_HOME=f"{home}/.config") == plain
    assert drawn(tmp_path / "plain", MATPLOTLIBRC=str(tmp_path / "set" / "matplotlibrc")) == plain
    assert drawn(tmp_path / "plain", MPLBACKEND="module://matplotlib_inline.backend_inline") == plain


def test_settings_made_in_this_process_are_put_aside_and_come_back():
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        with styled():
            assert mpl.rcParams["font.size"] == 7.5
            assert not mpl.rcParams["axes.grid"]
        assert mpl.rcParams["font.size"] == 30
