"""The pages of docs/, and the others that they lead to, as a site: `make docs` (Sphinx, MyST, Furo).

Formulas become MathML when the site is built, which every browser draws by itself: no script and no fonts to bundle,
and nothing to fetch.
"""

import shutil
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from slotbench.report import slot_machine

ROOT = Path(__file__).resolve().parents[2]
"""The source folder is the whole repository, so that links between its files hold on the site too."""

project = html_title = "slotbench"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
include_patterns = ["docs/*.md", "config/README.md", "slotbench/recipes/README.md", "CHANGELOG.md"]
root_doc = "docs/index"
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]  # Pygments knows no CSV
html_theme = "furo"
html_copy_source = html_show_sphinx = html_show_copyright = False
pygments_style, pygments_dark_style = "friendly", "native"

CONTENTS = {
    "Use it": ["one-cell", "paper", "cluster", "/config/README", "/slotbench/recipes/README", "adding"],
    "Understand it": ["method", "claims", "report", "data", "reproduction", "performance", "gpu", "glossary"],
    "Trust it": ["reliability", "architecture", "claims-plan", "notes", "/CHANGELOG"],
}


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """The table of contents, which Sphinx wants in a page; readers of the repository need none."""
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            source[0] += "\n\n```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(pages) + "\n```\n"


def link_reports(_app: Sphinx, page: nodes.document) -> None:
    """A report is a folder: its pages are linked to where they are, not copied one by one as downloads."""
    for node in list(page.findall(addnodes.download_reference)):
        if node["reftarget"].endswith(".html"):
            node.replace_self(nodes.reference("", "", *node.children, refuri=node["reftarget"]))


SLOT_MACHINE = "<!-- slot machine -->"
"""Where a page has the part that can be played with."""


def add_slot_machine(_app: Sphinx, _page: str, source: list[str]) -> None:
    if SLOT_MACHINE in source[0]:
        source[0] = source[0].replace(SLOT_MACHINE, f"```{{raw}} html\n{slot_machine.html()}\n```")


def formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def add_front(app: Sphinx, _error: Exception | None) -> None:
    """The site's own first page, which leads to the docs': pages lie in the site where they lie in the repository."""
    Path(app.outdir, "index.html").write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>slotbench</title>\n'
        '<meta http-equiv="refresh" content="0; url=docs/index.html">\n</head>\n'
        '<body>\n<p><a href="docs/index.html">The docs</a>, <a href="report/reference/index.html">the report</a></p>\n'
        "</body>\n</html>\n",
        encoding="utf-8",
    )


def copy_reports(app: Sphinx, _error: Exception | None) -> None:
    for folder in ("report/reference", "results/reference/cells"):
        if (ROOT / folder).exists():
            hidden = shutil.ignore_patterns("*.safetensors", "lock", ".*")
            shutil.copytree(ROOT / folder, Path(app.outdir) / folder, ignore=hidden, dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_contents)
    app.connect("doctree-read", link_reports)
    app.connect("source-read", add_slot_machine)
    app.connect("build-finished", copy_reports)
    app.connect("build-finished", add_front)
    app.add_node(nodes.math, override=True, html=(formula, None))
    app.add_node(nodes.math_block, override=True, html=(formula, None))
