"""How figures look: a method has one colour and one marker everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import seaborn as sns

PALETTE = sns.color_palette("colorblind").as_hex()


GREY = "#767676"


@dataclass(frozen=True)
class Look:
    """How a method looks, and what it is called, in every figure and table."""

    label: str
    colour: str
    marker: str

    @property
    def ink(self) -> str:
        """The colour for letters: dark enough to be read on white (contrast above 4.5)."""
        return str(mpl.colors.to_hex(sns.set_hls_values(self.colour, l=0.28)))


LOOKS = {
    "greedy": Look("greedy", PALETTE[0], "o"),
    "probabilistic": Look("probabilistic", PALETTE[3], "s"),
    "learned": Look("learned", PALETTE[2], "D"),
    "finetuned": Look("finetuned", PALETTE[4], "^"),
    "random": Look("random network", PALETTE[1], "v"),
    "greedy-shared-layer": Look("greedy, shared per layer", PALETTE[9], "<"),
    "greedy-shared-network": Look("greedy, shared by all layers", PALETTE[6], ">"),
    "edge-popup": Look("edge-popup", PALETTE[5], "P"),
    "supermask": Look("supermask", PALETTE[8], "X"),
    "lottery-ticket": Look("lottery ticket", "#222222", "*"),
}


STYLE = sns.axes_style("ticks") | {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same letters on every machine
    "font.size": 7.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # embedded as TrueType
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "slotbench",  # ids by content, not by chance
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}


@contextmanager
def styled() -> Iterator[None]:
    """matplotlib as it comes, with `STYLE` over it, whatever was set before; afterwards all is as it was."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


# What matplotlib would otherwise stamp on a file: the date, and its own version.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


PANEL = (3.3, 2.2)
"""Width and height of a panel in inches, its labels included."""


LINES = ("-", "--", ":", "-.")


def escape(name: object) -> str:
    """A name as matplotlib text: `$` would begin a formula."""
    return str(name).replace("$", r"\$")


def shades(ks: list[int]) -> dict[int, str]:
    """A colour for each K: the darker the more."""
    return dict(zip(ks, sns.color_palette("blend:#7fbfe8,#08306b", len(ks)).as_hex(), strict=True))


def ink_of(colour: str) -> str:
    """A colour's own, dark enough for letters."""
    return Look("", colour, "").ink
