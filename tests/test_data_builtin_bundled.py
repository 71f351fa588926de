import hashlib

import numpy as np
import torch
from sklearn.datasets import load_digits

from dilution.data import DATASETS, load


def test_digits_have_the_sizes_of_their_description() -> None:
    data, description = load("digits"), DATASETS["digits"]
    assert (len(data.train), len(data.test)) == (description.train, description.test) == (1437, 360)
    assert tuple(data.train.images.shape[1:]) == description.shape == (1, 8, 8)
    assert len(data.train.classes) == description.classes == 10


def test_digits_are_scaled_to_the_whole_range_of_uint8() -> None:
    levels = load("digits").train.images.unique().tolist()
    assert levels == [round(level * 255 / 16) for level in range(17)]


def test_each_image_keeps_its_label_and_is_in_one_split() -> None:
    bunch = load_digits()
    label_of = {image.tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    assert len(label_of) == 1797
    data = load("digits")
    originals = set()
    for arrays in (data.train, data.test):
        for image, label in zip(arrays.images.numpy(), arrays.labels.tolist(), strict=True):
            original = np.rint(image[0] * (16 / 255)).tobytes()
            assert label_of[original] == label
            originals.add(original)
    assert originals == set(label_of)


def test_digits_are_split_the_same_way_everywhere() -> None:
    data = load("digits")
    digest = hashlib.sha256(data.test.images.numpy().tobytes()).hexdigest()
    assert digest[:16] == "f8da3231f745dc76"
    assert torch.bincount(data.test.labels).tolist() == [36, 36, 36, 36, 37, 36, 36, 36, 35, 36]


def test_photos_have_the_sizes_of_their_description_and_do_not_overlap() -> None:
    data, description = load("photos"), DATASETS["photos"]
    assert (len(data.train), len(data.test)) == (description.train, description.test)
    assert data.train.shape == description.shape
    images = torch.cat([data.train.images, data.test.images])
    assert len({image.numpy().tobytes() for image in images}) == len(images)
