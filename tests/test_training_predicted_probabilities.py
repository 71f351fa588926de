"""Predicted probabilities, by cross-validation or averaged over epochs, which noise of a model takes."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from commands import dilution as command
from commands import succeeded

import dilution
from dilution.data import Arrays
from dilution.errors import InputError
from dilution.training import TrainConfig, TrainTask, noise_for_data, train_together

MakeData = Callable[..., Arrays]


@pytest.mark.trains
def test_predicted_probabilities_are_repeatable_and_mostly_right():
    data = dilution.load("digits").train
    first = dilution.predicted_probabilities(data, model="perceptron", epochs=30)
    assert first.shape == (len(data), 10)
    assert first.sum(axis=1) == pytest.approx(1.0)
    accuracy = (first.argmax(axis=1) == data.labels.numpy()).mean()
    assert 0.5 < accuracy < 0.99
    again = dilution.predicted_probabilities(data, model="perceptron", epochs=30)
    assert np.array_equal(first, again)


@pytest.mark.trains
def test_labels_without_a_pattern_are_predicted_by_chance():
    """A model that had learned the image itself would be right on 97 %; a standard error of chance is 5 %."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8, generator=random)
    data = Arrays(images, torch.arange(100) % 2, ("a", "b"))
    probabilities = dilution.predicted_probabilities(data, model="mlp1", epochs=100)
    assert 0.3 < (probabilities.argmax(axis=1) == data.labels.numpy()).mean() < 0.7


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


@pytest.mark.trains
def test_averaged_predictions_are_the_mean_of_those_after_each_epoch():
    data = dilution.load("digits").train
    settings = {"model": "mlp1", "seed": 3, "average_epochs": True}
    first, both = (dilution.predicted_probabilities(data, epochs=epochs, **settings) for epochs in (1, 2))
    second = 2 * both - first  # an epoch of two is the training of one epoch
    for part in (first, both, second):
        np.testing.assert_allclose(part.sum(axis=1), 1)
        assert part.min() > -1e-12
    labels = data.labels.numpy()
    accuracy = [(part.argmax(axis=1) == labels).mean() for part in (first, second)]
    assert 0.2 < accuracy[0] < accuracy[1]
    task = TrainTask(
        "mlp1", dilution.Dilution(data, alpha=0), data, 3, 1,
        TrainConfig(targets="pooled", optimizer="adam", lr=1e-3, epochs=2, n_evals=1),
        label_weights=torch.nn.functional.one_hot(data.labels, 10).float(),
    )  # fmt: skip
    (result,) = train_together([task])
    np.testing.assert_allclose(result.predict(data).numpy(), second, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.trains
def test_a_gpu_averages_the_predictions_that_the_cpu_averages():
    data = dilution.load("digits").train
    settings = {"model": "conv2", "epochs": 1, "average_epochs": True}
    on_cpu, on_gpu = (
        dilution.predicted_probabilities(data, device=device, **settings) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_gpu, on_cpu, atol=0.02)


@pytest.mark.parametrize(("epochs", "whole"), [(1.5, 2), (0.2, 1), (math.inf, 3), (math.nan, 3)])
def test_predictions_are_averaged_over_whole_epochs(make_data, epochs, whole):
    with pytest.raises(InputError, match=rf"epochs is {epochs}; .* Give epochs={whole}\."):
        dilution.predicted_probabilities(make_data(30), epochs=epochs, average_epochs=True)


@pytest.mark.trains
def test_the_command_draws_labels_by_averaged_predictions(tmp_path):
    words = ["data", "noisy", "digits", "a.npy", "--noise", "idn(rate=0.2)", "--model", "perceptron"]
    printed = succeeded(command(*words, "--epochs", 1, "--average-epochs", cwd=tmp_path))
    assert "labels of idn(rate=0.2): 19.9" in printed or "labels of idn(rate=0.2): 20.0" in printed
    train = dilution.load("digits").train
    probabilities = dilution.predicted_probabilities(train, model="perceptron", epochs=1, average_epochs=True)
    expected = dilution.Dilution(train, noise=dilution.idn(0.2, probabilities)).own_labels
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected.numpy())
