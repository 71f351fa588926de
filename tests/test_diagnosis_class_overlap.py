"""Overlap of classes in a table: it makes the estimate an upper bound, and images have none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from noisy_predictions import noisy_predictions, transition_at
from reviewed_tables import diagnose_table, noisy_frame

from dilution.data import Arrays
from dilution.diagnosis.class_overlap import LARGE, measure_overlap
from dilution.diagnosis.noise_fit import fit_noise
from dilution.diagnosis.noise_limit import check_limit

N = 4000


def gaussians(distance, noise_rate, seed=0):
    """Return Bayes' probabilities of noisy labels, the labels, and true classes of two Gaussians."""
    random = np.random.default_rng(seed)
    true = random.integers(0, 2, N)
    feature = random.normal(size=N) + distance * true
    clean = 1 / (1 + np.exp(-distance * (feature - distance / 2)))
    labels = np.where(random.random(N) < noise_rate, 1 - true, true)
    noisy = noise_rate + (1 - 2 * noise_rate) * clean
    return np.stack([1 - noisy, noisy], axis=1), labels, true


def diagnose(distance, noise_rate=0.2):
    pred_probs, labels, true = gaussians(distance, noise_rate)
    return diagnose_table(noisy_frame(labels), pred_probs), float((labels != true).mean())


@pytest.mark.parametrize("noise_rate", [0.1, 0.2])
def test_where_classes_overlap_the_estimate_is_an_upper_bound_and_the_interval_has_the_truth(noise_rate):
    diagnosis, true_noise_rate = diagnose(1.5, noise_rate)
    assert diagnosis.classes_overlap
    assert diagnosis.is_upper_bound
    assert not diagnosis.has_few_examples
    assert diagnosis.answer.startswith("At most about ")
    assert "the classes seem to overlap" in diagnosis.answer
    rate = diagnosis.noise_rate
    assert rate.low <= true_noise_rate <= rate.high
    ignored = replace(diagnosis, overlap=0.0).noise_rate
    assert (ignored.value, ignored.high) == (rate.value, rate.high)
    assert rate.low < ignored.low - LARGE / 2
    check = check_limit(diagnosis, rate.low / 2)
    assert check.exit_code == 3
    assert "the estimate is only an upper bound" in check.sentence


def test_where_classes_are_apart_only_the_lower_bound_allows_for_the_rest_of_overlap():
    diagnosis, true_noise_rate = diagnose(5.0)
    assert 0 < diagnosis.overlap < LARGE
    assert not diagnosis.is_upper_bound
    rate, ignored = diagnosis.noise_rate, replace(diagnosis, overlap=0.0).noise_rate
    assert (rate.value, rate.high) == (ignored.value, ignored.high)
    assert ignored.low - diagnosis.overlap < rate.low < ignored.low
    assert rate.low <= true_noise_rate <= rate.high
    assert abs(diagnosis.noise_rate.value - true_noise_rate) < 0.02


def test_images_have_no_overlap_and_verified_labels_reduce_it():
    predictions, _ = noisy_predictions(transition_at(0.3, classes=3), n=600)
    fit, labels = fit_noise(predictions), torch.from_numpy(predictions.labels)
    names = ("ant", "bee", "cat")
    rows = Arrays(torch.zeros(600, 4, 1, 1), labels, names)
    images = Arrays(torch.zeros(600, 1, 2, 2), labels, names)
    assert measure_overlap(fit, images) == 0
    assert measure_overlap(fit, rows) > 0
    assert measure_overlap(fit, rows, 0.25) == pytest.approx(0.75 * measure_overlap(fit, rows))


@given(noise_rate=st.floats(0.0, 0.45), classes=st.integers(2, 5), seed=st.integers(0, 99))
def test_the_overlap_is_a_part_of_the_noise_rate(noise_rate, classes, seed):
    predictions, _ = noisy_predictions(transition_at(noise_rate, classes=classes), n=200, seed=seed)
    fit = fit_noise(predictions)
    rows = Arrays(
        torch.zeros(200, 1, 1, 1), torch.from_numpy(predictions.labels), tuple(map(str, range(classes)))
    )
    assert 0 <= measure_overlap(fit, rows) <= fit.noise_rate + 1e-12
