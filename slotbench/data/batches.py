"""A dataset on the device: its fixed splits, epochs in shuffled batches, and the scale networks expect.

Every draw is made on the CPU from raw bits of NumPy's Philox generator, whose stream NumPy promises to
keep: the same images in the same order on every device and with every version of a library. There are no
worker processes: a whole dataset is one uint8 tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from slotbench.data.datasets import DATASETS, stored
from slotbench.data.sources import pinned, read

DIGITS_TEST = 0.20
"""The fraction of digits that is its test set; the other datasets come with one."""


@dataclass(frozen=True, eq=False)
class Split:
    """Some of a dataset's images, on one device."""

    images: Tensor
    """uint8 [n, channels, height, width]"""
    labels: Tensor
    """int64 [n]"""


@dataclass(frozen=True, eq=False)
class Data:
    """A dataset, on one device."""

    train: Split
    validation: Split
    test: Split
    hashes: dict[str, str]
    """array ("train/images") → its SHA-256, verified"""


def load(dataset: str, data_dir: Path, device: torch.device) -> Data:
    """The dataset that `slotbench fetch` stored in `data_dir`; its hashes are verified anew.

    The validation split is drawn once from the training images and is the same for every seed (15 % for
    the smaller datasets, 10 % for CIFAR-10). So are random labels, which only `train` has. An `InputError` names a file
    that is missing or altered.
    """
    arrays = read(stored(dataset), data_dir)
    if "all/images" in arrays:  # digits: neither an official test set nor the size that LeNet takes
        images, labels = enlarged(arrays["all/images"]), arrays["all/labels"]
        rest, test = held_out(len(images), DIGITS_TEST, "test split")
        arrays = {
            "train/images": images[rest], "train/labels": labels[rest],
            "test/images": images[test], "test/labels": labels[test],
        }  # fmt: skip
    shape = DATASETS[dataset].shape
    images, labels = arrays["train/images"].reshape(-1, *shape), arrays["train/labels"]
    train, validation = held_out(len(images), DATASETS[dataset].validation, "validation split")
    taught = labels[train]
    if DATASETS[dataset].random_labels_of:
        taught = (raw_bits(len(train), "random labels") % (np.uint64(labels.max()) + np.uint64(1))).astype(labels.dtype)

    def split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Split:
        return Split(
            torch.from_numpy(images.reshape(-1, *shape)).to(device),
            torch.from_numpy(labels.astype(np.int64)).to(device),
        )

    return Data(
        split(images[train], taught),
        split(images[validation], labels[validation]),
        split(arrays["test/images"], arrays["test/labels"]),
        {name: one.sha256 for name, one in pinned(stored(dataset)).items()},
    )


def epoch(split: Split, batch: int, seed: int, epoch: int, flip: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in batches (uint8 [batch, c, h, w], int64 [batch]); the last may be smaller.

    The order, and with `flip` which images are mirrored left to right (half of them), depend on `seed`
    and `epoch` only.
    """
    size, device = len(split.labels), split.labels.device
    order = torch.from_numpy(permutation(size, "shuffle", seed, epoch)).to(device)
    mirrored = raw_bits(size, "flip", seed, epoch) >> 63 == 1 if flip else np.zeros(size, np.bool_)
    # gathered some batches at a time: few enough for the processor's cache, enough that a GPU's launches
    # do not count
    several = 8 * batch
    mirrors = torch.split(torch.from_numpy(mirrored).to(device), several)
    for places, mirror in zip(torch.split(order, several), mirrors, strict=True):
        images, labels = split.images.index_select(0, places), split.labels.index_select(0, places)
        if flip:
            images = torch.where(mirror[:, None, None, None], images.flip(3), images)
        yield from zip(torch.split(images, batch), torch.split(labels, batch), strict=True)


def whole(split: Split, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image once, in its fixed order, in batches such as `epoch`'s: for evaluation."""
    return zip(torch.split(split.images, batch), torch.split(split.labels, batch), strict=True)


def scale(images: Tensor, mean: Tensor | None = None, std: Tensor | None = None) -> Tensor:
    """uint8 images as float32: from 0 to 1, or, given `statistics`, normalised per channel."""
    pixels = images.to(torch.float32).div_(255)
    return pixels if mean is None or std is None else pixels.sub_(mean).div_(std)


def enlarged(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [n, 8, 8] with values 0 to 16 → uint8 [n, 28, 28] with values 0 to 255.

    Each pixel becomes a block of 3 × 3, with a margin of 2 around them.
    """
    pixels = (digits.astype(np.uint16) * 255 // 16).astype(np.uint8)
    return np.pad(pixels.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))


def statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel of uint8 [n, c, h, w], each float32 [c, 1, 1], 1 being white.

    From exact counts of the 256 values, so that no order of summation can show.
    """
    values = np.arange(256, dtype=np.float64) / 255
    moments = []
    for channel in range(images.shape[1]):
        pixels = images[:, channel].reshape(-1)
        share = torch.bincount(pixels, minlength=256).cpu().numpy() / pixels.numel()
        mean = float((share * values).sum())
        moments.append((mean, float((share * (values - mean) ** 2).sum()) ** 0.5))
    mean_std = torch.tensor(moments, dtype=torch.float32, device=images.device).T.reshape(2, -1, 1, 1)
    return mean_std[0], mean_std[1]


def held_out(size: int, fraction: float, purpose: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of what is kept and of what is held out, both ascending, from one fixed draw."""
    order = permutation(size, purpose)
    count = round(size * fraction)
    return np.sort(order[count:]), np.sort(order[:count])


def permutation(size: int, purpose: str, *key: int) -> npt.NDArray[np.int64]:
    bits = raw_bits(size, purpose, *key)
    order = np.argsort(bits)  # in half the time of a stable sort, which only ties can tell from it
    ordered = bits[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(bits, kind="stable")
    return order.astype(np.int64, copy=False)


def raw_bits(size: int, purpose: str, *key: int) -> npt.NDArray[np.uint64]:
    """`size` words of 64 random bits, a function of the purpose and the key (integers from 0 to 2³² - 1)."""
    if not all(0 <= part < 2**32 for part in key):  # NumPy splits a larger one into words: (2³² + 5, 0) would be (5, 1)
        raise ValueError(
            f"{purpose} {key}: seed and epoch are from 0 to {2**32 - 1}; larger ones repeat small ones' draws"
        )
    stream = np.random.Philox(np.random.SeedSequence([int.from_bytes(purpose.encode()), *key]))
    return stream.random_raw(size)
