"""Clean accuracy is estimated from noisy labels: near the truth, with intervals, and with verified labels."""

import numpy as np
import pytest
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.noise_fit import fit_noise
from dilution.fitting.accuracy import estimate_accuracy
from dilution.fitting.noise_choice import AssumedNoise


def simulated(noise_rate, separation=2.5, n=2000):
    """Return held-out probabilities of the classes, labels, true classes and the noise that is assumed."""
    predictions, true = noisy_predictions(transition_at(noise_rate), n=n, separation=separation)
    fit = fit_noise(predictions)
    alternative = fit_noise(predictions, clear=2.0)
    noise = AssumedNoise(fit, bootstrap(predictions, fit, samples=20), alternative, is_uniform=False)
    return fit.class_probs, predictions.labels, true, noise


def estimated(noise_rate, verified=None, rows=None):
    probs, labels, true, noise = simulated(noise_rate)
    rows = np.arange(len(labels)) if rows is None else rows
    verified = np.full(len(labels), -1) if verified is None else verified
    right = probs[rows].argmax(axis=1) == true[rows]
    return estimate_accuracy(probs, rows, labels, noise, verified, None, 0), right.mean()


@pytest.mark.parametrize("noise_rate", [0.1, 0.4])
def test_the_interval_contains_the_clean_accuracy_and_not_the_agreement(noise_rate):
    estimate, accuracy = estimated(noise_rate)
    assert estimate.clean.low <= accuracy <= estimate.clean.high
    assert estimate.clean.value == pytest.approx(accuracy, abs=0.05)
    assert estimate.agreement.high < estimate.clean.low


def test_no_model_agrees_with_more_labels_than_are_right():
    estimate, _ = estimated(0.4)
    assert estimate.largest_agreement.low <= 0.6 <= estimate.largest_agreement.high
    assert estimate.largest_agreement.value == pytest.approx(0.6, abs=0.06)
    assert estimate.agreement.value <= estimate.largest_agreement.high


def test_rows_that_were_not_held_out_do_not_count():
    few, accuracy = estimated(0.3, rows=np.arange(0, 2000, 20))
    assert few.clean.low <= accuracy <= few.clean.high
    whole, _ = estimated(0.3)
    assert few.agreement.high - few.agreement.low > 2 * (whole.agreement.high - whole.agreement.low)


def test_verified_labels_are_counted():
    probs, labels, true, noise = simulated(0.3)
    rows = np.arange(2000)
    estimate = estimate_accuracy(probs, rows, labels, noise, true, None, 0)
    assert estimate.clean.value == pytest.approx((probs.argmax(axis=1) == true).mean())
