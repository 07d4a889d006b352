"""A record stands until its recipe or the code that computes its numbers has moved on, or a vouching says otherwise."""

import json

import pytest

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.errors import InputError
from slotbench.results import records, vouching
from slotbench.results.fingerprint import deciding, fingerprint
from slotbench.results.standing import run_folder, stale, standing
from slotbench.results.vouching import Attestation, summary
from tests.support.synthetic import record

CELL = Cell("quick", "digits", "lenet", "greedy", 2, "none", 0)
RECIPE = json.loads(recipes.of(CELL).model_dump_json())


@pytest.fixture
def written(tmp_path):
    """Writes a record of `CELL` made with a recipe and by a fingerprint, and says where."""
    path = tmp_path / "results" / "run" / "cells" / CELL.path

    def write(recipe, made_by, numerics=None):
        made_up = record(CELL).model_dump()
        provenance = made_up["provenance"] | {"fingerprint": made_by, "numerics": numerics}
        records.write(records.Record(**made_up | {"recipe": recipe, "provenance": provenance}), path)
        return path

    return write


def attestation(*pairs, against="record") -> Attestation:
    return Attestation(
        equal=pairs,
        replayed=({"cell": "a", "epochs": 2, "full": False, "against": against},) * 24,
        commit="9c0ffee" + 33 * "0",
        device="AMD EPYC",
        numerics=None,
        versions={"torch": "2.13.0"},
        date="2026-11-26T00:00:00+00:00",
    )


def test_a_record_of_todays_recipe_and_code_stands(written):
    assert stale(CELL, written(RECIPE, fingerprint(CELL))) is None


def test_a_changed_setting_and_changed_code_are_named(written):
    assert stale(CELL, written(RECIPE | {"batch": 31}, fingerprint(CELL))) == (
        "recipe 'quick' changed: batch was 31 and is 32"
    )
    moved_on = fingerprint(CELL) | {"slotbench.training.session": "0"}
    assert stale(CELL, written(RECIPE, moved_on)) == "code changed: training/session"


def test_a_setting_that_a_record_lacks_counts_as_its_default_and_one_that_today_lacks_as_nothing(written):
    older = {name: value for name, value in RECIPE.items() if name not in ("nesterov", "schedule")}
    assert stale(CELL, written(older | {"warmth": 3}, fingerprint(CELL))) is None
    lacking = {name: value for name, value in RECIPE.items() if name != "learning_rate"}
    assert "learning_rate was None" in str(stale(CELL, written(lacking, fingerprint(CELL))))


@pytest.mark.parametrize("broken", ["", "[]", "{}"])
def test_what_is_no_record_does_not_stand(written, broken):
    path = written(RECIPE, fingerprint(CELL))
    path.write_text(broken)
    assert "not a record" in str(stale(CELL, path))


def test_vouched_code_stands_and_says_by_what(written):
    earlier = fingerprint(CELL) | {"slotbench.training.session": "0"}
    path = written(RECIPE, earlier)
    vouching.write(run_folder(path), attestation((summary(earlier), summary(fingerprint(CELL)))))
    stands = standing(CELL, path)
    assert stands.reason is None
    assert stands.vouched == (
        f"made by {record(CELL).provenance.commit[:7]}; at 9c0ffee, 24 cells were replayed and every bit agreed"
    )


GPU, CPU = {"selection": "triton", "capability": "9.0"}, {"selection": "compiled"}
KERNEL = "slotbench.selection.kernel_gpu"


@pytest.mark.parametrize("numerics", [None, CPU])
def test_what_only_a_gpu_computes_does_not_concern_a_record_of_a_processor(written, numerics):
    assert stale(CELL, written(RECIPE, fingerprint(CELL) | {KERNEL: "0"}, numerics)) is None
    before_there_were_any = {name: value for name, value in fingerprint(CELL).items() if name != KERNEL}
    assert stale(CELL, written(RECIPE, before_there_were_any, numerics)) is None


def test_a_record_of_a_gpu_stands_by_its_kernels(written):
    assert stale(CELL, written(RECIPE, fingerprint(CELL), GPU)) is None
    assert stale(CELL, written(RECIPE, fingerprint(CELL) | {KERNEL: "0"}, GPU)) == (
        "code changed: selection/kernel_gpu"
    )


def test_vouched_code_stands_whatever_a_gpus_kernels_have_become_since(written):
    earlier = deciding(fingerprint(CELL) | {"slotbench.training.session": "0"}, CPU)
    path = written(RECIPE, earlier | {KERNEL: "1"}, CPU)
    vouching.write(run_folder(path), attestation((summary(earlier), summary(deciding(fingerprint(CELL), CPU)))))
    assert standing(CELL, path).reason is None
    assert stale(CELL, written(RECIPE, earlier | {KERNEL: "1"}, GPU)) == (
        "code changed: selection/kernel_gpu, training/session"
    )


def test_vouching_for_other_code_changes_nothing(written):
    earlier = fingerprint(CELL) | {"slotbench.training.session": "0"}
    path = written(RECIPE, earlier)
    vouching.write(run_folder(path), attestation((summary(earlier), "another")))
    assert stale(CELL, path) == "code changed: training/session"


def test_later_attestations_are_added_and_a_changed_file_is_refused(written):
    earlier = fingerprint(CELL) | {"slotbench.training.session": "0"}
    path = written(RECIPE, earlier)
    folder = run_folder(path)
    vouching.write(folder, attestation(("a", "b")))
    vouching.write(folder, attestation((summary(earlier), summary(fingerprint(CELL))), against="0123456789"))
    assert len(vouching.attestations(folder)) == 2
    assert str(standing(CELL, path).vouched).endswith("every bit agreed with that code's on the same machine")
    file = folder / vouching.FILE
    file.write_text(file.read_text().replace('"epochs": 2', '"epochs": 9', 1))
    with pytest.raises(InputError, match="SHA-256 differs"):
        stale(CELL, path)
