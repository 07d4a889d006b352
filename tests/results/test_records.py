"""Records are whole or absent, follow a published schema, and are refused by name when they do not."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.files import atomic
from slotbench.results.records import MAX_BYTES, MIGRATIONS, SCHEMA_VERSION, Record, checksum, read, text, write
from tests.support.records import mutated
from tests.support.synthetic import record

SYNTHETIC = record(Cell("paper", "mnist", "lenet", "greedy", 8, "none", 0))
RESULTS = Path(__file__).parents[2] / "results"
SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "record.schema.json"


def test_what_is_written_is_read_back(tmp_path):
    write(SYNTHETIC, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == SYNTHETIC


def test_the_published_schema_is_that_of_the_code():
    assert json.loads(SCHEMA.read_text()) == Record.model_json_schema(), "run `slotbench schemas`"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_file_that_fails_halfway_leaves_the_old_one_and_nothing_else(mode, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path, mode) as file:
        file.write("half" if mode == "w" else b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a record"),
        (b"\xff", "not a record"),
        (b"[]", "not a record"),
        (b"{}", "cell"),
        (b"[" * 10**5, "not a"),
    ],
)
def test_what_is_not_a_record_is_refused_in_one_sentence(content, words, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("selected", []), ("offered", [1.0]), ("levels", []), ("offered_magnitude", 0.0), (None, [])]
)
def test_layers_that_say_nothing_are_refused(name, value, tmp_path):
    content = json.loads(text(SYNTHETIC))
    if name is None:
        content["results"]["layers"] = value
    else:
        content["results"]["layers"][1][name] = value
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"results\.layers.*train its cell again"):
        read(tmp_path / "a.json")


def test_a_changed_digit_is_found_by_the_checksum(tmp_path):
    path = tmp_path / "a.json"
    write(SYNTHETIC, path)
    path.write_text(path.read_text().replace('"connections": 266200', '"connections": 266201'))
    with pytest.raises(InputError, match="SHA-256 differs"):
        read(path)


def test_a_missing_and_an_enormous_record_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read(tmp_path / "none.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than any record"):
        read(tmp_path / "huge.json")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutated_record_is_accepted_or_refused_in_one_sentence(tmp_path, data):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(mutated(json.loads(text(SYNTHETIC)), data.draw)))
    try:
        read(path)
    except InputError as error:
        assert "\n" not in str(error)


def test_a_field_that_records_get_later_leaves_every_old_record_readable(tmp_path):
    """As if `Record` had an optional field more: its file's checksum is of what stands in the file."""
    write(SYNTHETIC, tmp_path / "old.json")

    class Later(Record):
        sampled_by: str | None = None

    content = (tmp_path / "old.json").read_text()
    assert Later.model_validate_json(content).sampled_by is None
    assert checksum(content) == json.loads(content)["provenance"]["sha256"]
    assert Later.model_validate_json(content).model_dump_json() != content  # whose own JSON has another checksum


@pytest.mark.parametrize("number", ["0.5", "5e-1", "1e-05", "0.00001", "1E22", "3", "-0.0"])
def test_the_checksum_is_of_numbers_as_they_are_written_and_not_of_white_space(number):
    content = f'{{"a": [{number}, "\u00fc\\u00fc"], "provenance": {{"sha256": null, "b": true}}}}'
    compact = f'{{"a":[{number},"\u00fc\u00fc"],"provenance":{{"b":true}}}}'
    assert checksum(content) == hashlib.sha256(compact.encode()).hexdigest()
    assert checksum(content.replace(" ", "\n  ")) == checksum(content)
    assert checksum(content.replace(number, "7")) != checksum(content)


def test_records_of_all_committed_runs_are_readable():
    """Those of version 2, which all of the first runs are, and whatever came after."""
    paths = [
        path for run in ("reference", "study", "preview") for path in (RESULTS / run / "cells").rglob("seed*.json")
    ]
    assert len(paths) >= 204
    for path in paths:
        assert read(path).schema_version == 3


def test_there_is_a_migration_for_each_step():
    assert sorted(MIGRATIONS) == list(range(2, SCHEMA_VERSION))
