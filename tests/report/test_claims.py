"""The claims file: what it names is known, and a mistake in it is told with its line."""

from __future__ import annotations

import pytest

from slotbench.architectures import ARCHITECTURES
from slotbench.data.datasets import DATASETS
from slotbench.errors import InputError
from slotbench.report import claims
from slotbench.report.verdict import REPRODUCED
from slotbench.results import published
from slotbench.selection import SELECTIONS
from tests.support.claimed import FILE, cells_of, verdict

IDS = [
    "random-vs-two", "lenet-k2", "lenet-k8", "lenet-k128", "lenet-matches-learned", "conv6-k64-matches",
    "conv6-k8-beats", "vgg19-k8", "eight-competitive", "consistent", "few-suffice", "two-to-four", "gs-beats-ps",
    "finetune-helps", "finetune-costs", "finetune-beats-learned", "larger-selected", "sharing-large-k",
    "sharing-small-k", "beats-edge-popup", "beats-supermask", "memory-cost",
]  # fmt: skip


def test_every_claim_is_there_and_names_only_what_is_known():
    assert list(FILE.claims) == IDS
    for claim in FILE.claims.values():
        assert set(claim.architectures + claim.shown) <= set(FILE.networks)
        assert {group.selection for group in claim.groups} <= set(SELECTIONS)
    assert set(FILE.networks) == set(ARCHITECTURES)
    assert all(DATASETS[dataset].shape == ARCHITECTURES[name].input_shape for name, dataset in FILE.networks.items())


def test_an_accuracys_margin_is_counted_from_the_number_that_was_published():
    frame = published.every_value()
    for name, figure, expected in [
        ("lenet-k2", "abstract-v1", 97.0), ("lenet-k8", "abstract-icml", 98.2),
        ("lenet-k128", "abstract-v1", 98.1), ("vgg19-k8", "abstract-v1", 90.0),
    ]:  # fmt: skip
        claim = FILE.claims[name]
        (architecture,) = claim.architectures
        rows = frame[
            frame["figure"].eq(figure) & frame["architecture"].eq(architecture) & frame["k"].eq(claim.first.k[0])
        ]
        assert list(rows["mean"]) == [expected]
        result = verdict(name, cells_of({(architecture, "greedy", claim.first.k[0], "none"): [expected] * 5}))
        assert result.published == expected
        assert result.margin == pytest.approx(expected + claim.margin)
        assert result.distance == pytest.approx(0)
        assert result.verdict == REPRODUCED


def test_the_distance_to_a_second_published_value_is_told():
    result = verdict("vgg19-k8", cells_of({("vgg19", "greedy", 8, "none"): [90.1, 90.2, 90.3]}))
    assert "published in abstract-icml: 91.00, distance −0.80" in result.reason


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("quantity: accuracy", "quantity: accuarcy", r"quantity 'accuarcy': unknown; did you mean 'accuracy'\?.*line"),
        ("selection: learned", "selection: lerned", r"selection 'lerned': unknown; did you mean 'learned'\?.*line \d+"),
        ("architectures: lenet", "architectures: lenett", r"architecture 'lenett': unknown; did you mean 'lenet'\?"),
        ("published: abstract-icml", "published: abstract-iclm", r"figure 'abstract-iclm': unknown"),
        ("    margin: -0.2", "    margni: -0.2", r"key 'margni': unknown; did you mean 'margin'\? \(.*line \d+\)"),
        ("lenet: mnist", "lenet: mnits", r"dataset 'mnits': unknown"),
        ("    second: {selection: learned}\n", "", r"lenet-matches-learned: difference needs a second group"),
        ("    published: abstract-v1\n", "", r"lenet-k2: accuracy needs the published figure"),
        ("k: [2, 4, 8, 16, 32, 64]", "k: [2, 4]", r"two-to-four: a largest gain needs three K"),
        ("second: {selection: probabilistic, k: [2, 4, 8, 16, 32]}", "second: {selection: probabilistic, k: [2, 4]}",
         r"gs-beats-ps: second needs one K"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path, old, new, sentence):
    text = claims.CLAIMS.read_text()
    assert old in text
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=sentence) as raised:
        claims.load(path)
    assert "\n" not in str(raised.value)
