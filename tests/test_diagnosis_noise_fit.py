"""The fit that separates errors of models from errors of labels, on predictions whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_predictions import CLASSES, noisy_predictions, transition_at
from scipy.optimize import check_grad

from dilution.diagnosis.anchors import CLEAR, find_anchors
from dilution.diagnosis.noise_fit import HeldOutPredictions, NoiseFit, _named_by_labels, fit_noise, likelihood
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.noise import structured, uniform


@pytest.mark.parametrize("noise_rate", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("noise", [uniform(), structured(0.7)], ids=["uniform", "structured"])
def test_noise_rate_and_transition_are_recovered_though_the_model_errs(noise_rate, noise):
    transition = transition_at(noise_rate, noise)
    predictions, true = noisy_predictions(transition)
    fit = fit_noise(predictions)
    assert fit.noise_rate == pytest.approx((predictions.labels != true).mean(), abs=0.05)
    assert np.abs(fit.transition - transition).mean() < 0.04
    np.testing.assert_allclose(fit.transition.sum(axis=1), 1)
    np.testing.assert_allclose(fit.prior, np.bincount(true) / len(true), atol=0.06)


def test_noise_rates_weight_the_classes_by_their_shares():
    transition, prior = np.array([[0.95, 0.05], [0.4, 0.6]]), np.array([0.9, 0.1])
    fit = NoiseFit(transition, 1.0, np.zeros(2), prior[None], prior, np.eye(2))
    assert fit.noise_rate == pytest.approx(0.9 * 0.05 + 0.1 * 0.4)
    np.testing.assert_allclose(fit.label_noise_rates, [0.04 / 0.895, 0.045 / 0.105])


def test_noise_of_a_frequent_class_is_recovered():
    """Standard errors are about 0.01 for the shares of classes and 0.02 for those of wrong labels."""
    predictions, true = noisy_predictions(np.array([[0.8, 0.2], [0.0, 1.0]]), shares=[0.85, 0.15])
    wrong = predictions.labels != true
    fit = fit_noise(predictions)
    assert fit.noise_rate == pytest.approx(wrong.mean(), abs=0.03)
    np.testing.assert_allclose(fit.prior, np.bincount(true) / len(true), atol=0.03)
    of_labels = [wrong[predictions.labels == label].mean() for label in range(2)]
    np.testing.assert_allclose(fit.label_noise_rates, of_labels, atol=0.08)


def test_a_rare_class_whose_labels_are_mostly_wrong_keeps_its_name():
    """Without their shares the classes would swap names: 0.4 + 0.9 is more than 0.6 + 0.1."""
    transition, prior = np.array([[0.6, 0.4], [0.9, 0.1]]), np.array([0.9, 0.1])
    fit = NoiseFit(transition, 1.0, np.zeros(2), prior[None], prior, np.eye(2))
    np.testing.assert_array_equal(_named_by_labels(fit).transition, transition)


def test_errors_of_the_model_do_not_count_as_label_noise():
    predictions, _ = noisy_predictions(transition_at(0.0), separation=2.0)
    disagreement = (predictions.pred_probs.argmax(axis=1) != predictions.labels).mean()
    assert disagreement > 0.15  # the noise rate that counting disagreements would give
    assert fit_noise(predictions).noise_rate < disagreement / 3


def test_the_gradient_is_that_of_the_likelihood():
    predictions, true = noisy_predictions(transition_at(0.3), n=200)
    verified = np.where(np.arange(200) < 20, true, -1)
    loss = likelihood(replace(predictions, verified=verified), np.log(predictions.pred_probs))
    parameters = np.random.default_rng(0).normal(size=len(loss.bounds)) / 3
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], parameters) < 1e-6


def test_an_example_of_weight_two_counts_as_two_examples():
    predictions, _ = noisy_predictions(transition_at(0.3), n=600)
    rows = np.r_[np.arange(600), np.arange(300)]
    repeated = HeldOutPredictions(
        predictions.pred_probs[rows], predictions.labels[rows], predictions.verified[rows], np.ones(900)
    )
    weighted = replace(predictions, weights=np.where(np.arange(600) < 300, 2.0, 1.0))
    assert fit_noise(weighted).noise_rate == pytest.approx(fit_noise(repeated).noise_rate, abs=5e-3)


def test_verified_labels_show_class_names_that_noisy_labels_cannot():
    swapped = transition_at(0.2)[[1, 0, 2, 3]]  # the first two classes mostly have each other's label
    predictions, true = noisy_predictions(swapped)
    assert fit_noise(predictions).noise_rate < 0.3
    verified = np.where(np.arange(len(true)) < 200, true, -1)
    fit = fit_noise(replace(predictions, verified=verified))
    assert fit.noise_rate == pytest.approx((predictions.labels != true).mean(), abs=0.03)


def test_the_posterior_combines_prediction_and_label():
    transition = transition_at(0.3)
    even = np.full((1, CLASSES), 1 / CLASSES)
    fit = NoiseFit(transition, 1.0, np.zeros(CLASSES), even, even[0], transition)
    posterior = fit.posterior(np.array([2]))
    np.testing.assert_allclose(posterior[0], transition[:, 2] / transition[:, 2].sum())


@pytest.mark.parametrize("seed", range(2))
def test_labels_that_are_wrong_without_another_class_are_evidence(seed):
    """Of the most doubtful labels hardly any is right: those alone would name the classes wrongly."""
    predictions, true = noisy_predictions(transition_at(0.3, classes=4), n=1500, separation=2.0, seed=seed)
    doubtful = np.argsort(-fit_noise(predictions).judge_labels(predictions.labels).p_wrong)[:300]
    answers = np.where(predictions.labels == true, true, WRONG_CLASS_UNKNOWN)
    verified = np.full(len(true), -1)
    verified[doubtful] = answers[doubtful]
    known = fit_noise(replace(predictions, verified=verified))
    assert known.noise_rate == pytest.approx((predictions.labels != true).mean(), abs=0.02)


def test_the_gradient_knows_labels_that_are_wrong_without_another_class():
    predictions, true = noisy_predictions(transition_at(0.3, classes=3), n=60)
    answers = np.where(predictions.labels == true, true, WRONG_CLASS_UNKNOWN)
    predictions = replace(predictions, verified=np.where(np.arange(60) % 3 == 0, answers, -1))
    anchors, transition = find_anchors(predictions.pred_probs, predictions.labels, predictions.weights, CLEAR)
    loss = likelihood(predictions, predictions.log_unmixed(anchors))
    point = np.r_[0.1, 0.2, -0.1, np.log(transition + 0.05).ravel()]
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], point) < 1e-5
