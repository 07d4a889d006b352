"""Recipes say for every cell how it is trained, as the protocol's sources do, and refuse what they cannot say."""

import dataclasses
import itertools
import re

import pytest

from slotbench import recipes
from slotbench.architectures import ARCHITECTURES
from slotbench.cells import Cell
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError
from slotbench.selection import SELECTIONS


def cell(recipe="paper", architecture="lenet", selection="greedy", k=8, finetune="none") -> Cell:
    dataset = "mnist" if architecture == "lenet" else "cifar10"
    return Cell(recipe, dataset, architecture, selection, k, finetune, 0).checked()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of recipes of the test's own."""
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    recipes.load.cache_clear()
    recipes.of.cache_clear()
    yield tmp_path
    recipes.load.cache_clear()
    recipes.of.cache_clear()


def test_every_cell_that_can_be_named_has_every_hyper_parameter():
    for recipe in ("paper", "authors-code"):
        for name, architecture in ARCHITECTURES.items():
            for dataset, entry in DATASETS.items():
                for selection, rule in SELECTIONS.items():
                    if entry.shape == architecture.input_shape:
                        target = Cell(recipe, dataset, name, selection, 8 if rule.has_options else 1, "none", 0)
                        assert recipes.of(target.checked()).epochs >= 100


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (cell(), {"learning_rate": 0.2, "epochs": 200, "weight_decay": 1e-4, "score_bounds": (1.0, 0.1)}),
        (cell(k=16), {"learning_rate": 0.1}),
        (cell(selection="probabilistic"), {"learning_rate": 25.0, "evaluate_by": "highest"}),
        (cell(architecture="vgg19"), {"epochs": 220, "flip": True, "normalise": True}),
        (cell(architecture="conv6", selection="learned", k=1), {"epochs": 330, "padding": (1, 1, 1)}),
        (cell("authors-code"), {"learning_rate": 0.1, "epochs": 120, "weight_decay": 0.0, "flip": False}),
        (cell("authors-code", k=16), {"learning_rate": 0.01}),
        (cell("authors-code", selection="probabilistic"), {"learning_rate": 50.0, "epochs": 160}),
        (cell("authors-code", "conv6", "probabilistic"), {"learning_rate": 25.0, "epochs": 180}),
        (cell("authors-code", selection="learned", k=1), {"learning_rate": 0.01, "epochs": 220}),
        (cell("authors-code", "conv2"), {"epochs": 140, "padding": (0, 0, 1), "weight_decay": 0.0}),
        (cell("authors-code", "vgg19"), {"epochs": 120, "weight_decay": 1e-4}),
        (cell("authors-code", finetune="e100"), {"learning_rate": 0.01, "epochs": 220}),
    ],
)
def test_says_what_the_protocol_says(of, expected):
    recipe = recipes.of(of)
    assert {name: getattr(recipe, name) for name in expected} == expected


def test_the_papers_warm_restarts_are_at_epochs_25_75_and_175():
    torch = pytest.importorskip("torch")

    from slotbench.training.session import schedule

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = schedule(optimizer, recipes.of(cell()).schedule)
    rates = []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    assert [epoch for epoch in range(1, 200) if rates[epoch] > rates[epoch - 1]] == [25, 75, 175]


def test_finetuning_in_the_paper_ends_where_learning_from_scratch_ends():
    for architecture in ARCHITECTURES:
        finetuned = recipes.of(cell(architecture=architecture, finetune="e100"))
        assert finetuned.epochs == recipes.of(cell(architecture=architecture, selection="learned", k=1)).epochs


@pytest.mark.parametrize(
    ("finetune", "words"), [("e99", "keeps no checkpoint of epoch 99"), ("e200", "so nothing is left")]
)
def test_a_checkpoint_that_is_not_kept_or_leaves_nothing_is_refused(finetune, words):
    with pytest.raises(InputError, match=words):
        recipes.of(cell(finetune=finetune))


def test_an_unknown_recipe_is_told_with_the_nearest_one():
    with pytest.raises(InputError, match="recipe 'papr': unknown; did you mean 'paper'\\?"):
        recipes.load("papr")
    with pytest.raises(InputError, match="unknown"):
        recipes.load("../recipes/paper")


