"""What README and docs/ tell a reader to type works, what they point at is there, and what they state is so."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from slotbench import __version__, config
from slotbench.cells import Cell
from slotbench.results.records import read, write
from slotbench.results.standing import stale
from slotbench.selection.options import Options
from slotbench.selection.staircase import build
from tests.support import synthetic
from tests.support.project import Tree

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "config" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def section(page: Path, title: str) -> str:
    """What stands under a heading of level 2."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", page.read_text(encoding="utf-8"), re.M | re.S)
    return text


class Reader(Tree):
    """A copy of the project whose recipe `quick` has 5 epochs, and a person who does in it what a page says."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        for name in ("Makefile", "constraints.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        recipe = folder / "slotbench" / "recipes" / "quick.yaml"
        brief = recipe.read_text().replace("epochs: 12", "epochs: 5").replace("[4, 12]", "[4, 5]")
        assert "\n  epochs: 5\n" in brief
        recipe.write_text(brief)
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        # As pip writes a program whose interpreter may lie in a folder with a space: the first lines start Python for
        # sh, and are a string for Python.
        program = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n"
        program += "from slotbench.cli import main\nif __name__ == '__main__':\n    main()\n"
        (bin_folder / "slotbench").write_text(program)
        (bin_folder / "slotbench").chmod(0o755)
        paths = [bin_folder, Path(sys.executable).parent, os.environ["PATH"]]
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
            "PATH": os.pathsep.join(map(str, paths)),
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add(self, title: str) -> set[str]:
        """Does what a section of docs/adding.md says; the files that it has touched."""
        page = section(ROOT / "docs" / "adding.md", title)
        placed = [block for language in ("python", "csv") for block in blocks(page, language) if block[0] == "#"]
        return {self.put(block) for block in placed}

    def put(self, block: str) -> str:
        """Puts a block where its first line says: a file, or a place in one. The file's name."""
        first, _, text = block.partition("\n")
        place = re.fullmatch(r"# (\S+?)(?:, (in|above|at the end) ?(\w*))?", first)
        assert place is not None, first
        file = self.folder / place[1]
        if place[2] is None:
            assert not file.exists()
            file.write_text(text)
            return place[1]
        old = file.read_text()
        if place[2] == "at the end":
            file.write_text(old + text)
            return place[1]
        (line,) = re.finditer(rf"^ *{place[3]}(?:\[|:| =).*\n", old, re.M)
        at = line.end() if place[2] == "in" else line.start()
        file.write_text(old[:at] + text + old[at:])
        return place[1]


@pytest.fixture
def reader(tmp_path) -> Reader:
    return Reader(tmp_path)


COMMANDS = [
    pytest.param(page, number, id=f"{page.parent.name}/{page.name}-{number}")
    for page in PAGES
    if page.name != "adding.md"  # whose blocks need one another: below
    for number in range(len(blocks(page.read_text(), "sh")))
]
DRY = """set -e
make() { command make -n "$@"; }
snakemake() { case "$*" in *--report*) command snakemake -n;; *) command snakemake -n "$@";; esac; }
python() { command python "$@" --help; }
slotbench() { case "$1" in replay|vouch) command slotbench "$1" --help;; *) command slotbench "$@";; esac; }
.() { test $1 = .venv/bin/activate; }
"""
"""Training by hand and what reads records are for real; make, snakemake, benchmarks and
what trains a whole run again are dry runs."""
ELSEWHERE = ("git", "pip", "srun", "sbatch", "squeue", "sinfo", "kubectl", "podman", "docker", "ssh", "aws", "conda")
"""Programs of another machine: a page may tell to type them; whether they do is another test's."""


