"""Uniform noise is assumed unless the labels show that it is not uniform."""

from types import SimpleNamespace

import numpy as np
import pytest

from dilution.diagnosis.noise_fit import HeldOutPredictions, fit_noise
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.fitting.noise_choice import choose_noise


def simulated(transition, n=1500, overlap=1.0, seed=0):
    """Return a diagnosis of noisy labels whose held-out predictions are those of the best possible model."""
    random, classes = np.random.default_rng(seed), len(transition)
    true = random.integers(classes, size=n)
    points = np.eye(classes)[true] * 3 + random.normal(scale=overlap, size=(n, classes))
    logits = points * 3 / overlap**2
    q = np.exp(logits - logits.max(axis=1, keepdims=True))
    q /= q.sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=transition[c]) for c in true])
    verified = np.full(n, -1)
    fit = fit_noise(HeldOutPredictions(q @ transition, labels, verified, np.ones(n)))
    return true, SimpleNamespace(
        fit=fit,
        labels=labels,
        bootstrap_fits=[fit, fit, fit],
        alternative_fit=fit,
        cross_validation=SimpleNamespace(pred_probs=q @ transition),
    )


def uniform(rate, classes):
    return np.full((classes, classes), rate / (classes - 1)) + (1 - rate * classes / (classes - 1)) * np.eye(
        classes
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("rate", [0.1, 0.35])
def test_uniform_noise_is_recognised_with_its_rate(classes, rate):
    _, diagnosis = simulated(uniform(rate, classes))
    chosen = choose_noise(diagnosis, np.full(1500, -1), None, 0)
    assert chosen.is_uniform
    assert len(chosen.bootstrap_fits) == 3
    assert chosen.fit.noise_rate == pytest.approx(rate, abs=0.04)
    np.testing.assert_allclose(chosen.fit.transition.sum(axis=1), 1)


@pytest.mark.parametrize(
    "transition",
    [
        np.array([[0.95, 0.05], [0.4, 0.6]]),
        np.array([[0.7, 0.3, 0.0], [0.0, 0.7, 0.3], [0.3, 0.0, 0.7]]),
    ],
)
def test_other_noise_keeps_the_fit_of_the_diagnosis(transition):
    _, diagnosis = simulated(transition)
    chosen = choose_noise(diagnosis, np.full(1500, -1), None, 0)
    assert not chosen.is_uniform
    assert chosen.fit is diagnosis.fit


def test_copies_are_no_further_evidence():
    transition = np.array([[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]])
    _, diagnosis = simulated(transition)
    alone = choose_noise(diagnosis, np.full(1500, -1), None, 0)
    as_copies = choose_noise(diagnosis, np.full(1500, -1), np.arange(1500) // 100, 0)
    assert not alone.is_uniform
    assert as_copies.is_uniform


def test_overlapping_classes_are_not_taken_for_each_other():
    """With two overlapping classes and much noise T entry by entry is hardly known from labels alone."""
    accuracies = []
    for seed in range(4):
        true, diagnosis = simulated(uniform(0.4, 2), n=600, overlap=2.5, seed=seed)
        fit = choose_noise(diagnosis, np.full(600, -1), None, 0).fit
        accuracies.append(
            [float((own.class_probs.argmax(axis=1) == true).mean()) for own in (fit, diagnosis.fit)]
        )
    assumed, own = np.mean(accuracies, axis=0)
    assert assumed >= own
    assert assumed > 0.7


def test_verified_labels_count_as_the_true_ones():
    true, diagnosis = simulated(uniform(0.3, 2))
    verified = np.where(np.arange(1500) < 300, true, -1)
    chosen = choose_noise(diagnosis, verified, None, 0)
    assert chosen.fit.noise_rate == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_doubtful_labels_that_are_wrong_count_as_much_as_those_that_are_right(classes):
    true, diagnosis = simulated(uniform(0.3, classes), overlap=1.5)
    doubtful = np.argsort(-diagnosis.fit.judge_labels(diagnosis.labels).p_wrong)[:300]
    answers = np.where(true == diagnosis.labels, true, WRONG_CLASS_UNKNOWN)
    verified = np.full(1500, -1)
    verified[doubtful] = answers[doubtful]
    chosen = choose_noise(diagnosis, verified, None, 0)
    assert chosen.is_uniform
    assert chosen.fit.noise_rate == pytest.approx((true != diagnosis.labels).mean(), abs=0.05)
