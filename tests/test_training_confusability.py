"""Confusability, measured on held-out clean images."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.training import confusability
from dilution.training.confusability import FOLDS, _folds

pytestmark = pytest.mark.trains


@pytest.fixture
def splits(monkeypatch):
    """Return a list that receives the training and the held-out examples of each fold, without training."""
    folds = []

    def train(_model, noisy, *, test, **_):
        folds.append((noisy.data, test))
        return SimpleNamespace(predict=lambda held_out: torch.zeros(len(held_out), len(test.classes)))

    monkeypatch.setattr(sys.modules["dilution.training.confusability"], "train", train)
    return folds


@pytest.fixture(scope="module")
def matrix():
    return confusability(load("digits").train, model="mlp1")


def test_rows_are_distributions_over_predicted_classes(matrix):
    assert matrix.shape == (10, 10)
    assert matrix.dtype == np.float64
    assert np.allclose(matrix.sum(axis=1), 1)
    assert matrix.min() >= 0


def test_on_digits_the_true_class_is_the_most_likely_in_every_row(matrix):
    assert (matrix.argmax(axis=1) == np.arange(10)).all()


def test_it_repeats_and_depends_on_its_seed():
    data = load("digits").train
    few = Arrays(data.images[:200], data.labels[:200], data.classes)
    first, again, other = (confusability(few, model="perceptron", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_class_without_images_has_a_uniform_row():
    data = load("digits").train
    few = Arrays(data.images[:60], data.labels[:60].clamp(max=8), data.classes)
    matrix = confusability(few, model="perceptron")
    assert np.allclose(matrix[9], 0.1)
    assert np.allclose(matrix.sum(axis=1), 1)


def test_too_few_images_are_refused_with_a_remedy():
    few = Arrays(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), torch.arange(9) % 3)
    with pytest.raises(InputError, match=r"9 images; .* at least 10.*order='random'"):
        confusability(few)


def test_no_model_is_trained_on_copies_or_groups_of_the_images_it_predicts(splits):
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (40, 1, 2, 2)).astype(np.uint8)).repeat(3, 1, 1, 1)
    labels = torch.arange(40).remainder(4).repeat(3)
    groups = torch.from_numpy(random.permutation(120) // 6)
    for data in (Arrays(images, labels), Arrays(images, labels, groups=groups)):
        splits.clear()
        confusability(data)
        assert len(splits) == FOLDS
        for training, held_out in splits:
            if data.groups is None:
                sides = ({image.numpy().tobytes() for image in part.images} for part in (training, held_out))
            else:
                sides = (set(part.groups.tolist()) for part in (training, held_out))
            assert not set.intersection(*sides)


@pytest.mark.parametrize("copies", [1, 2])
def test_every_model_sees_each_class_that_is_not_one_group(splits, copies):
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (102, 1, 4, 4)).astype(np.uint8))
    labels = torch.tensor([0, 1] * 50 + [2, 2])  # the last class has two images
    data = Arrays(images.repeat(copies, 1, 1, 1), labels.repeat(copies))
    for seed in range(40):
        confusability(data, seed=seed)
    assert all(set(training.labels.tolist()) == {0, 1, 2} for training, _ in splits)


@pytest.mark.parametrize("n", [10, 11, 13, 100, 299])
def test_folds_are_consecutive_parts_where_every_class_lies_in_several(n):
    rows = torch.from_numpy(np.random.default_rng(n).permutation(n))
    labels = torch.zeros(n, dtype=torch.int64)
    for own, part in zip(_folds(rows, None, labels), rows.chunk(FOLDS), strict=True):
        assert torch.equal(own, part)
