"""Evaluation: accuracy and normalised images."""

import pytest
import torch

from dilution.data import Arrays, load
from dilution.training.evaluation import Normalise, accuracy


def test_top_k_accuracy_is_the_share_of_labels_among_the_k_largest_logits():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(400, 20, generator=generator), torch.randint(20, (400,), generator=generator)
    ranks = (logits > logits.gather(1, labels[:, None])).sum(dim=1)
    assert accuracy(logits, labels) == pytest.approx(float((ranks == 0).double().mean()))
    assert accuracy(logits, labels, k=5) == pytest.approx(float((ranks < 5).double().mean()))
    assert accuracy(logits, labels, k=50) == 1.0


def test_normalised_training_images_have_mean_zero_and_deviation_one():
    digits = load("digits").train
    images = digits.images.repeat(1, 2, 1, 1)
    images[:, 1] = 9  # a channel of one value stays finite
    normalise = Normalise(Arrays(images, digits.labels), torch.arange(len(images)))
    normalised = normalise(images)
    assert float(normalised[:, 0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(normalised[:, 0].std()) == pytest.approx(1, abs=1e-4)
    assert float(normalised[:, 1].abs().max()) == pytest.approx(0, abs=1e-5)
