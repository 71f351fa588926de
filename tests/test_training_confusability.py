"""Confusability, measured on held-out clean images."""

import numpy as np
import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.training import confusability

pytestmark = pytest.mark.trains


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
