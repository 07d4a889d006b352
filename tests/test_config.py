import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from slotbench import config, recipes, yaml_files
from slotbench.cells import Cell
from slotbench.config import Run, load
from slotbench.errors import LONGEST, InputError
from slotbench.selection import SELECTIONS

ROOT = Path(__file__).parent.parent
LENET = {"dataset": "mnist", "architecture": "lenet"}

GOOD = """\
run: some
recipe: authors-code
grids:
  - dataset: mnist
    architecture: lenet
    selection: [greedy, learned]
    k: [2, 8]
    seed: [0, 1]
  - dataset: mnist
    architecture: lenet
    selection: greedy
    k: 8
    finetune: e100
    seed: 0
exclude:
  - {k: 2, seed: 1}
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_run_has_every_combination_once_without_the_excluded_ones(tmp_path):
    run = load(written(tmp_path, GOOD))
    assert [str(cell) for cell in run.cells()] == [
        "authors-code/mnist/lenet/greedy/k2/none/seed0",
        "authors-code/mnist/lenet/greedy/k8/e100/seed0",
        "authors-code/mnist/lenet/greedy/k8/none/seed0",
        "authors-code/mnist/lenet/greedy/k8/none/seed1",
        "authors-code/mnist/lenet/learned/k1/none/seed0",
        "authors-code/mnist/lenet/learned/k1/none/seed1",
    ]


def test_the_order_and_overlap_of_grids_do_not_matter():
    grids = [LENET | {"selection": "greedy", "k": k, "seed": [1, 0, 1]} for k in ([8, 2], [2], 4)]
    assert Run(run="a", recipe="paper", grids=grids).cells() == Run(run="a", recipe="paper", grids=grids[::-1]).cells()


def test_the_recipe_is_an_axis_too():
    grid = LENET | {"selection": "greedy", "recipe": ["paper", "authors-code"], "k": 2, "seed": 0}
    run = Run(run="a", recipe="paper", grids=[grid])
    assert [cell.recipe for cell in run.cells()] == ["authors-code", "paper"]


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "config").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_the_configs_that_come_with_the_project_can_be_run(path):
    assert load(path).cells()


def test_the_example_in_the_readme_can_be_run(tmp_path):
    example = (ROOT / "config" / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    cells = load(written(tmp_path, example)).cells()
    assert len(cells) == 2 * 3 * (2 * 2 + 1)


def test_the_default_config_is_the_papers_grid():
    cells = load(ROOT / "config" / "config.yaml").cells()
    assert {cell.selection for cell in cells} == set(SELECTIONS)
    assert {cell.architecture for cell in cells} == {"lenet", "conv2", "conv4", "conv6", "vgg19"}
    for architecture in ("lenet", "conv6"):
        mine = [cell for cell in cells if cell.architecture == architecture]
        assert {cell.seed for cell in mine} == {0, 1, 2, 3, 4}
        assert {cell.k for cell in mine} == {1, 2, 4, 8, 16, 32, 64, 128}


def test_ten_thousand_cells_are_checked_in_a_blink_and_without_torch():
    program = (
        "import sys; from slotbench.config import Run; "
        f"grid = {LENET | {'selection': 'greedy', 'k': list(range(1, 101)), 'seed': list(range(100))}}; "
        "assert len(Run(run='a', recipe='paper', grids=[grid]).cells()) == 10_000; "
        "assert not {'torch', 'pandas', 'matplotlib'} & sys.modules.keys()"
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert time.monotonic() - start < 5  # 0.4 s on an idle machine


def test_the_published_schema_is_that_of_the_code():
    published = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    assert published == config.schema(), "run `slotbench schemas`"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("recipe: authors-code", "recipe: papr", "recipe 'papr': unknown; did you mean 'paper'? (line 2)"),
        ("dataset: mnist", "dataset: [mnist, mnst]", "dataset 'mnst': unknown; did you mean 'mnist'?"),
        ("architecture: lenet", "architecture: lenett", "architecture 'lenett': unknown; did you"),
        ("architecture: lenet", "architecture: vgg19", "architecture 'vgg19': takes images of"),
        ("selection: greedy\n", "selection: gredy\n", "did you mean 'greedy'? (line 11)"),
        ("    seed: [0, 1]", "    sed: [0, 1]", "key 'sed': unknown; did you mean 'seed'? (line 8)"),
        ("exclude:", "exlude:", "key 'exlude': unknown; did you mean 'exclude'? (line 15)"),
        ("    seed: 0\n", "", "key 'seed': missing (line 9)"),
        ("run: some\n", "", "key 'run': missing (line 1)"),
        ("k: [2, 8]", "k: [2, 0]", "k 0: a connection needs at least one option (line 7)"),
        ("k: [2, 8]", "k: [2,\n     eight]", "k: should be a whole number, not 'eight' (line 8)"),
        ("k: [2, 8]", "k: 1.5", "k: should be a whole number, not '1.5' (line 7)"),
        ("k: [2, 8]", "k: .nan", "k: should be a whole number, not 'nan' (line 7)"),
        ("k: [2, 8]", "k: true", "k: should be a whole number, not 'True' (line 7)"),
        ("k: [2, 8]", "k: []", "k: an empty list (line 7)"),
        ("k: [2, 8]", "k: [[2]]", "k: should be a whole number"),
        ("k: [2, 8]", "k: 99999999999999999999", "k: should be less than 4294967296"),
        ("k: [2, 8]", "k: " + "9" * 5000, "neither text nor a number (line 7)"),
        ("k: [2, 8]", "k: 010", "'010': write a number in plain decimal, or text in quotes (line 7)"),
        ("k: [2, 8]", "k: 0x10", "'0x10': write a number in plain decimal, or text in quotes (line 7)"),
        ("k: [2, 8]", "k: 0o17", "'0o17': write a number in plain decimal"),
        ("k: [2, 8]", "k: 0b11", "'0b11': write a number in plain decimal"),
        ("k: [2, 8]", "k: 1_000", "'1_000': write a number in plain decimal"),
        ("k: [2, 8]", "k: 1:30", "'1:30': write a number in plain decimal"),
        ("k: [2, 8]", "k: 1:30:00.5", "'1:30:00.5': write a number in plain decimal"),
        ("k: [2, 8]", "k: -0x" + "f" * 100_000, "write a number in plain decimal"),
        ("k: [2, 8]", "k: 1" + ":59" * 50_000, "write a number in plain decimal"),
        ("k: [2, 8]", "k: 1" + "_000" * 50_000, "write a number in plain decimal"),
        ("k: [2, 8]", "k: 1e3", "k: should be a whole number, not '1000.0' (line 7)"),
        ("k: [2, 8]", "k: yes", "k: should be a whole number, not 'yes' (line 7)"),
        ("k: [2, 8]", "k: 2024-01-31", "k: should be a whole number, not '2024-01-31' (line 7)"),
        ("seed: [0, 1]", "seed: 4294967296", "seed: should be less than 4294967296"),
        ("k: [2, 8]", "? 3\n    : 4", "a key must be a name"),
        ("k: [2, 8]", "? true\n    : 4", "a key must be a name"),
        ("recipe: authors-code", "recipe: " + "x" * 100_000, "unknown; known are"),
        ("recipe: authors-code", 'recipe: "a\\nb\\0c\\x85d"', "recipe 'a\\nb\\x00c\\x85d': unknown"),
        ("k: [2, 8]", "k: 2\n    k: 8", "key 'k': already given in line 7 (line 8)"),
        ("seed: [0, 1]", "seed: -1", "seed: should be greater than or equal to 0, not '-1' (line 8)"),
        ("seed: [0, 1]", "seed: *x", "alias '*x': write the value out instead (line 8)"),
        ("seed: [0, 1]", "seed: !!python/name:os.system", "tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("seed: [0, 1]", "seed: " + "[" * 50 + "]" * 50, "nested more than 8 deep (line 8)"),
        ("finetune: e100", "finetune: e99", "keeps no checkpoint of epoch 99"),
        ("finetune: e100", "finetune: 100", "finetune: should be a name, not '100' (line 13)"),
        ("    k: 8\n", "    k: 16\n", "starts from authors-code/mnist/lenet/greedy/k16/none/seed0"),
        ("{k: 2, seed: 1}", "{k: 3}", "exclude: this pattern drops no cell; mend or remove it (line 16)"),
        ("{k: 2, seed: 1}", "{}", "exclude: this pattern drops no cell; mend or remove it (line 16)"),
        ("{k: 2, seed: 1}", "{dataset: mnist}", "exclude: no cell is left (line 15)"),
        ("{k: 2, seed: 1}", "{dataset: mist}", "dataset 'mist': unknown; did you mean 'mnist'? (line 16)"),
        ("{k: 2, seed: 1}", "k", "exclude: should have keys and values, not 'k' (line 16)"),
        ("run: some", f"run: {'x' * 101}", "101 letters; it names a folder, and may have 100"),
        ("run: some", "run: ../some", "run '../some': it names a folder; use letters, digits and . _ - only"),
        ("run: some", "run: <b>&amp;</b>", "it names a folder"),
        ("run: some", "run: 3", "run: should be a name, not '3' (line 1)"),
        ("run: some", "? [run]\n: some", "a key must be a name (line 1)"),
        ("run: some", "run: 'some", "(line "),
        ("run: some", "run: some\n---\n", "(line "),
        ("run: some", "run: so\0me", "special characters are not allowed"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_sentence_with_its_line(tmp_path, old, new, sentence):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load(path)
    told = str(error.value).replace(f"{path}, line", "line")
    assert sentence in told
    assert told.isprintable()
    assert len(str(error.value)) <= LONGEST + 3


@given(st.integers(-(10**30), 10**30), st.sampled_from(["{}", "{:+}", " {} "]))
def test_plain_decimal_numbers_are_what_they_look_like(tmp_path_factory, number, form):
    text = form.format(number)
    document = yaml_files.read(written(tmp_path_factory.getbasetemp(), f"a: {text}\nb: '{text.strip()}'\n"))
    assert document.plain == {"a": number, "b": text.strip()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.0e-4", 1e-4), ("-2.5E+3", -2500.0),
        ("true", True), ("False", False), ("~", None), ("null", None), (".inf", math.inf), ("no", "no"), ("on", "on"),
        ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3"), ("0abc", "0abc"), ("12ab", "12ab"), ("<<", "<<"), ("=", "="),
        ("'010'", "010"), ('"0x10"', "0x10"),
    ],
)  # fmt: skip
def test_what_stands_in_a_file_is_taken_as_a_person_reads_it(tmp_path, text, value):
    plain = yaml_files.read(written(tmp_path, f"a: {text}\n")).plain["a"]
    assert (plain, type(plain)) == (value, type(value))


def test_a_pipe_in_the_place_of_a_config_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"config\.yaml: not a regular file"):
        load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", ": empty"),
        (b"# nothing\n", ": empty"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"- 1\n- 2\n", "the document: should have keys and values, not '[1, 2]'"),
        (b"text", "the document: should have keys and values, not 'text'"),
        (b"#" * 10_000_000, "larger than 256 KiB; not read"),
        (b"{" * 100_000, "nested more than 8 deep"),
    ],
    ids=lambda value: str(value[:10]),
)
def test_what_is_no_config_is_refused_in_one_sentence(tmp_path, content, sentence):
    with pytest.raises(InputError) as error:
        load(written(tmp_path, content))
    assert sentence in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load(tmp_path)


def test_a_small_config_of_too_many_cells_is_refused_before_they_are_listed():
    many = {"k": list(range(1, 5001)), "seed": list(range(5000))}
    with pytest.raises(InputError, match="25,000,000 cells; a run may have 1,000,000"):
        Run(run="a", recipe="paper", grids=[LENET | {"selection": "greedy"} | many])


PIECES = ["[", "}", ": ", "\n", "- ", "k: 0", "&a ", "*a", "!!", "'", "\t", "?", "1e999", "~"]


@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.text(max_size=8)))
def test_a_mutated_config_is_accepted_or_refused_in_one_sentence(tmp_path_factory, place, cut, piece):
    text = GOOD[:place] + piece + GOOD[place + cut :]
    path = written(tmp_path_factory.getbasetemp(), text.encode("utf-8", "replace"))
    try:
        cells = load(path).cells()
    except InputError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert all(isinstance(cell, Cell) for cell in cells)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
keys = st.sampled_from(["run", "recipe", "grids", "exclude", "dataset", "k", "x"])
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=10,
)


@given(trees)
def test_a_config_of_any_other_shape_is_refused_in_one_sentence(tmp_path_factory, tree):
    path = written(tmp_path_factory.getbasetemp(), json.dumps(tree))
    with pytest.raises(InputError) as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_run_made_in_python_is_checked_as_one_from_a_file():
    grid = LENET | {"selection": "greedy", "seed": 0}
    with pytest.raises(InputError, match="did you mean 'paper'"):
        Run(run="a", recipe="papr", grids=[grid])
    with pytest.raises(ValidationError):
        Run(run="a", recipe="paper", grids=[grid | {"sed": 0}])


def test_a_mistake_in_the_recipe_is_told_with_its_place_there(tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("about: a test's own\nbase: {epochs: 0}\n")
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    content = "run: a\nrecipe: bad\ngrids: [{dataset: mnist, architecture: lenet, selection: greedy, k: 2, seed: 0}]\n"
    with pytest.raises(InputError, match=r"epochs of bad/.*bad\.yaml, line 2"):
        load(written(tmp_path, content))


def test_runs_that_stand_beside_are_found_in_the_same_folder(tmp_path):
    text = (
        "run: {}\nrecipe: paper\n{}grids:\n  - {{dataset: mnist, architecture: lenet, selection: learned, seed: 0}}\n"
    )
    (tmp_path / "mine.yaml").write_text(text.format("mine", "beside: [rates, more]\n"))
    for name in ("rates", "more"):
        (tmp_path / f"{name}.yaml").write_text(text.format(name, ""))
    path = tmp_path / "mine.yaml"
    assert [run.run for run in config.load(path).others] == ["rates", "more"]
    (tmp_path / "more.yaml").unlink()
    with pytest.raises(InputError, match=r"more\.yaml"):
        _ = config.load(path).others
