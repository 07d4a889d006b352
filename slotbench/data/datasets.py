"""What each dataset is. Adding one: an entry here, its hashes in hashes.csv, a reader in `sources`."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Dataset:
    shape: tuple[int, int, int]
    """channels, height, width of an image as networks get it"""
    validation: float
    """the fraction of the training images that is held out, by one fixed split"""
    random_labels_of: str | None = None
    """the dataset whose file and splits it has; only its training labels are others, drawn once at random"""
    label: str = ""
    """what reports call it; its name, if empty"""


DATASETS = {
    "digits": Dataset((1, 28, 28), validation=0.15),
    "mnist": Dataset((1, 28, 28), validation=0.15, label="MNIST"),
    "fashion-mnist": Dataset((1, 28, 28), validation=0.15, label="Fashion-MNIST"),
    "cifar10": Dataset((3, 32, 32), validation=0.10, label="CIFAR-10"),
}
DATASETS |= {
    f"{name}-random-labels": replace(
        entry, random_labels_of=name, label=f"{entry.label} with random labels" if entry.label else ""
    )
    for name, entry in DATASETS.items()
}


def stored(dataset: str) -> str:
    """The dataset whose file holds the images of `dataset`: its own, but for random labels."""
    return DATASETS[dataset].random_labels_of or dataset
