"""A cell from recipe to record: real training on real digits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slotbench import recipes
from slotbench.cells import Cell
from slotbench.data import batches, sources
from slotbench.errors import InputError
from slotbench.results.records import Record, read, weights_path
from slotbench.selection import SELECTIONS
from slotbench.selection.options import draw
from slotbench.training import checkpoint, session
from slotbench.training.train import going_on, train_cell
from tests.support.records import same

RECIPE = """about: a test's own
base:
  epochs: 6
  batch: 32
  learning_rate: 0.2
  option_bound: 1.7320508
  score_bounds: [1.7320508, 1.7320508]
  evaluate_by: sampling
  checkpoints: [2, 6]
rules:
  - when: {selection: probabilistic}
    set: {learning_rate: 25.0}
  - when: {selection: learned}
    set: {learning_rate: 0.05}
  - when: {selection: lottery-ticket}
    set: {learning_rate: 0.05, prune_after: [3], pruned: 0.5, schedule: {kind: steps, epochs: [2], factor: 0.5}}
  - when: {selection: supermask}
    set: {learning_rate: 100.0}
  - when: {finetuned: true}
    set: {learning_rate: 0.05}
"""
BOUNDS = {"option_bound": 1.7320508, "score_bounds": (1.7320508, 1.7320508)}


KINDS = [("greedy", 3), ("probabilistic", 2), ("learned", 1), ("lottery-ticket", 1), ("supermask", 1)]


@pytest.fixture(autouse=True)
def recipe(tmp_path, monkeypatch):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "test.yaml").write_text(RECIPE)
    monkeypatch.setattr(recipes, "FOLDER", folder)
    recipes.load.cache_clear()
    recipes.of.cache_clear()
    yield folder / "test.yaml"
    recipes.load.cache_clear()
    recipes.of.cache_clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sources.fetch("digits", folder)
    return folder


def cell(selection: str = "greedy", k: int = 8, finetune: str = "none", seed: int = 0) -> Cell:
    return Cell("test", "digits", "lenet", selection, k, finetune, seed).checked()


def run(target: Cell, out: Path, data: Path, parent: Path | None = None, progress=lambda *_: None) -> Record:
    return train_cell(target, out, data, parent, progress)


@pytest.mark.parametrize(("selection", "k"), [("greedy", 8), ("probabilistic", 4), ("learned", 1)])
def test_a_cell_learns_and_its_record_tells_what_happened(selection, k, tmp_path, data):
    record = run(cell(selection, k), tmp_path / "seed0.json", data)
    assert record == read(tmp_path / "seed0.json")
    results = record.results
    assert record.status == "done"
    assert results.test_accuracy > 0.8
    assert results.epochs == 6
    assert results.connections == 266_200
    assert len(results.curves.train_loss) == len(results.curves.validation_accuracy) == 6
    best = results.curves.validation_accuracy.index(max(results.curves.validation_accuracy)) + 1
    assert results.best_epoch == best
    assert results.validation_accuracy == results.curves.validation_accuracy[best - 1]
    # forward 2 FLOPs a connection, backward twice that, less the gradient of the images
    assert results.flops_per_epoch == 1222 * (6 * 266_200 - 2 * 784 * 300)
    assert set(record.weights) == {"best", "last", "e2", "e6"}
    assert set(record.provenance.data) == {"all/images", "all/labels"}
    assert (results.test[-1].sampled is not None) == (selection == "probabilistic")


def test_the_test_set_is_read_only_at_a_new_best_and_at_the_last_epoch(tmp_path, data):
    results = run(cell(), tmp_path / "seed0.json", data).results
    curve = results.curves.validation_accuracy
    new_bests = [epoch for epoch in range(1, 7) if all(curve[epoch - 1] > before for before in curve[: epoch - 1])]
    assert [test.epoch for test in results.test] == sorted({*new_bests, 6})


def test_probabilistic_selection_counts_what_its_recipe_says(tmp_path, data, recipe):
    record = run(cell("probabilistic", 4), tmp_path / "a.json", data)
    assert all(test.accuracy == test.sampled for test in record.results.test)
    recipe.write_text(RECIPE.replace("sampling", "highest"))
    recipes.load.cache_clear()
    recipes.of.cache_clear()
    record = run(cell("probabilistic", 4), tmp_path / "b.json", data)
    assert all(test.accuracy == test.highest for test in record.results.test)


@pytest.mark.parametrize(("selection", "k"), KINDS)
def test_the_same_cell_twice_gives_the_same_bits(selection, k, tmp_path, data):
    for name in ("a.json", "b.json"):
        run(cell(selection, k), tmp_path / name, data)
    same(tmp_path / "a.json", tmp_path / "b.json")


@pytest.mark.parametrize(("selection", "k"), KINDS)
@pytest.mark.parametrize("killed_after", [1, 3])
def test_an_interrupted_cell_goes_on_to_the_same_bits(selection, k, killed_after, tmp_path, data, monkeypatch):
    run(cell(selection, k), tmp_path / "whole.json", data)
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    epochs = []

    def interrupt(epoch, _last, _news):
        epochs.append(epoch)
        if len(epochs) == killed_after + 1:  # after this epoch, before its state is written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cell(selection, k), tmp_path / "torn.json", data, progress=interrupt)
    assert not (tmp_path / "torn.json").exists()
    run(cell(selection, k), tmp_path / "torn.json", data, progress=interrupt)
    assert epochs[killed_after + 1] == killed_after + 1, "it started afresh"
    same(tmp_path / "whole.json", tmp_path / "torn.json")


def test_a_state_of_another_recipe_is_not_taken_up(tmp_path, data, recipe, monkeypatch):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")

    def interrupt(epoch, _last, _news):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cell(), tmp_path / "torn.json", data, progress=interrupt)
    recipe.write_text(RECIPE.replace("0.2", "0.3"))
    recipes.load.cache_clear()
    recipes.of.cache_clear()
    for name in ("torn.json", "whole.json"):
        run(cell(), tmp_path / name, data)
    same(tmp_path / "whole.json", tmp_path / "torn.json")


def test_finetuning_goes_on_from_the_parents_checkpoint(tmp_path, data):
    parent = tmp_path / "parent.json"
    run(cell(k=2), parent, data)
    record = run(cell(k=2, finetune="e2"), tmp_path / "child.json", data, parent)
    assert (record.results.start_epoch, record.results.epochs) == (2, 6)
    assert len(record.results.curves.train_loss) == 4
    target = cell(k=2, finetune="e2")
    cpu = torch.device("cpu")
    trained = session.Session(target, recipes.of(target), batches.load("digits", data, cpu), cpu)
    assert type(trained.optimizer).__name__ == "Learned"


@pytest.mark.parametrize("harm", ["no parent", "another cell", "altered weights", "no weights"])
def test_finetuning_from_what_is_not_the_parents_checkpoint_is_refused(harm, tmp_path, data):
    parent: Path | None = tmp_path / "parent.json"
    run(cell(k=2, seed=1 if harm == "another cell" else 0), parent, data)
    weights = weights_path(parent, "e2")
    if harm == "altered weights":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif harm == "no weights":
        weights.unlink()
    elif harm == "no parent":
        parent = None
    with pytest.raises(InputError, match=r"--parent|another cell|SHA-256|No such file"):
        run(cell(k=2, finetune="e2"), tmp_path / "child.json", data, parent)
    assert not (tmp_path / "child.json").exists()


def test_the_random_network_of_k_1_never_moves(tmp_path, data):
    record = run(cell(k=1), tmp_path / "seed0.json", data)
    assert record.results.curves.changed == [0.0], "one epoch shows it"
    assert record.results.unchanging
    assert record.results.test_accuracy < 0.4
    assert set(record.weights) == {"best", "last", "e2", "e6"}
    assert len(set(record.weights.values())) == 1, "every checkpoint is what there is after one epoch"
    weights = list(load_file(weights_path(tmp_path / "seed0.json", "last")).values())
    for weight, layer in zip(weights, draw(weights, k=1, seed=0, **BOUNDS), strict=True):
        options, _ = layer.whole()
        assert torch.equal(weight.flatten(), torch.from_numpy(options).flatten())


def test_every_selected_weight_is_one_of_its_connections_options(tmp_path, data):
    for selection in ("greedy", "probabilistic"):
        run(cell(selection, 3), tmp_path / f"{selection}.json", data)
        weights = list(load_file(weights_path(tmp_path / f"{selection}.json", "last")).values())
        for weight, layer in zip(weights, draw(weights, k=3, seed=0, **BOUNDS), strict=True):
            options, _ = layer.whole()
            assert (torch.from_numpy(options) == weight.reshape(-1, 1)).any(1).all()


def test_a_loss_that_is_not_finite_ends_the_cell_as_diverged(tmp_path, data, recipe):
    recipe.write_text(RECIPE.replace("learning_rate: 0.05", "learning_rate: 1.0e+30"))
    record = run(cell("learned", 1), tmp_path / "seed0.json", data)
    assert record.status == "diverged"
    assert record.results.epochs == 1
    assert record.results.curves.train_loss == [None]


def test_missing_data_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match="slotbench fetch digits"):
        run(cell(), tmp_path / "seed0.json", tmp_path / "empty")


def test_listing_cells_and_help_do_not_import_torch():
    code = "import sys, slotbench.cli, slotbench.config, slotbench.results.provenance; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_training_does_not_wait_for_torchs_compiler_to_be_imported(tmp_path, data):
    words = "--dataset digits --architecture lenet --selection greedy --k 2 --recipe quick"
    code = (
        "import sys, slotbench.cli; "
        f"sys.argv = 'slotbench train {words} --out {tmp_path}/seed0.json --data-dir {data}'.split(); "
        "slotbench.cli.main(); sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seed0.json").exists()


def test_a_lottery_ticket_is_pruned_and_counts_from_where_it_started_again(tmp_path, data):
    record = run(cell("lottery-ticket", 1), tmp_path / "seed0.json", data)
    curve = record.results.curves.validation_accuracy
    assert curve[3] < curve[2], "it did not start again"
    assert record.results.best_epoch == 4 + curve[3:].index(max(curve[3:]))
    assert record.results.validation_accuracy == max(curve[3:])
    for name in ("best", "last"):
        for weight in load_file(weights_path(tmp_path / "seed0.json", name)).values():
            assert int(weight.count_nonzero()) == weight.numel() - round(0.5 * weight.numel())
    target, cpu = cell("lottery-ticket", 1), torch.device("cpu")
    trained = session.Session(target, recipes.of(target), batches.load("digits", data, cpu), cpu)
    rates = []
    for _ in range(6):
        rates += trained.schedule.get_last_lr()
        trained.train_epoch()
    assert rates == pytest.approx([0.05, 0.05, 0.025, 0.025, 0.05, 0.025])  # read before the rewind of the 4th epoch


def test_a_record_says_what_is_selected_and_what_it_takes(tmp_path, data):
    greedy, shared, learned = (
        run(cell(selection, k), tmp_path / f"{selection}.json", data)
        for selection, k in (("greedy", 8), ("greedy-shared-layer", 64), ("learned", 1))
    )
    for record in (greedy, shared):
        layers = record.results.layers
        assert [layer.connections for layer in layers] == [235_200, 30_000, 1_000]
        assert all(layer.selected_magnitude > layer.offered_magnitude for layer in layers)
        assert all(0 < layer.bits_of_move < 3 for layer in layers)
        assert all(sum(layer.levels) == pytest.approx(1) for layer in layers)
    assert learned.results.layers is None
    assert learned.costs.state_bytes == 2 * 4 * 266_200, "weights and their momentum"
    assert 3 * learned.costs.state_bytes < greedy.costs.state_bytes < 12 * learned.costs.state_bytes
    assert learned.results.train_accuracy > learned.results.test_accuracy_last > 0.8


def test_random_labels_are_learned_and_say_nothing_of_other_images(tmp_path, data, recipe):
    recipe.write_text(RECIPE.replace("epochs: 6", "epochs: 60").replace("rate: 0.05", "rate: 0.02"))
    recipes.load.cache_clear()
    target = Cell("test", "digits-random-labels", "lenet", "learned", 1, "none", 0).checked()
    results = run(target, tmp_path / "seed0.json", data).results
    assert results.train_accuracy > 0.5
    assert results.test_accuracy_last < 0.2


def test_what_changes_of_a_subnetwork_is_what_is_kept(tmp_path, data):
    curve = run(cell("supermask", 1), tmp_path / "seed0.json", data).results.curves.changed
    assert 0 < curve[-1] < 0.1, "every kept weight is rescaled in every step"


def torn_after(epoch: int, target: Cell, out: Path, data: Path) -> None:
    """Trains a cell until it is killed in epoch `epoch` + 1."""

    def interrupt(now, _last, _news):
        if now == epoch + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(target, out, data, progress=interrupt)


@pytest.mark.parametrize("harm", ["a bit flipped", "gone"])
def test_a_checkpoint_lost_between_kill_and_start_is_trained_again(harm, tmp_path, data, monkeypatch, capfd):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    whole, torn = tmp_path / "whole.json", tmp_path / "torn.json"
    run(cell(), whole, data)
    torn_after(4, cell(), torn, data)
    path = weights_path(torn, "e2")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if harm != "gone":
        path.write_bytes(content)
    run(cell(), torn, data)
    assert "e2.safetensors is" in capfd.readouterr().err
    same(whole, torn)


def wrong(state: checkpoint.State, harm: str) -> checkpoint.State:
    """A state whose content is not what a session writes."""
    tensors, rest = dict(state.tensors), json.loads(json.dumps(state.rest))
    if harm == "no momentum":
        del tensors["optimizer/0/momentum"]
    elif harm == "another shape":
        tensors["network/1.weight"] = tensors["network/1.weight"][:10]
    elif harm == "an odd name":
        tensors["nowhere"] = torch.zeros(1)
    elif harm == "no best weights":
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("best/")}
    elif harm == "a short curve":
        rest["curves"]["train_loss"].pop()
    elif harm == "a text for a rate":
        rest["groups"][0]["lr"] = "fast"
    elif harm == "a text for an epoch":
        rest["schedule"]["last_epoch"] = "three"
    elif harm == "a best epoch to come":
        rest["best_epoch"] = 99
    elif harm == "no time":
        rest["seconds"] = None
    else:
        rest = {"made_by": rest["made_by"], "kept": rest["kept"]}
    return checkpoint.State(state.epoch, tensors, rest)


HARMS = ["no momentum", "another shape", "an odd name", "no best weights", "a short curve", "a text for a rate",
         "a text for an epoch", "a best epoch to come", "no time", "nothing else"]  # fmt: skip


def test_a_state_with_a_right_hash_and_wrong_content_is_passed_over(tmp_path, data, monkeypatch, capfd):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    out, target = tmp_path / "torn.json", cell()
    torn_after(3, target, out, data)
    folder = out.with_suffix("")
    newest, older = checkpoint.read(folder)
    cpu = torch.device("cpu")
    loaded = batches.load("digits", data, cpu)

    def begin() -> session.Session:
        return session.Session(target, recipes.of(target), loaded, cpu)

    for harm in HARMS:
        for path in checkpoint.newest_first(folder):
            path.unlink()
        checkpoint.write(older, folder)
        checkpoint.write(wrong(newest, harm), folder)
        assert going_on(begin, out)[0].epoch == older.epoch, harm
        assert "going on from before it" in capfd.readouterr().err, harm


@pytest.mark.parametrize("selection", sorted(SELECTIONS))
def test_a_state_that_lacks_any_part_is_refused_and_a_whole_one_goes_on_to_the_same_bits(selection, data):
    target, cpu = cell(selection, 3 if SELECTIONS[selection].has_options else 1), torch.device("cpu")
    loaded = batches.load("digits", data, cpu)
    trained, going = (session.Session(target, recipes.of(target), loaded, cpu) for _ in range(2))
    trained.train_epoch()
    trained.evaluate()
    state = checkpoint.state_of(trained, {}, {}, 0.0)
    for name in state.tensors:
        rest = {other: tensor for other, tensor in state.tensors.items() if other != name}
        with pytest.raises((ValueError, RuntimeError)):
            checkpoint.take_up(going, state._replace(tensors=rest))
    checkpoint.take_up(going, state)
    for each in (trained, going):
        each.train_epoch()
    weights = zip(trained.weights().values(), going.weights().values(), strict=True)
    assert all(torch.equal(weight, other) for weight, other in weights)


def test_a_record_says_what_else_decides_bits(tmp_path, data):
    numerics = run(cell(k=2), tmp_path / "seed0.json", data).provenance.numerics
    assert {"selection", "threads", "instructions", "processor", "products"} <= numerics.keys()


@pytest.mark.parametrize("name", ["OMP_THREAD_LIMIT", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"])
def test_a_state_made_under_another_limit_is_not_taken_up(name, tmp_path, data, monkeypatch, capfd):
    monkeypatch.setenv("SLOTBENCH_RESUME_SECONDS", "0")
    torn_after(2, cell(k=2), tmp_path / "seed0.json", data)
    monkeypatch.setenv(name, "default")
    target, cpu = cell(k=2), torch.device("cpu")
    trained, _ = going_on(
        lambda: session.Session(target, recipes.of(target), batches.load("digits", data, cpu), cpu),
        tmp_path / "seed0.json",
    )
    assert trained.epoch == 0
    assert f"numerics was less and is {name} default" in capfd.readouterr().err
