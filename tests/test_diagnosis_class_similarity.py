"""The test whether wrong labels favour similar classes."""

import numpy as np
import pytest
import torch
from noisy_predictions import noisy_predictions, transition_at
from scipy.special import softmax

from dilution.data import Arrays
from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.class_similarity import class_similarity, similarity_test
from dilution.diagnosis.noise_fit import NoiseFit, fit_noise
from dilution.noise import structured


def similarity_of_random_classes(random, classes):
    centres = random.normal(size=(classes, 3))
    return -np.linalg.norm(centres[:, None] - centres[None], axis=2)


@pytest.mark.parametrize("order", ["confusing", "reverse", "random"])
def test_the_order_of_structured_noise_is_recognised(order):
    similarity = similarity_of_random_classes(np.random.default_rng(1), classes=6)
    table = None if order == "random" else softmax(3 * similarity, axis=1)
    transition = transition_at(0.4, structured(0.8, order, table), classes=6)
    predictions, _ = noisy_predictions(transition, n=2000)
    fit = fit_noise(predictions)
    fits = bootstrap(predictions, fit, samples=5)
    test = similarity_test(fit, fits, fit, similarity, patterned=True)
    assert test.kind == order
    assert test.correlation.low <= test.correlation.value <= test.correlation.high
    assert similarity_test(fit, fits, fit, similarity, patterned=False).kind == "undecided"


def test_classes_are_similar_if_their_mean_images_are_near():
    images = torch.zeros(90, 1, 2, 2, dtype=torch.uint8)
    predicted = np.arange(90) % 3
    images[predicted == 1] = 10
    images[predicted == 2] = 200
    fit = NoiseFit(np.eye(3), 1.0, np.zeros(3), np.eye(3)[predicted], np.full(3, 1 / 3), np.eye(3))
    data = Arrays(images, torch.zeros(90, dtype=torch.int64), ("a", "b", "c"))
    similarity = class_similarity(data, fit)
    np.testing.assert_allclose(similarity[0] / similarity[0, 1], [0, 1, 20], atol=1e-4)


def test_a_class_that_many_wrong_labels_name_is_not_similar_to_all():
    random = np.random.default_rng(0)
    significant = 0
    for _ in range(40):
        popularity = random.dirichlet(np.ones(8))
        transition = 0.6 * np.eye(8) + 0.4 * popularity
        similarity = similarity_of_random_classes(random, classes=8)
        fit = NoiseFit(transition, 1.0, np.zeros(8), np.eye(8), np.full(8, 1 / 8), np.eye(8))
        significant += similarity_test(fit, [fit] * 20, fit, similarity, patterned=True).kind != "random"
    assert significant <= 3  # of 40, at a level of 1 %
