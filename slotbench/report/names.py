"""What reports call things: a network, a method. Here once, for figures, tables, claims and the terminal."""

from __future__ import annotations

import re

from slotbench.architectures import ARCHITECTURES
from slotbench.data.datasets import DATASETS
from slotbench.selection import SELECTIONS


def network(dataset: object, architecture: object) -> str:
    """ "LeNet-300-100 on MNIST"; names that no table knows stay as they are."""
    return f"{architecture_label(architecture)} on {dataset_label(dataset)}"


def architecture_label(name: object) -> str:
    return (name in ARCHITECTURES and ARCHITECTURES[str(name)].label) or str(name)


def dataset_label(name: object) -> str:
    return (name in DATASETS and DATASETS[str(name)].label) or str(name)


def selection_label(name: str) -> str:
    return (name in SELECTIONS and SELECTIONS[name].label) or name


def in_words(text: str) -> str:
    """`text` with the labels of networks and datasets in place of their names."""
    labels = {name: entry.label for known in (ARCHITECTURES, DATASETS) for name, entry in known.items()}
    return re.sub(r"[\w-]+", lambda word: labels.get(word[0]) or word[0], text)


def method(selection: str, k: int | str = 1, finetune: str = "none") -> str:
    """ "greedy at K = 8, finetuned from epoch 100"; a rule without options has no K."""
    options = selection not in SELECTIONS or SELECTIONS[selection].has_options
    start = {"none": "", "last": ", finetuned from the last checkpoint"}.get(
        finetune, f", finetuned from epoch {finetune[1:]}"
    )
    return selection_label(selection) + (f" at K = {k}" if options else "") + start