@pytest.mark.parametrize(("page", "number"), COMMANDS)
def test_the_commands_of_every_page_run(page, number, reader):
    shutil.copytree(ROOT / "benchmarks", reader.folder / "benchmarks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", reader.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for cell in config.load(ROOT / "config" / "reference.yaml").cells()[:2]:
        write(synthetic.record(cell), reader.folder / "results" / "reference" / "cells" / cell.path)
    elsewhere = "".join(f"{name}() {{ :; }}\n" for name in ELSEWHERE)
    reader.run("bash", "-c", DRY + elsewhere + blocks(page.read_text(), "sh")[number])


def test_every_block_of_commands_says_that_it_is_one():
    """So that the test above finds it."""
    for page in PAGES:
        unnamed = re.findall(
            r"^```\n(.*?)^```$", re.sub(r"^```\w+\n.*?^```$", "", page.read_text(), flags=re.M | re.S), re.M | re.S
        )
        for block in unnamed:
            assert not re.search(r"^(slotbench|snakemake|make|python|pip) ", block, re.M), (page.name, block)


def test_the_configs_of_every_page_are_accepted(reader):
    configs = [block for page in PAGES for block in blocks(page.read_text(), "yaml") if "\ngrids:" in block]
    assert configs
    for block in configs:
        (reader.folder / "own.yaml").write_text(block)
        assert reader.run("slotbench", "cells", "own.yaml").count("\n") > 1


def test_readme_is_two_screens():
    """A figure, the two commands, and where to go next; what stands between marks is written by a command."""
    text = (ROOT / "README.md").read_text()
    own = re.sub(r"<!-- (\w+): begin -->.*?<!-- \1: end -->|<!-- measured: .*?<!-- end -->", "", text, flags=re.S)
    assert len(own) < len(text)
    assert len(own.splitlines()) <= 50
    assert len(own.split()) <= 400
    assert "![" in own
    assert blocks(own, "sh") == ["make run\nmake test\n"]


def test_from_readmes_first_word_to_the_first_verdict_it_takes_less_than_half_a_minute():
    """At 238 words a minute, a reader's mean over 190 studies (Brysbaert 2019)."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    verdict = re.search(r"\d+ of \d+ claims hold", text)
    shown = re.sub(r"!\[[^]]*\]\([^)]*\)|<!--.*?-->|#", "", text[: verdict.end()])
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", shown).split()
    assert len(words) > 50
    assert 60 * len(words) / 238 < 30


def test_the_site_builds_without_a_warning_and_its_links_hold(tmp_path):
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    pytest.importorskip("furo", reason="the extra `docs` is not installed")
    command = [
        "-q",
        "-W",
        "--keep-going",
        "-c",
        "docs/site",
        "-b",
        "html",
        "-d",
        tmp_path / "doctrees",
        ".",
        tmp_path / "site",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = [*(tmp_path / "site" / "docs").glob("*.html")]
    assert {page.stem for page in pages} == {page.stem for page in (ROOT / "docs").glob("*.md")}
    for page in pages:
        for address in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text()):
            if not re.match(r"\w+:", address) and "report/reference" not in address:
                assert (page.parent / unquote(address)).exists(), (page.name, address)
            assert not re.match(r"https?:", address) or "//" in address


def test_the_figure_of_the_staircase_is_what_its_script_draws_and_its_example_is_the_pages(reader):
    site = ROOT / "docs" / "site"
    (reader.folder / "docs").mkdir()
    shutil.copytree(site, reader.folder / "docs" / "site")
    (reader.folder / "docs" / "site" / "staircase.svg").unlink()
    reader.run(sys.executable, "docs/site/staircase.py")
    assert (reader.folder / "docs" / "site" / "staircase.svg").read_bytes() == (site / "staircase.svg").read_bytes()
    rows = re.findall(r"^\| (\d) \| (-?[\d.]+) \| ([\d.]+) \|", (ROOT / "docs" / "method.md").read_text(), re.M)
    script = (site / "staircase.py").read_text()
    for place, name in ((1, "WEIGHTS"), (2, "SCORES")):
        assert f"[{', '.join(str(float(row[place])) for row in rows)}]" in script, name


ADDED = {"An architecture": "resnet20", "A selection rule": "nearest", "A dataset": "bars", "A setting": "minutes"}


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Reader:
    """A copy of the project with all that docs/adding.md adds."""
    reader = Reader(tmp_path_factory.mktemp("extended"))
    for title in ADDED:
        files = reader.add(title)
        assert title == "A dataset" or len(files) <= 2, f"{title} takes more than two files: {files}"
    return reader


def test_what_docs_adding_adds_makes_no_committed_record_outdated(extended):
    program = """
import sys
from pathlib import Path
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.results.standing import stale
assert "resnet20" in ARCHITECTURES and "torch" not in sys.modules
for run in sys.argv[1:]:
    for path in sorted(Path(run).rglob("seed*.json")):
        print(path, stale(Cell.from_path(path), path))
"""
    # Not those of other runs, which may be here, too: `extended` has another recipe `quick`
    runs = [str(ROOT / "results" / name) for name in ("preview", "reference", "study")]
    records = [path for run in runs for path in sorted(Path(run).rglob("seed*.json"))]
    before = "".join(f"{path} {stale(Cell.from_path(path), path)}\n" for path in records)
    assert before.count(" None\n") > 100
    assert extended.run(sys.executable, "-c", program, *runs) == before

    # A change of what computes is seen
    session = extended.folder / "slotbench" / "training" / "session.py"
    text = session.read_text(encoding="utf-8")
    session.write_text(f"{text}\n\nCHANGED = 1\n", encoding="utf-8")
    after = extended.run(sys.executable, "-c", program, *runs)
    session.write_text(text, encoding="utf-8")
    assert after.count("training/session") == len(records)


OF_GREEDY_SELECTION = {
    "greedy-vs-probabilistic", "random-vs-two", "recipes", "study", "sharing", "selected-vs-offered", "bits", "levels",
    "still-changing", "memory-and-time", "staircases",
}  # fmt: skip
"""Figures that show no other rule, by their titles or captions."""
OF_THE_PAPER = {"study", "staircases"}
"""Figures of networks that the paper has a value for, or of none."""


@pytest.mark.slow
def test_what_docs_adding_adds_appears_in_every_figure(extended):
    program = """
import json, sys
from dataclasses import replace
from pathlib import Path
from matplotlib.text import Text
from slotbench.report import figures
from tests.support import drawing, synthetic
networks = (("mnist", "lenet"), ("mnist", "resnet20"))
grid = synthetic.grid(networks=networks, ks=(2, 8), seeds=1) + synthetic.grid(networks=networks, ks=(1,), seeds=1)
beside = synthetic.others() + synthetic.study()
beside += synthetic.grid(networks=networks, recipe="paper", ks=(2, 8), finetune=(), seeds=1)
cells = {*grid, *beside, *(replace(cell, architecture="resnet20") for cell in beside)}
cells |= {replace(cell, selection="nearest") for cell in cells if cell.selection == "greedy"}
run = drawing.collected(Path(sys.argv[1]), tuple(sorted(cells)))
texts = {name: drawing.draw(name, run).findobj(Text) for name in figures.FIGURES}
print(json.dumps({name: [" ".join(text.get_text().split()) for text in parts] for name, parts in texts.items()}))
"""
    texts = json.loads(extended.run(sys.executable, "-c", program, str(extended.folder / "results")))
    assert {name for name in texts if not any("ResNet-20" in text for text in texts[name])} == OF_THE_PAPER
    assert {name for name in texts if not any("nearest option" in text for text in texts[name])} == OF_GREEDY_SELECTION


@pytest.mark.slow
def test_what_docs_adding_adds_is_trained_and_reported(extended):
    recipe = extended.folder / "slotbench" / "recipes" / "quick.yaml"
    brief = "  - when: {architecture: resnet20}\n    set: {epochs: 1, checkpoints: []}\n"
    brief += "  - when: {selection: nearest}\n    set: {epochs: 2, checkpoints: []}\n"
    recipe.write_text(recipe.read_text() + brief)
    grids = []
    for title, name in ADDED.items():
        page = section(ROOT / "docs" / "adding.md", title)
        for block in blocks(page, "csv"):  # hashes: the page's code prints them
            (code,) = [code for code in blocks(page, "python") if not code.startswith("# ")]
            assert extended.run(sys.executable, "-c", code) == block.partition("\n")[2]
        for commands in blocks(page, "sh"):
            extended.run("bash", "-ec", commands)
            record = read(extended.folder / f"{name}.json")
            assert record.status == "done"
            assert record.results.test_accuracy > (0.1 if name == "resnet20" else 0.4)  # after an epoch, or some
            place = extended.folder / "results" / "mine" / "cells" / Cell(**record.cell.model_dump()).path
            place.parent.mkdir(parents=True)
            shutil.copy(extended.folder / f"{name}.json", place)
            grids.append(record.cell.model_dump_json())
    (extended.folder / "mine.yaml").write_text(f"run: mine\nrecipe: quick\ngrids: [{', '.join(grids)}]\n")
    assert extended.run("slotbench", "collect", "mine.yaml") == "3 done\n"
    index = (extended.folder / extended.run("slotbench", "report", "mine.yaml").strip()).read_text()
    assert all(name in index for name in ("ResNet-20", "nearest option", "bars"))


def test_a_recipe_sets_what_docs_adding_adds_within_its_bounds(extended):
    recipe = extended.folder / "slotbench" / "recipes" / "quick.yaml"
    text = recipe.read_text()
    (rule,) = blocks(section(ROOT / "docs" / "adding.md", "A selection rule"), "yaml")
    program = """
from slotbench import recipes
from slotbench.cells import Cell
from slotbench.cluster import resources
cell = Cell("quick", "digits", "lenet", "nearest", 8, "none", 0)
print(recipes.of(cell).stretch, resources.minutes(cell))
"""

    def told() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=extended.folder,
            env=extended.environment,
            capture_output=True,
            text=True,
        )

    stretch, minutes = told().stdout.split()
    assert (stretch, int(minutes) < 1000) == ("0.25", True)
    recipe.write_text(text + rule.replace("0.5}", "0.5, minutes: 1000}"))
    assert told().stdout == "0.5 1000\n"
    recipe.write_text(text + rule.replace("0.5}", "-1}"))
    assert "stretch of quick/digits/lenet/nearest" in told().stderr
    recipe.write_text(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", address):
            continue
        path, _, anchor = unquote(address).partition("#")
        target = (page.parent / path) if path else page
        if "reference" in target.parts and not (ROOT / "report" / "reference").exists():
            continue  # the reference run has not been reported yet
        assert target.exists(), address
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, (
                address
            )


def test_files_and_tests_that_the_pages_name_are_there():
    """What stands in backticks and looks like a path of the project."""
    for page in PAGES:
        for name in re.findall(
            r"`((?:slotbench|tests|config|docs|workflow|benchmarks|profiles)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_method_page_counts_levels_as_they_are():
    page = (ROOT / "docs" / "method.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+\.\d) \|$", page, re.M)
    assert len(rows) >= 7
    for k, mean in rows:
        options = Options(5000, int(k), seed=0, layer=0, option_bound=1.0, score_bound=1.0)
        levels = np.diff(build(options, np.float32).first).mean()
        assert abs(levels - float(mean)) < 0.1, (k, levels)


def test_every_file_that_names_the_version_names_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert citation["version"] == newest[1] == __version__


RIDDLES = (
    "behind it", "What made it", "A head sorts", "V1 introduction", "V1 abstract", "is told in a line", "for want of",
    "passed over", "cell of them",
)  # fmt: skip
"""Words that a reader had to guess at, and that were replaced by plain ones."""


def test_words_that_were_riddles_do_not_come_back():
    """In what people read: README, the docs, the report's templates and captions, what Snakemake's report says."""
    report = ROOT / "slotbench" / "report"
    read_by_people = [
        *PAGES,
        *report.glob("templates/*.html"),
        *report.glob("templates/*.tex"),
        *report.rglob("*.yaml"),
    ]
    read_by_people += [*report.rglob("*.py"), *(ROOT / "workflow" / "report").glob("*.rst")]
    for path in read_by_people:
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert [words for words in RIDDLES if words in text] == [], path
