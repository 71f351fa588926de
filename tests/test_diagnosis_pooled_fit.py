"""The noise fit for many classes, on predictions whose truth is known; nothing is trained."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_predictions import noisy_predictions, transition_at
from scipy.optimize import check_grad

from dilution.diagnosis.bootstrap import bootstrap, interval
from dilution.diagnosis.pooled_fit import PooledLoss, describe_family, fit_pooled
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.noise import structured, uniform

FEW, MANY = 10, 80  # labels per class: all classes share one noise rate, or each has its own


def pairs(rate, classes):
    """Return a transition matrix in which all wrong labels of a class name one other class."""
    return (1 - rate) * np.eye(classes) + rate * np.roll(np.eye(classes), 1, axis=1)


def transition_of(kind, rate, classes):
    if kind == "pairs":
        return pairs(rate, classes)
    return transition_at(rate, {"uniform": uniform(), "structured": structured(0.7)}[kind], classes)


@pytest.mark.trains
@pytest.mark.parametrize("rate", [0.02, 0.3])
@pytest.mark.parametrize(
    ("kind", "classes", "per_class"),
    [("uniform", 200, FEW), ("uniform", 40, MANY), ("structured", 40, MANY), ("pairs", 40, MANY)],
)
def test_the_noise_rate_is_recovered_though_the_model_errs(kind, classes, per_class, rate):
    transition = transition_of(kind, rate, classes)
    predictions, true = noisy_predictions(transition, n=classes * per_class, separation=4.0)
    fit = fit_pooled(predictions)
    assert fit.noise_rate == pytest.approx((predictions.labels != true).mean(), abs=0.02)
    assert (predictions.pred_probs.argmax(axis=1) != true).mean() > 0.02  # errors that are no label noise
    np.testing.assert_allclose(fit.transition.sum(axis=1), 1)
    np.testing.assert_allclose(fit.prior.sum(), 1)


def test_shares_of_classes_are_recovered_where_frequent_ones_have_more_noise():
    classes, frequent = 30, np.arange(30) < 10
    shares = np.where(frequent, 5, 1) / 70
    rates = np.where(frequent, 0.4, 0.1)[:, None]
    transition = (1 - rates) * np.eye(classes) + rates * (1 - np.eye(classes)) / (classes - 1)
    predictions, true = noisy_predictions(transition, n=3000, separation=4.0, shares=shares)
    fit = fit_pooled(predictions)
    assert fit.noise_rate == pytest.approx((predictions.labels != true).mean(), abs=0.03)
    np.testing.assert_allclose(fit.prior, np.bincount(true, minlength=classes) / len(true), atol=0.02)


@pytest.mark.trains
def test_labels_that_are_concentrated_on_one_class_are_found_there():
    predictions, _ = noisy_predictions(pairs(0.3, 30), n=30 * MANY, separation=4.0)
    transition = fit_pooled(predictions).transition
    beside = transition[np.arange(30), (np.arange(30) + 1) % 30]
    assert beside.mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.trains
def test_most_intervals_contain_the_true_noise_rate():
    covered = 0
    for seed in range(6):
        predictions, true = noisy_predictions(
            transition_at(0.2, classes=80), n=800, separation=4.0, seed=seed
        )
        fit, alternative = fit_pooled(predictions), fit_pooled(predictions, clear=2.0)
        fits = bootstrap(predictions, fit, samples=20, seed=seed)
        estimate = interval(fit, fits, lambda sample: sample.noise_rate, alternative)
        covered += estimate.low <= (predictions.labels != true).mean() <= estimate.high
        assert estimate.high - estimate.low < 0.2
    assert covered >= 5


def test_the_gradient_is_that_of_the_likelihood():
    predictions, true = noisy_predictions(transition_at(0.3, classes=20), n=1500)
    verified = np.where(np.arange(1500) < 100, true, -1)
    fit = fit_pooled(replace(predictions, verified=verified))
    assert len(fit.rates) > 5
    loss = PooledLoss(fit.evidence, predictions.weights)
    parameters = np.random.default_rng(0).normal(size=1 + len(fit.rates)) / 3
    assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], parameters) < 1e-6


def test_an_example_of_weight_two_counts_as_two_examples():
    predictions, _ = noisy_predictions(transition_at(0.3, classes=40), n=400)
    evidence = fit_pooled(predictions).evidence
    weights = np.where(np.arange(400) < 100, 2.0, 1.0)
    rows = np.r_[np.arange(400), np.arange(100)]
    repeated = replace(
        evidence,
        candidates=replace(
            evidence.candidates,
            classes=evidence.candidates.classes[rows],
            probs=evidence.candidates.probs[rows],
        ),
        labels=evidence.labels[rows],
        verified=evidence.verified[rows],
        log_unmixed=evidence.log_unmixed[rows],
    )
    parameters = np.array([0.1, -1.0])
    once, twice = PooledLoss(evidence, weights)(parameters), PooledLoss(repeated, np.ones(500))(parameters)
    assert once[0] == pytest.approx(twice[0])
    np.testing.assert_allclose(once[1], twice[1])


def test_a_verified_example_is_of_its_verified_class():
    predictions, true = noisy_predictions(transition_at(0.4, classes=60), n=600)
    verified = np.where(np.arange(600) < 200, true, -1)
    fit = fit_pooled(replace(predictions, verified=verified))
    posterior, classes = fit.candidate_posterior()[:200], fit.evidence.candidates.classes[:200]
    assert (classes[np.arange(200), posterior[:, :-1].argmax(axis=1)] == true[:200]).all()
    np.testing.assert_allclose(posterior.max(axis=1), 1)


def test_an_example_whose_label_is_wrong_is_of_any_other_class():
    predictions, true = noisy_predictions(transition_of("uniform", 0.3, 20), n=600)
    is_wrong = (predictions.labels != true) & (np.arange(600) < 300)
    fit = fit_pooled(replace(predictions, verified=np.where(is_wrong, WRONG_CLASS_UNKNOWN, -1)))
    posterior = fit.candidate_posterior()
    names_label = fit.evidence.candidates.classes == predictions.labels[:, None]
    assert (posterior[:, :-1][names_label & is_wrong[:, None]] == 0).all()
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    assert (posterior[:, :-1][names_label & ~is_wrong[:, None]] > 0).any()


def test_labels_that_are_wrong_are_judged_more_probably_wrong():
    predictions, true = noisy_predictions(transition_at(0.2, classes=100), n=1000, separation=4.0)
    judged = fit_pooled(predictions).judge_labels(predictions.labels)
    is_wrong = predictions.labels != true
    assert judged.p_wrong[is_wrong].mean() > 0.8
    assert judged.p_wrong[~is_wrong].mean() < 0.1
    assert (judged.suggested == true).mean() > 0.9
    assert ((judged.p_wrong >= 0) & (judged.p_wrong <= 1) & (judged.p_suggested <= 1)).all()


def test_labels_other_than_those_of_the_fit_cannot_be_judged():
    predictions, _ = noisy_predictions(transition_at(0.2, classes=40), n=200)
    fit = fit_pooled(predictions)
    with pytest.raises(ValueError, match="not those of the fit"):
        fit.judge_labels((predictions.labels + 1) % 40)


def test_the_family_is_described_with_the_classes_that_share_a_noise_rate():
    few, _ = noisy_predictions(transition_at(0.2, classes=40), n=400)
    assert "Each of the 40 classes has fewer than 60 labels: all share one noise rate" in describe_family(
        fit_pooled(few)
    )
    rare = few.labels < 38
    labels = np.where(rare, few.labels % 2, few.labels)  # two classes have nearly all labels
    assert "Of 40 classes the 38 with fewer than 60 labels share one noise rate" in describe_family(
        fit_pooled(replace(few, labels=labels))
    )
