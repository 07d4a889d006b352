"""What each dataset is. Adding one: an entry here, its hashes in hashes.csv, a reader in `sources`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    shape: tuple[int, int, int]
    """channels, height, width of an image as networks get it"""
    validation: float
    """the fraction of the training images that is held out, by one fixed split"""


DATASETS = {
    "digits": Dataset((1, 28, 28), validation=0.15),
    "mnist": Dataset((1, 28, 28), validation=0.15),
    "fashion-mnist": Dataset((1, 28, 28), validation=0.15),
    "cifar10": Dataset((3, 32, 32), validation=0.10),
}
