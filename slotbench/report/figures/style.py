"""How figures look: a method has one colour and one marker everywhere, on a white ground and on a dark one."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import seaborn as sns

from slotbench.report import answer, names
from slotbench.report.verdict import NOT_REPRODUCED, NOT_RUN, REPRODUCED, SHOWN
from slotbench.selection import SELECTIONS

INK = "#1d2126"
"""Letters, axes and whatever is no method's."""
GREY = "#6b6b6b"
"""What was published, and lines to compare with."""
PALE = "#8c8c8c"
"""Marks without letters that stay behind the others."""
PAGE = {"light": "#ffffff", "dark": "#14171a"}
"""The grounds that figures stand on; the page's own (templates/style.css)."""

# For rules whose entry names none.
COLOURS = ("#7a3b00", "#4d6b00", "#00707a", "#8c4a2f", "#6a4c93")
MARKERS = ("h", "p", "d", "8", "H")


@dataclass(frozen=True)
class Look:
    """How a method looks, and what it is called, in every figure and table."""

    label: str
    colour: str
    marker: str


FINETUNED = Look("finetuned", "#a83f95", "^")
RANDOM = Look("random network", "#a6680a", "v")
TUNED = Look("learned, tuned rate", "#2f6b3f", "d")


def look(selection: str) -> Look:
    """How the rule `selection` looks: by its entry, or by its place in the cycles of `COLOURS` and `MARKERS`."""
    entry = SELECTIONS[selection]
    place = list(SELECTIONS).index(selection)
    return Look(
        names.selection_label(selection),
        entry.colour or COLOURS[place % len(COLOURS)],
        entry.marker or MARKERS[place % len(MARKERS)],
    )


def contrast(colour: str, ground: str) -> float:
    """The contrast of two colours by the Web Content Accessibility Guidelines: 1 to 21."""

    def luminance(name: str) -> float:
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in mpl.colors.to_rgb(name)
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def in_the_dark(colour: str) -> str:
    """The colour of the same hue that stands on the dark page as `colour` does on the white one."""
    if colour == PAGE["light"]:
        return PAGE["dark"]
    wanted = contrast(colour, PAGE["light"])
    hue, _, saturation = colorsys.rgb_to_hls(*mpl.colors.to_rgb(colour))
    shades = [str(mpl.colors.to_hex(colorsys.hls_to_rgb(hue, step / 200, min(saturation, 0.7)))) for step in range(201)]
    return min(shades, key=lambda shade: abs(contrast(shade, PAGE["dark"]) - min(wanted, 15)))


def for_page(svg: str, name: str) -> str:
    """A saved figure as a part of an HTML page: colours as CSS variables with a value in the dark, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(r"(?<![\w&(])#([0-9a-f]{6})\b", r"var(--c\1, #\1)", svg)


def dark_variables(svgs: str) -> str:
    """The declarations for a dark page of the variables that `for_page` has put into `svgs`."""
    colours = sorted(set(re.findall(r"var\(--c([0-9a-f]{6}),", svgs)))
    return " ".join(f"--c{colour}: {in_the_dark(f'#{colour}')};" for colour in colours)


STYLE = sns.axes_style("ticks") | {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.06,  # inches: a browser's letters are a little wider than those laid out here
    "figure.constrained_layout.w_pad": 0.08,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same letters on every machine
    "font.size": 7.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # embedded as TrueType
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "slotbench",  # ids by content, not by chance
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}


KIND_COLOURS = {
    REPRODUCED: "#0a6640", answer.WHERE_RUN: "#0a6640", NOT_REPRODUCED: "#a3261c",
    answer.TOO_CLOSE: "#7a4b00", answer.OPEN: "#7a4b00", NOT_RUN: "#565d66", SHOWN: "#565d66",
}  # fmt: skip
"""What became of a claim; the page's own colours (templates/style.css)."""


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
"""Kinds of lines, of what has one colour."""


def escape(name: object) -> str:
    """A name as matplotlib text: `$` would begin a formula."""
    return str(name).replace("$", r"\$")


def shades(ks: list[int]) -> dict[int, tuple[str, str]]:
    """A colour and a kind of line for each K: the darker the more; told apart without colours too."""
    colours = sns.color_palette("blend:#1a7da8,#8a2f8f,#2b0a1a", len(ks)).as_hex()
    return {
        k: (colour, LINES[-1 - place % len(LINES)]) for place, (k, colour) in enumerate(zip(ks, colours, strict=True))
    }
