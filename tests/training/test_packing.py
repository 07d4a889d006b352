"""States packed in one file, and gone on with in another folder."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from slotbench.cells import Cell
from slotbench.data import sources
from slotbench.errors import InputError
from slotbench.training import checkpoint, packing
from slotbench.training.train import train_cell
from tests.support.records import same

CELLS = [
    Cell("quick", "digits", "lenet", selection, k, "none", 0)
    for selection, k in (
        ("greedy", 8), ("greedy-shared-layer", 16), ("probabilistic", 2), ("learned", 1), ("supermask", 1),
    )
]  # fmt: skip
CONNECTIONS = 266_200


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sources.fetch("digits", folder)
    return folder


def torn(cell: Cell, results: Path, data: Path) -> Path:
    """Trains `cell` below `results` until it is killed in its sixth epoch, past its first checkpoint."""

    def interrupt(epoch, _last, _news):
        if epoch == 6:
            raise KeyboardInterrupt

    out = results / "torn" / "cells" / cell.path
    with pytest.raises(KeyboardInterrupt):
        train_cell(cell, out, data, None, interrupt)
    return out


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.selection)
def test_a_cell_goes_on_elsewhere_to_the_same_bits(cell, tmp_path, data, monkeypatch):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    here, there, packed = tmp_path / "here", tmp_path / "there", tmp_path / "states.zip"
    out = torn(cell, here, data)
    states = {path.name: path.read_bytes() for path in checkpoint.newest_first(out.with_suffix(""))}
    assert packing.pack("torn", here, packed) == [(cell, 5)]
    per_connection = 4 * 4 if cell.selection == "learned" else 8 + 3
    assert packed.stat().st_size < per_connection * CONNECTIONS + 2**16, "of bounded size"
    assert packing.unpack(packed, there) == [(cell, "goes on from epoch 5")]
    elsewhere = there / "torn" / "cells" / cell.path
    (state,) = checkpoint.newest_first(elsewhere.with_suffix(""))
    assert states[state.name] == state.read_bytes(), "the very file"

    epochs = []
    for path in (out, elsewhere):
        train_cell(cell, path, data, None, lambda epoch, _last, _news: epochs.append(epoch))
    assert epochs[0] == 6
    assert epochs[: len(epochs) // 2] == epochs[len(epochs) // 2 :]
    same(out, elsewhere)
    assert packing.unpack(packed, there) == [(cell, "has its record here")]


def test_what_is_packed_is_told_and_a_later_state_stays(tmp_path, data, monkeypatch):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    with pytest.raises(InputError, match="nothing to pack"):
        packing.pack("torn", tmp_path, tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()
    torn(CELLS[0], tmp_path, data)
    packing.pack("torn", tmp_path, tmp_path / "states.zip")
    assert packing.unpack(tmp_path / "states.zip", tmp_path) == [(CELLS[0], "has a state of epoch 5 here")]


def altered(packed: Path, harm: str) -> None:
    with zipfile.ZipFile(packed) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    state = next(name for name in parts if name.endswith("/state"))
    if harm == "a bit":
        parts[state] = parts[state][:-1] + bytes([parts[state][-1] ^ 1])
    elif harm == "another format":
        parts["run.json"] = json.dumps({"format": 9, "run": "torn"}).encode()
    elif harm == "a run elsewhere":
        parts["run.json"] = json.dumps({"format": 1, "run": "../../elsewhere"}).encode()
    elif harm == "another cell":
        parts[state.replace("/k8/", "/k4/")] = parts.pop(state)
    elif harm == "cut":
        parts[state] = parts[state][:100]
    elif harm == "too large":
        parts[state] = bytes(packing.LARGEST * CONNECTIONS + 2**24 + 1)
    else:
        del parts["run.json"]
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_what_is_no_packed_file_is_refused_in_a_sentence(tmp_path, data, monkeypatch):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    torn(CELLS[0], tmp_path, data)
    packing.pack("torn", tmp_path, tmp_path / "states.zip")
    broken = tmp_path / "broken.zip"
    for harm in ("a bit", "another format", "a run elsewhere", "another cell", "cut", "too large", "no run"):
        shutil.copy(tmp_path / "states.zip", broken)
        altered(broken, harm)
        with pytest.raises(InputError, match="not a file of `slotbench state pack`"):
            packing.unpack(broken, tmp_path / "there")
        assert not list(tmp_path.glob("there/**/resume-*")), harm
    broken.write_text("no archive", encoding="utf-8")
    with pytest.raises(InputError, match="not a file of"):
        packing.unpack(broken, tmp_path / "there")


@pytest.mark.parametrize("distinct", [1, 255, 256, 257, 5000])
@pytest.mark.parametrize("many_are", ["everywhere", "only at the end"])
def test_few_values_are_all_of_them_wherever_they_are(distinct, many_are):
    bits = np.zeros(20_000, np.int32)
    values = np.arange(distinct, dtype=np.int32) - distinct // 2
    bits[-distinct:] = values
    if many_are == "everywhere":
        bits = np.resize(values, bits.shape)
    expected = np.unique(bits)
    table = packing.few_values(bits)
    assert (table is None) == (len(expected) > packing.VALUES)
    assert table is None or np.array_equal(table, expected)
