"""Every image once an epoch, in an order that is a function of seed and epoch; splits fixed for ever."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slotbench.data import batches
from slotbench.data.batches import Split, held_out, permutation, scale
from slotbench.data.sources import fetch
from slotbench.errors import InputError

CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]

SHUFFLED = [9, 8, 2, 5, 4, 3, 6, 1, 0, 7]
MNIST_VALIDATION = "66d0917cc12ea1195feac52e78e16c23f25bf2effd977da6a75b81b95af0b194"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    fetch("digits", folder)
    return batches.load("digits", folder, CPU)


def numbered(size: int, device: torch.device = CPU) -> Split:
    """Images that tell their number, and their left from their right; labels that repeat the number."""
    images = torch.zeros(size, 1, 2, 4, dtype=torch.uint8)
    numbers = torch.arange(size)
    images[:, 0, 0, 1] = (numbers // 256).to(torch.uint8)
    images[:, 0, 0, 0] = (numbers % 256).to(torch.uint8)
    images[:, 0, 1, 0] = 1
    return Split(images.to(device), numbers.to(device))


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 3000), batch=st.integers(1, 400), seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 500), flip=st.booleans(),
)  # fmt: skip
def test_an_epoch_has_every_image_once_with_its_label(size, batch, seed, epoch, flip):
    split = numbered(size)
    seen = []
    for images, labels in batches.epoch(split, batch, seed, epoch, flip):
        mirrored = images[:, 0, 1, 3] == 1
        assert flip or not mirrored.any()
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        torch.testing.assert_close(images, split.images[labels], rtol=0, atol=0)
        seen.append(labels)
    assert all(len(labels) == batch for labels in seen[:-1])
    assert sorted(torch.cat(seen).tolist()) == list(range(size))


def test_mnist_s_training_part_makes_399_batches():
    assert sum(1 for _ in batches.epoch(numbered(51_000), 128, seed=0, epoch=0, flip=False)) == 399


def test_half_of_the_images_are_mirrored_and_others_in_each_epoch():
    split = numbered(10_000)
    first, second = (
        {
            int(label)
            for images, labels in batches.epoch(split, 128, seed=0, epoch=epoch, flip=True)
            for label in labels[images[:, 0, 1, 3] == 1]
        }
        for epoch in (0, 1)
    )
    assert abs(len(first) - 5000) < 250  # five standard deviations
    assert abs(len(first & second) - 2500) < 250


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_the_order_depends_on_seed_and_epoch_only(device):
    def order(seed, epoch, batch=128):
        split = numbered(1000, device)
        return torch.cat([labels for _, labels in batches.epoch(split, batch, seed, epoch, flip=True)]).tolist()

    torch.manual_seed(1)
    reference = order(3, 7)
    torch.manual_seed(2)
    np.random.seed(2)
    assert order(3, 7) == reference == order(3, 7, batch=100)
    assert reference == permutation(1000, "shuffle", 3, 7).tolist()
    assert reference not in (order(3, 8), order(4, 7), order(7, 3))


@pytest.mark.parametrize("key", [(2**32, 1), (2**32 + 5, 1), (-1, 1), (0, 2**32)])
def test_seeds_and_epochs_that_would_repeat_the_draws_of_small_ones_are_refused(key):
    batches.raw_bits(8, "shuffle", 2**32 - 1, 1)
    with pytest.raises(ValueError, match="from 0 to 4294967295"):
        batches.raw_bits(8, "shuffle", *key)


def test_draws_stay_what_they_were_when_libraries_change():
    assert permutation(10, "shuffle", 0, 0).tolist() == SHUFFLED
    held = held_out(60_000, 0.15, "validation split")[1]
    assert hashlib.sha256(held.astype("<i8").tobytes()).hexdigest() == MNIST_VALIDATION


@given(size=st.integers(0, 2000), fraction=st.floats(0, 1))
def test_what_is_held_out_and_what_is_kept_make_up_the_whole(size, fraction):
    kept, held = held_out(size, fraction, "any")
    assert sorted([*kept, *held]) == list(range(size))
    assert abs(len(held) - size * fraction) <= 0.5
    np.testing.assert_array_equal(held, held_out(size, fraction, "any")[1])


@pytest.mark.parametrize(
    ("size", "fraction", "validation"), [(60_000, 0.15, 9000), (50_000, 0.10, 5000), (1438, 0.15, 216)]
)
def test_validation_has_the_paper_s_size(size, fraction, validation):
    assert len(held_out(size, fraction, "validation split")[1]) == validation


def test_evaluation_sees_every_image_in_its_order():
    split = numbered(1000)
    assert torch.cat([labels for _, labels in batches.whole(split, 300)]).tolist() == list(range(1000))


def test_digits_are_split_once_and_enlarged_for_lenet(digits):
    for split, size in ((digits.train, 1222), (digits.validation, 216), (digits.test, 359)):
        assert split.images.shape == (size, 1, 28, 28)
        assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
        assert set(split.labels.tolist()) == set(range(10))
    assert set(digits.hashes) == {"all/images", "all/labels"}


@given(st.lists(st.integers(0, 16), min_size=64, max_size=64))
def test_an_enlarged_digit_has_a_margin_and_its_pixels_as_blocks(values):
    digit = np.array(values, np.uint8).reshape(1, 8, 8)
    large = batches.enlarged(digit)
    assert large.shape == (1, 28, 28)
    blocks = large[0, 2:26, 2:26].reshape(8, 3, 8, 3)
    assert (np.ptp(blocks, axis=(1, 3)) == 0).all()
    np.testing.assert_array_equal(np.rint(blocks[:, 0, :, 0] / 255 * 16), digit[0])
    assert large.sum() == large[0, 2:26, 2:26].sum()


def test_random_labels_are_those_of_the_training_images_alone(digits, tmp_path):
    fetched = fetch("digits-random-labels", tmp_path)
    assert fetched.name == "digits.safetensors"
    drawn = batches.load("digits-random-labels", tmp_path, CPU)
    assert drawn.hashes == digits.hashes
    for name in ("train", "validation", "test"):
        assert torch.equal(getattr(drawn, name).images, getattr(digits, name).images)
    assert torch.equal(drawn.validation.labels, digits.validation.labels)
    assert torch.equal(drawn.test.labels, digits.test.labels)
    labels, true = drawn.train.labels, digits.train.labels
    expected = len(labels) / 10
    assert stats.chisquare(labels.bincount(minlength=10).numpy()).pvalue > 1e-4
    assert abs(int((labels == true).sum()) - expected) < 5 * expected**0.5
    again = batches.load("digits-random-labels", tmp_path, CPU)
    assert torch.equal(again.train.labels, labels), "drawn once, for every seed"


def test_training_images_are_normalised_to_mean_0_and_deviation_1_per_channel():
    images = np.random.default_rng(0).integers(0, 200, (500, 3, 8, 8), np.uint8)
    mean, std = batches.statistics(torch.from_numpy(images))
    np.testing.assert_allclose(mean.ravel(), images.mean((0, 2, 3)) / 255, rtol=1e-6)
    pixels = scale(torch.from_numpy(images), mean, std)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels.std((0, 2, 3), correction=0), torch.ones(3))


def test_statistics_are_those_of_the_training_part_alone(digits):
    torch.testing.assert_close(
        scale(digits.train.images, *batches.statistics(digits.train.images)).mean(),
        torch.tensor(0.0),
        atol=1e-6,
        rtol=0,
    )


def test_scaled_images_lie_between_0_and_1():
    pixels = scale(torch.arange(256, dtype=torch.uint8))
    assert pixels[[0, 255]].tolist() == [0, 1]
    assert pixels.dtype == torch.float32


def test_data_that_was_not_fetched_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="slotbench fetch cifar10"):
        batches.load("cifar10", tmp_path, CPU)
