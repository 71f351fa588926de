"""Clean accuracy is estimated from noisy labels: near the truth, with intervals, and with verified labels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.noise_fit import fit_noise
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.fitting.accuracy import accuracy_under_overlap, estimate_accuracy
from dilution.fitting.noise_choice import AssumedNoise


def simulated(noise_rate, separation=2.5, n=2000, seed=0, samples=20):
    """Return held-out probabilities of the classes, labels, true classes and the noise that is assumed."""
    predictions, true = noisy_predictions(transition_at(noise_rate), n=n, separation=separation, seed=seed)
    fit = fit_noise(predictions)
    alternative = fit_noise(predictions, clear=2.0)
    noise = AssumedNoise(fit, bootstrap(predictions, fit, samples=samples), alternative, is_uniform=False)
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
    assert estimate.agreement.value < estimate.clean.low


def test_no_model_agrees_with_more_labels_than_are_right():
    estimate, _ = estimated(0.4)
    assert estimate.largest_agreement.low <= 0.6 <= estimate.largest_agreement.high
    assert estimate.largest_agreement.value == pytest.approx(0.6, abs=0.06)
    assert estimate.agreement.value <= estimate.largest_agreement.high


def test_the_largest_agreement_weights_the_classes_by_their_shares():
    predictions, _ = noisy_predictions(np.array([[0.7, 0.3], [0.0, 1.0]]), n=2000, shares=[0.85, 0.15])
    fit = fit_noise(predictions)
    noise = AssumedNoise(fit, [fit, fit], fit, is_uniform=False)
    rows, none = np.arange(2000), np.full(2000, -1)
    estimate = estimate_accuracy(fit.class_probs, rows, predictions.labels, noise, none, None, 0)
    assert estimate.largest_agreement.value == pytest.approx(0.85 * 0.7 + 0.15, abs=0.05)


def test_copies_in_a_group_give_no_narrower_intervals_than_one_row_each():
    probs, labels, _, noise = simulated(0.3, n=400, samples=40)

    def repeated(fit, times):
        return replace(fit, class_probs=np.repeat(fit.class_probs, times, axis=0))

    single, copies = (
        estimate_accuracy(
            np.repeat(probs, times, axis=0),
            np.arange(400 * times)[times:],  # without the first group
            np.repeat(labels, times),
            AssumedNoise(
                repeated(noise.fit, times),
                [repeated(fit, times) for fit in noise.bootstrap_fits],
                repeated(noise.alternative, times),
                is_uniform=False,
            ),
            np.full(400 * times, -1),
            np.repeat(np.arange(400), times),
            0,
        )
        for times in (1, 5)
    )
    for name in ("clean", "agreement"):
        one, five = getattr(single, name), getattr(copies, name)
        assert five.value == pytest.approx(one.value)
        assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.1)


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


@pytest.mark.trains
def test_a_prediction_that_is_a_label_known_to_be_wrong_is_wrong():
    probs, labels, true, noise = simulated(0.3)
    predicted, wrong = probs.argmax(axis=1), labels != true
    answers = np.where(wrong, WRONG_CLASS_UNKNOWN, true)
    repeated = np.flatnonzero(wrong & (predicted == labels))
    alone = estimate_accuracy(probs, repeated, labels, noise, answers, None, 0)
    assert alone.clean.value == 0
    whole = estimate_accuracy(probs, np.arange(2000), labels, noise, answers, None, 0)
    assert whole.clean.value == pytest.approx((predicted == true).mean(), abs=0.02)


def test_intervals_contain_the_truth_also_where_classes_overlap():
    """Overlap counts as noise: the estimate is too high, and the interval has to reach down to the truth."""
    contained, errors = [], []
    for separation in (1.2, 2.0):
        for noise_rate in (0.1, 0.3):
            for seed in range(5):
                probs, labels, true, noise = simulated(noise_rate, separation, n=400, seed=seed, samples=5)
                accuracy = (probs.argmax(axis=1) == true).mean()
                none = np.full(400, -1)
                clean = estimate_accuracy(probs, np.arange(400), labels, noise, none, None, 0).clean
                contained.append(clean.low <= accuracy <= clean.high)
                errors.append(clean.value - accuracy)
    assert np.mean(contained) >= 0.9
    assert max(errors) > 0.1  # so that the test is of overlap


@given(st.floats(0.3, 1), st.floats(0, 0.6), st.integers(2, 50))
def test_overlap_lowers_the_accuracy_and_never_below_the_agreement(accuracy, noise_rate, classes):
    rate = min(noise_rate, 0.9 * (1 - 1 / classes))
    agreement = accuracy * (1 - rate) + (1 - accuracy) * rate / (classes - 1)
    lowered = accuracy_under_overlap(accuracy, agreement, rate, classes)
    assert min(agreement, accuracy) - 1e-9 <= lowered <= accuracy + 1e-9


def test_a_model_without_errors_has_no_overlap_to_allow_for():
    assert accuracy_under_overlap(1.0, 0.7, 0.3, 4) == pytest.approx(1.0)
    assert accuracy_under_overlap(0.8, 0.8, 0.0, 4) == pytest.approx(0.8)
    assert accuracy_under_overlap(0.8, 0.62, 0.3, 2) < 0.78


def test_verified_labels_leave_no_overlap_to_allow_for():
    probs, labels, true, noise = simulated(0.3, separation=1.5, n=600, samples=10)
    rows, none = np.arange(600), np.full(600, -1)
    wide = estimate_accuracy(probs, rows, labels, noise, none, None, 0).clean
    known = estimate_accuracy(probs, rows, labels, noise, true, None, 0).clean
    assert known.value - known.low < 0.5 * (wide.value - wide.low)