GOOD = """about: a test's own
base: {epochs: 2, learning_rate: 0.1, option_bound: 1.0, score_bounds: [1.0, 1.0], evaluate_by: sampling}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("epochs", "epoch"), "setting 'epoch': unknown; did you mean 'epochs'"),
        (GOOD.replace("epochs: 2", "epochs: 0"), "epochs"),
        (GOOD.replace("0.1", "-0.1"), "learning_rate"),
        (GOOD.replace("0.1", ".nan"), "learning_rate"),
        (GOOD.replace("sampling", "luck"), "evaluate_by"),
        (GOOD.replace("[1.0, 1.0]", "[0.0, 1.0]"), "score"),
        (GOOD.replace("epochs: 2", "epochs: 2, prune_after: [2]"), "prune_after"),
        (GOOD.replace("epochs: 2", "epochs: 2, prune_after: [1]"), "nothing else"),
        (GOOD + "rules: [{when: {sed: 1}, set: {}}]", "sed"),
        (GOOD + "rules: [{when: {selection: greedy}}]", "set"),
        ("about: [", "own.yaml"),
        ("", "own.yaml"),
        ("base: !!python/object/apply:os.system [ls]", "own.yaml"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_sentence_that_names_it(folder, text, words):
    (folder / "own.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        recipes.of(Cell("own", "mnist", "lenet", "greedy", 8, "none", 0))
    assert "own" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "10001"), ("epochs", "true"), ("epochs", '"2"'), ("epochs", "2.5"), ("epochs", "[2]"),
        ("batch", str(2**62)), ("batch", "0"), ("threads", str(2**31)), ("threads", "true"),
        ("learning_rate", "1.0e+300"), ("learning_rate", "9" * 400), ("learning_rate", "true"),
        ("learning_rate", "'1'"),
        ("weight_decay", "1.0e+300"), ("weight_decay", "20"), ("momentum", "1"), ("momentum", "-0.1"),
        ("option_bound", "1.0e+300"), ("option_bound", "1.0e-300"), ("score_bounds", "[1.0e+300, 1]"),
        ("score_bounds", "[1]"), ("score_bounds", "[1, 1, 1]"), ("dropout", "0.999999999"), ("pruned", "1"),
        ("padding", "[-1, 1, 1]"), ("padding", "[0, 0, 0]"), ("padding", f"[{2**40}, 1, 1]"),
        ("checkpoints", "[0]"), ("checkpoints", "[1.5]"), ("checkpoints", str(list(range(1, 2000)))),
        ("prune_after", "[-1]"), ("flip", "'yes'"), ("flip", "1"), ("nesterov", "yes"), ("deterministic", "0"),
        ("schedule", "{kind: warm-restarts, epochs: [0]}"),
        ("schedule", "{kind: warm-restarts, epochs: [2], factor: 0}"),
        ("schedule", "{kind: warm-restarts, epochs: [2], factor: 1.0e+300}"),
        ("schedule", "{kind: steps, epochs: [-1]}"),
        ("schedule", f"{{kind: steps, epochs: {list(range(1, 200))}, factor: 1000}}"), ("schedule", "{factor: .inf}"),
    ],
)  # fmt: skip
def test_what_no_training_could_stand_is_refused_before_it_with_its_line(folder, name, value):
    text = GOOD.replace("evaluate_by: sampling}", "evaluate_by: sampling") + f"  , {name}: {value}}}\n"
    if f"{name}: " in GOOD:
        text = re.sub(rf"\b{name}: (\[.*?\]|[^,}}]+)", f"{name}: {value}", GOOD)
    (folder / "own.yaml").write_text(text)
    with pytest.raises(InputError, match=r"\b(own/|recipe of own/).*own\.yaml, line [1-3]\)") as caught:
        recipes.of(Cell("own", "mnist", "lenet", "greedy", 8, "none", 0))
    assert str(caught.value).isprintable()


def test_a_lottery_ticket_needs_epochs_to_be_pruned_after(folder):
    (folder / "own.yaml").write_text(GOOD)
    with pytest.raises(InputError, match=r"prune_after of own/.*: recipe 'own' does not set it"):
        recipes.of(Cell("own", "mnist", "lenet", "lottery-ticket", 1, "none", 0))


def test_a_rule_s_own_settings_are_its_cells_and_nobody_else_s(folder):
    (folder / "own.yaml").write_text(
        GOOD.replace("}", ", checkpoints: [1]}")
        + "rules: [{when: {selection: edge-popup}, set: {kept: 0.3}}, {when: {selection: lottery-ticket}, "
        "set: {prune_after: [1]}}]"
    )
    edge_popup, ticket, greedy = (
        recipes.of(Cell("own", "mnist", "lenet", selection, 1, "none", 0)).model_dump()
        for selection in ("edge-popup", "lottery-ticket", "greedy")
    )
    assert edge_popup.keys() - greedy.keys() == {"kept"}
    assert edge_popup["kept"] == 0.3
    assert ticket.keys() - greedy.keys() == {"prune_after", "pruned"}
    assert (ticket["prune_after"], ticket["pruned"]) == ((1,), 0.8)


def test_a_finetuned_cell_leaves_the_settings_of_its_rule_behind(folder, monkeypatch):
    own = {"towards": (float, 1.0)}
    monkeypatch.setitem(SELECTIONS, "greedy", dataclasses.replace(SELECTIONS["greedy"], settings=own))
    monkeypatch.setitem(recipes.SETTINGS_OF_RULES, "towards", ["greedy"])
    recipes.model.cache_clear()
    (folder / "own.yaml").write_text(
        GOOD.replace("}", ", checkpoints: [1]}") + "rules: [{when: {selection: greedy}, set: {towards: 0.5}}]"
    )
    parent, child = (recipes.of(Cell("own", "mnist", "lenet", "greedy", 2, start, 0)) for start in ("none", "e1"))
    recipes.model.cache_clear()
    assert parent.model_dump() == child.model_dump() | {"towards": 0.5}


def test_a_record_without_a_setting_counts_as_having_its_default():
    target = cell("authors-code", selection="edge-popup", k=1)
    recorded = recipes.of(target).model_dump(mode="json")
    assert recipes.differences(target, recorded) == []
    older = {name: value for name, value in recorded.items() if name != "kept"} | {"prune_after": [], "pruned": 0.8}
    assert recipes.differences(target, older) == []
    assert recipes.differences(target, recorded | {"kept": 0.3}) == [("kept", 0.3, 0.5)]
    assert recipes.differences(target, {name: value for name, value in recorded.items() if name != "batch"}) == []
    assert recipes.differences(target, recorded | {"batch": 64}) == [("batch", 64, 128)]
    assert recipes.differences(target, {}) != []


@pytest.mark.parametrize("name", ["paper", "authors-code"])
def test_a_lottery_ticket_learns_twice_as_long_as_learned_weights_do(name):
    for architecture in ARCHITECTURES:
        ticket = recipes.of(cell(name, architecture, "lottery-ticket", 1))
        learned = recipes.of(cell(name, architecture, "learned", 1))
        assert (ticket.epochs, ticket.prune_after) == (2 * learned.epochs, (learned.epochs,))  # type: ignore[attr-defined]
        own = {"epochs", "prune_after", "pruned"}
        assert ticket.model_dump(exclude=own) == learned.model_dump(exclude=own)


@pytest.mark.parametrize("name", ["paper", "authors-code"])
def test_shared_options_are_selected_from_as_others_are(name):
    for architecture, k, of in itertools.product(ARCHITECTURES, (2, 64), ("layer", "network")):
        assert recipes.of(cell(name, architecture, f"greedy-shared-{of}", k)) == recipes.of(
            cell(name, architecture, k=k)
        )


def test_a_recipe_is_a_file_away(folder):
    (folder / "own.yaml").write_text(GOOD + "rules: [{when: {k_up_to: 4}, set: {learning_rate: 0.5}}]")
    assert recipes.names() == ["own"]
    rates = [recipes.of(Cell("own", "mnist", "lenet", "greedy", k, "none", 0)).learning_rate for k in (2, 4, 5)]
    assert rates == [0.5, 0.5, 0.1]
