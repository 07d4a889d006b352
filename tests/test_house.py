"""The house itself: no circle of imports, nothing too long to read, no word that points nowhere."""

import ast
import json
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.project import ROOT

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "slotbench").rglob("*.py"))
}
LONGER = {
    "slotbench.cli": "every command with its options and their help, some lines each: one place to look a command up",
    "slotbench.report.page": "the parts of the one page, in the order in which they stand on it",
    "slotbench.report.tables": "each table once, as content, beside its forms in HTML, LaTeX and Markdown",
    "slotbench.report.verdict": "how each kind of claim is judged, side by side, so that they can be compared",
    "slotbench.results.table": "columns, how a record fills them and what is computed from them, which change together",
    "slotbench.training.replay": "training again by today's code and by another commit's, compared by one procedure",
}
"""Modules of more than 350 lines, and functions of more than 60, with the reason."""
SHOWN = {".md", ".py", ".yaml", ".smk", ".html", ".tex", ".rst"}
PLACES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "config",
    "docs",
    "slotbench",
    "workflow",
    "tests",
    "benchmarks",
]
PROSE = [
    path
    for place in (ROOT / name for name in PLACES)
    for path in ([place] if place.is_file() else sorted(place.rglob("*")))
    if path.suffix in SHOWN and path != Path(__file__)
]
NOWHERE = {
    r"\bpromises? \d": "no list of promises is here",
    r"\(protocol: ": "the protocol is no file here",
    r"\bexcerpt beside\b": "no excerpt is here",
    r"\b(shared|design|paper)/[\w/-]+\.md\b": "not a file of this repository",
    r"\bissues? #?\d+\b": "a number that no reader can look up",
    r"\bthe (first|old|earlier|original) plan\b": "no plan is here",
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str, *, at_all: bool = False) -> set[str]:
    """The modules that it imports when it is imported; with `at_all`, for types alone and in functions, too."""
    names = set()
    waiting: list[ast.AST] = [tree(module)]
    while waiting:
        node = waiting.pop()
        if not at_all and isinstance(node, ast.FunctionDef | ast.Lambda):
            continue
        if not at_all and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        waiting += ast.iter_child_nodes(node)
    return {name for name in names & MODULES.keys() if name != "slotbench"} - {module}


def test_no_module_imports_itself_through_others() -> None:
    try:
        TopologicalSorter({module: imports(module, at_all=True) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    ("room", "may_not_know"),
    [
        ("slotbench.architectures", ("slotbench.",)),
        ("slotbench.selection", ("slotbench.",)),
        ("slotbench.data.batches", ("slotbench.config", "slotbench.recipes", "slotbench.results", "slotbench.report")),
        ("slotbench.training.session", ("slotbench.results", "slotbench.report", "slotbench.config")),
        ("slotbench.results", ("slotbench.report", "slotbench.cli")),
        ("slotbench.training", ("slotbench.report", "slotbench.cli")),
    ],
)
def test_rooms_know_only_what_they_may(room: str, may_not_know: tuple[str, ...]) -> None:
    for module in MODULES:
        if module == room or module.startswith(f"{room}."):
            others = {name for name in imports(module) if not (f"{name}.").startswith(f"{room}.")}
            assert not [name for name in others if name.startswith(may_not_know)], module


@pytest.mark.parametrize("module", MODULES)
def test_a_module_can_be_read_at_a_sitting(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= 350 or module in LONGER, f"{lines} lines"
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60 or f"{module}.{node.name}" in LONGER, f"{node.name}: {length} lines"


def test_words_point_at_what_is_there() -> None:
    lost = []
    for path in PROSE:
        text = path.read_text(encoding="utf-8")
        for pattern, why in NOWHERE.items():
            lost += [f"{path.relative_to(ROOT)}: '{match[0]}': {why}" for match in re.finditer(pattern, text, re.I)]
    assert not lost, "\n".join(lost)


def comments(path: Path) -> list[str]:
    """What a file says to people: its comments, and Python's docstrings."""
    text = path.read_text(encoding="utf-8")
    prose = [match[0] for match in re.finditer(r"#.*$", text, re.M)]
    if path.suffix == ".py":
        values = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
        prose += [str(value.value) for value in values if isinstance(value, ast.Constant)]
    return prose


FOLDERS = "slotbench|tests|docs|config|workflow|benchmarks"
PATH = re.compile(rf"(?<![\w/.<*{{-])((?:{FOLDERS})/[\w./-]*\w)")
FILE = re.compile(r"(?<![\w/.<*{-])(\w+\.(?:py|md|c))\b")


def test_files_that_comments_and_docstrings_name_are_there() -> None:
    hidden = {".venv", ".git"}
    known = {path.name for path in ROOT.rglob("*.*") if not hidden & set(path.parts)}
    lost = []
    for path in (path for path in PROSE if path.suffix in {".py", ".yaml", ".smk"}):
        for words in comments(path):
            if "did you mean" in words:  # the wrong name is the point
                continue
            lost += [(path, name) for name in PATH.findall(words) if not list(ROOT.glob(f"{name}*"))]
            lost += [(path, name) for name in FILE.findall(words) if name not in known]
    assert not lost, "\n".join(f"{path.relative_to(ROOT)}: {name}" for path, name in lost)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "schemas").glob("*.json")), ids=lambda path: path.name)
def test_a_published_schema_describes_every_field(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    for model in (schema, *schema["$defs"].values()):
        assert model.get("description"), model["title"]
        bare = [name for name, field in model["properties"].items() if not field.get("description")]
        assert not bare, f"{model['title']}: {', '.join(bare)}"


VAGUE = {"one", "some", "said", "found"}
FINGERPRINTED = {"data/batches.py", "selection/kernel.py", "selection/rule.py", "training/device.py"}
"""Modules of slotbench with such a name, which is part of the fingerprints of committed records: it goes with the next
change that has these records vouched for."""


@pytest.mark.parametrize("folder", ["slotbench", "tests", "benchmarks", "docs/site"])
def test_a_variable_says_what_it_holds(folder: str) -> None:
    vague = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.arg if isinstance(node, ast.arg) else ""
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            if name in VAGUE and str(path.relative_to(ROOT / folder)) not in FINGERPRINTED:
                vague.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    assert not vague, "\n".join(vague)


def test_a_variable_of_a_template_or_a_script_says_what_it_holds() -> None:
    names = "|".join(sorted(VAGUE))
    declared = (
        rf"(?:for|set|const|let) \[?(?:\w+, )*(?:{names})\b|"
        rf"\((?:\w+, )*(?:{names})(?:, \w+)*\) =>|macro \w+\([^)]*\b(?:{names})\b"
    )
    vague = [
        f"{path.name}: {line.strip()}"
        for path in sorted((ROOT / "slotbench" / "report" / "templates").iterdir())
        if ".min." not in path.name and path.suffix != ".LICENSE"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(declared, line)
    ]
    assert not vague, "\n".join(vague)
