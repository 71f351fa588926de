import hashlib

import numpy as np
import torch
from sklearn.datasets import load_digits

from dilution.data import DATASETS, load
from dilution.data.splits import every_fifth


def test_digits_have_the_sizes_that_the_list_promises() -> None:
    data, told = load("digits"), DATASETS["digits"]
    assert (len(data.train), len(data.test)) == (told.train, told.test) == (1437, 360)
    assert tuple(data.train.images.shape[1:]) == told.shape == (1, 8, 8)
    assert len(data.train.classes) == told.classes == 10


def test_digits_are_scaled_to_the_whole_range_of_uint8() -> None:
    levels = load("digits").train.images.unique().tolist()
    assert levels == [round(k * 255 / 16) for k in range(17)]


def test_digits_keep_each_image_with_its_label() -> None:
    bunch = load_digits()
    label = {image.tobytes(): k for image, k in zip(bunch.images, bunch.target, strict=True)}
    assert len(label) == 1797
    data = load("digits")
    seen = set()
    for half in (data.train, data.test):
        for image, k in zip(half.images.numpy(), half.labels.tolist(), strict=True):
            original = np.rint(image[0] * (16 / 255)).tobytes()
            assert label[original] == k
            seen.add(original)
    assert seen == set(label)  # no image is lost, none is in both halves


def test_digits_are_split_the_same_way_everywhere() -> None:
    data = load("digits")
    digest = hashlib.sha256(data.test.images.numpy().tobytes()).hexdigest()
    assert digest[:16] == "f8da3231f745dc76"
    assert torch.bincount(data.test.labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]


def test_every_fifth_takes_a_fifth_of_every_class_exact_to_less_than_one() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(7, size=1003, p=np.arange(1, 8) / 28)
    train, test = every_fifth(labels)
    assert sorted([*train, *test]) == list(range(1003))
    assert len(test) == 201
    share = np.bincount(labels[test], minlength=7) - np.bincount(labels) / 5
    assert np.abs(share).max() < 1
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


def test_every_fifth_leaves_every_class_something_to_train_on() -> None:
    labels = np.array([0, 1, 1, 2, 3, 4, 5, 5])
    train, test = every_fifth(labels)
    assert set(labels[train]) == {0, 1, 2, 3, 4, 5}
    assert test.tolist() == [1]
