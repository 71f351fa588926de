"""How probable it is that a label is wrong: an average over bootstrap fits and over what overlap there is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.bootstrap import bootstrap
from dilution.diagnosis.label_judgement import _with_overlap, judge_labels
from dilution.diagnosis.noise_fit import NoiseFit, fit_noise


def sharp_fit(doubt, classes=3, n=300, noise_rate=0.3):
    """Return a fit that gives every example one class with probability 1 − doubt."""
    q = np.full((n, classes), doubt / (classes - 1))
    q[np.arange(n), np.arange(n) % classes] = 1 - doubt
    even = np.full(classes, 1 / classes)
    transition = transition_at(noise_rate, classes=classes)
    return NoiseFit(transition, 1.0, np.zeros(classes), q, even, np.eye(classes))


@settings(max_examples=50)
@given(doubt=st.floats(0, 0.6), noise_rate=st.floats(0.2, 0.6), classes=st.integers(2, 6))
def test_both_versions_explain_the_labels_equally_well(doubt, noise_rate, classes):
    fit = sharp_fit(min(doubt, 1 - 1 / classes), classes, noise_rate=noise_rate * (1 - 1 / classes))
    version = _with_overlap(fit)
    np.testing.assert_allclose(version.class_probs.sum(axis=1), 1)
    np.testing.assert_allclose(version.transition.sum(axis=1), 1)
    if version.transition.min() > 2e-4:  # no entry was cut off
        expected = fit.class_probs @ fit.transition
        np.testing.assert_allclose(version.class_probs @ version.transition, expected, atol=1e-9)


def test_models_without_a_doubt_are_believed():
    fit = sharp_fit(0.0)
    labels = np.arange(300) // 100 % 3
    np.testing.assert_allclose(judge_labels(fit, [], labels).p_wrong, fit.judge_labels(labels).p_wrong)


def test_the_more_models_doubt_the_less_sure_are_wrong_labels():
    labels = np.roll(np.arange(300) % 3, 1)  # none is the class that models predict
    p_wrong = [judge_labels(sharp_fit(doubt), [], labels).p_wrong.mean() for doubt in (0.0, 0.05, 0.1, 0.2)]
    assert p_wrong == sorted(p_wrong, reverse=True)
    fit = sharp_fit(0.2)
    assert p_wrong[-1] < fit.judge_labels(labels).p_wrong.mean() - 0.05


def test_p_wrong_and_the_suggestion_come_from_one_average():
    predictions, _ = noisy_predictions(transition_at(0.3, classes=3), n=600)
    fit = fit_noise(predictions)
    samples = bootstrap(predictions, fit, samples=30)
    judged = judge_labels(fit, samples, predictions.labels)
    assert ((judged.p_wrong >= 0) & (judged.p_wrong <= 1)).all()
    same = judged.suggested == predictions.labels
    np.testing.assert_allclose(judged.p_suggested[same], 1 - judged.p_wrong[same])
    assert (judged.p_suggested[~same] <= judged.p_wrong[~same] + 1e-12).all()
    assert (judged.p_suggested >= 1 / 3).all()


@pytest.mark.parametrize("seed", range(3))
def test_where_classes_overlap_probabilities_are_nearer_to_the_truth_than_those_of_one_fit(seed):
    predictions, true = noisy_predictions(transition_at(0.3, classes=2), separation=1.0, seed=seed)
    fit = fit_noise(predictions)
    is_wrong = predictions.labels != true
    averaged = judge_labels(fit, bootstrap(predictions, fit, samples=25), predictions.labels).p_wrong
    assert log_loss(averaged, is_wrong) < log_loss(fit.judge_labels(predictions.labels).p_wrong, is_wrong)


def log_loss(p_wrong, is_wrong):
    p_wrong = p_wrong.clip(1e-6, 1 - 1e-6)
    return -np.where(is_wrong, np.log(p_wrong), np.log(1 - p_wrong)).mean()


def test_bootstrap_fits_take_the_place_of_the_fit():
    fit = sharp_fit(0.1)
    other = replace(fit, transition=transition_at(0.5, classes=3))
    labels = np.arange(300) % 3
    by_samples = judge_labels(fit, [other], labels).p_wrong
    np.testing.assert_allclose(by_samples, judge_labels(other, [], labels).p_wrong)
    assert np.abs(by_samples - judge_labels(fit, [], labels).p_wrong).max() > 0.01
