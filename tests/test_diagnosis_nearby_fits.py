"""Fits to samples of the examples, searched along the curvature of the fit to all of them."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_predictions import noisy_predictions, transition_at
from threadpoolctl import threadpool_limits

from dilution.diagnosis import nearby_fits
from dilution.diagnosis.bootstrap import bootstrap, sample_weights
from dilution.diagnosis.nearby_fits import NearbyFits
from dilution.diagnosis.noise_fit import fit_noise, likelihood, maximise_likelihood, parameters_of
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN

CASES = {
    "even": noisy_predictions(transition_at(0.3), n=900),
    "two classes": noisy_predictions(transition_at(0.2, classes=2), n=300, seed=1),
    "overlap": noisy_predictions(transition_at(0.3, classes=6), n=700, separation=1.5, seed=2),
    "no noise": noisy_predictions(transition_at(0.0), n=400, seed=3),
    "few of a class": noisy_predictions(transition_at(0.3, classes=12), n=150, seed=4),
}


def with_answers(name):
    predictions, true = CASES[name]
    answers = np.where(predictions.labels == true, true, WRONG_CLASS_UNKNOWN)
    return replace(predictions, verified=np.where(np.arange(len(true)) % 9 == 0, answers, -1))


@pytest.mark.parametrize("answered", [False, True])
def test_the_information_is_the_mean_outer_product_of_the_gradients_of_single_examples(answered):
    predictions = with_answers("even") if answered else CASES["even"][0]
    n = 40
    part = replace(
        predictions,
        **{name: getattr(predictions, name)[:n] for name in ("pred_probs", "labels", "verified", "weights")},
    )
    log_unmixed = np.log(part.pred_probs)
    weights = np.arange(n) % 3 + 0.0
    parameters = np.random.default_rng(0).normal(size=20) / 3
    parameters[0] = 0.0  # where the prior has no slope
    information = likelihood(replace(part, weights=weights), log_unmixed).information(parameters)
    expected = np.zeros((20, 20))
    for example in np.flatnonzero(weights):
        alone = likelihood(replace(part, weights=np.eye(n)[example]), log_unmixed)
        gradient = alone(parameters)[1]
        expected += weights[example] * np.outer(gradient, gradient) / weights.sum()
    expected[0, 0] += 1 / (0.25**2 * weights.sum())
    np.testing.assert_allclose(information, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_fit_is_as_likely_as_that_of_a_search_without_scale(name, answered):
    predictions = with_answers(name) if answered else CASES[name][0]
    fit = fit_noise(predictions)
    log_unmixed = predictions.log_unmixed(fit.anchors)
    nearby = NearbyFits(predictions, fit)
    for weights in sample_weights(len(predictions.labels), None, 4, seed=0):
        sample_fit = nearby.fit(weights)
        sample = replace(predictions, weights=weights)
        plain = maximise_likelihood(sample, log_unmixed, fit)
        loss = likelihood(sample, log_unmixed)
        assert loss(parameters_of(sample_fit))[0] < loss(parameters_of(plain))[0] + 2e-5
        assert sample_fit.class_probs.shape == fit.class_probs.shape
        np.testing.assert_allclose(sample_fit.transition.sum(axis=1), 1)
        np.testing.assert_array_equal(sample_fit.anchors, fit.anchors)


def test_the_fit_to_the_examples_themselves_is_the_fit():
    predictions, _ = CASES["even"]
    fit = fit_noise(predictions)
    again = NearbyFits(predictions, fit).fit(predictions.weights)
    np.testing.assert_allclose(again.transition, fit.transition, atol=2e-3)
    assert again.noise_rate == pytest.approx(fit.noise_rate, abs=5e-4)


def test_no_label_becomes_impossible_where_a_sample_lacks_it():
    predictions, _ = CASES["few of a class"]
    nearby = NearbyFits(predictions, fit_noise(predictions))
    sample_fit = nearby.fit((predictions.labels != 3).astype(np.float64))
    assert sample_fit.transition.min() > 1e-10  # as small as the fit itself may be
    judged = sample_fit.judge_labels(predictions.labels)
    assert np.isfinite(judged.p_wrong).all()


def test_bootstrap_fits_have_the_same_bits_on_any_number_of_threads():
    predictions, _ = CASES["even"]
    fit = fit_noise(predictions)
    fits_by_threads = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            fits_by_threads.append(bootstrap(predictions, fit, samples=2))
    for one, other in zip(*fits_by_threads, strict=True):
        np.testing.assert_array_equal(one.transition, other.transition)


def narrowed(predictions, log_unmixed):
    """Return a likelihood whose bounds exclude every calibration."""
    loss = likelihood(predictions, log_unmixed)
    loss.__class__ = type("Narrowed", (type(loss),), {"bounds": [(50.0, 60.0)] * len(loss.bounds)})
    return loss


@pytest.mark.parametrize(
    ("setting", "value"),
    [("MAX_CLASSES", 3), ("likelihood", narrowed)],
    ids=["many classes", "a calibration out of bounds"],
)
def test_where_the_scaled_search_does_not_serve_it_is_that_of_the_fit_itself(monkeypatch, setting, value):
    predictions, _ = CASES["even"]
    fit = fit_noise(predictions)
    weights = next(iter(sample_weights(len(predictions.labels), None, 1, seed=0)))
    monkeypatch.setattr(nearby_fits, setting, value)
    sample_fit = NearbyFits(predictions, fit).fit(weights)
    log_unmixed = predictions.log_unmixed(fit.anchors)
    expected = maximise_likelihood(replace(predictions, weights=weights), log_unmixed, fit)
    np.testing.assert_array_equal(sample_fit.transition, expected.transition)
