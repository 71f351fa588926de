"""Predicted probabilities by cross-validation, which noise that follows a model takes."""

from collections.abc import Callable

import numpy as np
import pytest

import dilution
from dilution.data import Arrays
from dilution.errors import InputError
from dilution.training import noise_for_data

MakeData = Callable[..., Arrays]


@pytest.mark.trains
def test_each_image_is_predicted_by_a_model_that_learned_without_it():
    data = dilution.load("digits").train
    first = dilution.predicted_probabilities(data, model="perceptron", epochs=30)
    assert first.shape == (len(data), 10)
    assert first.sum(axis=1) == pytest.approx(1.0)
    accuracy = (first.argmax(axis=1) == data.labels.numpy()).mean()
    assert 0.5 < accuracy < 0.99
    again = dilution.predicted_probabilities(data, model="perceptron", epochs=30)
    assert np.array_equal(first, again)


@pytest.mark.trains
def test_a_model_is_trained_for_noise_that_follows_its_predictions_alone(monkeypatch):
    data = dilution.load("digits").train
    noise = noise_for_data("idn(rate=0.2)", data, model="perceptron", epochs=1)
    assert dilution.Dilution(data, noise=noise).noise_summary().noise_rate_empirical == pytest.approx(
        0.2, abs=1e-3
    )
    monkeypatch.setattr("dilution.training.model_noise.predicted_probabilities", lambda *_, **__: 1 / 0)
    assert noise_for_data("symmetric(rate=0.2)", data).name == "symmetric"


def test_too_few_images_are_refused(make_data: MakeData):
    with pytest.raises(InputError, match="there are 9 images; cross-validation takes at least 10"):
        dilution.predicted_probabilities(make_data(9))
