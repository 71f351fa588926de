"""The fit that tells errors of networks from errors of labels, on predictions whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import softmax

from dilution.data import Arrays
from dilution.diagnosis.bootstrap import bootstrap, interval
from dilution.diagnosis.class_similarity import likeness, order_of
from dilution.diagnosis.noise_fit import Mixture, Observed, _Likelihood, fit, unmixed
from dilution.diagnosis.noise_pattern import shape_of
from dilution.noise import equivalent_alpha, structured, uniform

CLASSES = 4


def matrix_at(rate, noise=None, classes=CLASSES):
    return (noise or uniform()).overall(classes, equivalent_alpha(rate, classes), 0)


def predictions(matrix, n=4000, clear=3.0, seed=0):
    """Return calibrated predictions of a network that errs, noisy labels from a matrix, and true classes.

    The score of class k is normal, with mean `clear` for the true class and 0 for the others.
    """
    random = np.random.default_rng(seed)
    classes = len(matrix)
    true = random.integers(classes, size=n)
    score = random.normal(size=(n, classes))
    score[np.arange(n), true] += clear
    posterior = softmax(clear * score, axis=1)
    labels = (random.random(n)[:, None] > np.cumsum(matrix, axis=1)[true]).sum(axis=1).clip(0, classes - 1)
    seen = Observed(posterior @ matrix, labels, np.full(n, -1), np.ones(n))
    return seen, true


@pytest.mark.parametrize("lr", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("noise", [uniform(), structured(0.7)], ids=["uniform", "structured"])
def test_the_fit_finds_rate_and_matrix_of_a_network_that_errs(rate, noise):
    matrix = matrix_at(rate, noise)
    seen, true = predictions(matrix)
    found = fit(seen)
    assert found.rate == pytest.approx((seen.labels != true).mean(), abs=0.05)
    assert np.abs(found.matrix - matrix).mean() < 0.04
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    np.testing.assert_allclose(found.prior, np.bincount(true) / len(true), atol=0.06)


def test_errors_of_the_network_are_not_taken_for_errors_of_the_labels():
    seen, _ = predictions(matrix_at(0.0), clear=2.0)
    disagree = (seen.probabilities.argmax(axis=1) != seen.labels).mean()
    assert disagree > 0.15  # what a count of disagreements would say
    assert fit(seen).rate < disagree / 3


def test_the_gradient_is_that_of_the_likelihood():
    seen, true = predictions(matrix_at(0.3), n=200)
    checked = np.where(np.arange(200) < 20, true, -1)
    likelihood = _Likelihood(replace(seen, checked=checked), np.log(seen.probabilities))
    at = np.random.default_rng(0).normal(size=len(likelihood.bounds)) / 3
    assert check_grad(lambda x: likelihood(x)[0], lambda x: likelihood(x)[1], at) < 1e-6


def test_an_example_that_counts_twice_is_as_good_as_two():
    seen, _ = predictions(matrix_at(0.3), n=600)
    twice = np.r_[np.arange(600), np.arange(300)]
    repeated = Observed(seen.probabilities[twice], seen.labels[twice], seen.checked[twice], np.ones(900))
    weighted = replace(seen, weights=np.where(np.arange(600) < 300, 2.0, 1.0))
    assert fit(weighted).rate == pytest.approx(fit(repeated).rate, abs=5e-3)


def test_checked_examples_tell_names_that_labels_cannot():
    swapped = matrix_at(0.2)[[1, 0, 2, 3]]  # of the first two classes the other's label is the commonest
    seen, true = predictions(swapped)
    assert fit(seen).rate < 0.3
    checked = np.where(np.arange(len(true)) < 200, true, -1)
    found = fit(replace(seen, checked=checked))
    assert found.rate == pytest.approx((seen.labels != true).mean(), abs=0.03)


@given(st.integers(0, 2**16), st.floats(0, 0.7))
@settings(max_examples=20, deadline=None)
def test_unmixing_gives_distributions_that_mix_to_what_was_there(seed, rate):
    posterior = softmax(np.random.default_rng(seed).normal(size=(20, CLASSES)), axis=1)
    matrix = matrix_at(rate)
    mixed = posterior @ matrix
    back = unmixed(mixed, matrix)
    np.testing.assert_allclose(back.sum(axis=1), 1, atol=1e-6)
    assert (back >= 0).all()
    assert np.abs(back @ matrix - mixed).max() <= np.abs(mixed @ matrix - mixed).max() + 1e-9


def test_intervals_hold_the_estimate_and_shrink_with_more_examples():
    widths = []
    for n in (500, 8000):
        seen, _ = predictions(matrix_at(0.3), n=n)
        found = fit(seen)
        drawn = bootstrap(seen, found, draws=30)
        estimate = interval(found, drawn, lambda each: each.rate)
        assert estimate.low <= estimate.value <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


def test_most_intervals_hold_the_true_rate():
    held = 0
    for seed in range(20):
        seen, true = predictions(matrix_at(0.4), n=800, seed=seed)
        found = fit(seen)
        estimate = interval(found, bootstrap(seen, found, draws=40, seed=seed), lambda each: each.rate)
        held += estimate.low <= (seen.labels != true).mean() <= estimate.high
    assert held >= 16


def test_the_same_seed_draws_the_same_samples():
    seen, _ = predictions(matrix_at(0.3), n=300)
    found = fit(seen)
    first, again, other = (
        [each.rate for each in bootstrap(seen, found, draws=3, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("noise", "kind"), [(uniform(), "uniform"), (structured(0.3), "structured")], ids=["uniform", "δ 0.3"]
)
def test_the_shape_of_noise_is_recognised(noise, kind):
    classes = 6
    seen, _ = predictions(matrix_at(0.5, noise, classes), n=6000)
    found = fit(seen)
    shape = shape_of(found, bootstrap(seen, found, draws=40))
    assert shape.kind == kind
    delta = 0.0 if kind == "uniform" else 0.3
    assert shape.delta.low - 0.1 <= delta <= shape.delta.high + 0.1


def test_noise_that_gathers_on_one_class_is_called_concentrated():
    matrix = 0.7 * np.eye(5) + 0.3 * np.roll(np.eye(5), 1, axis=1)
    seen, _ = predictions(matrix, n=5000)
    found = fit(seen)
    shape = shape_of(found, bootstrap(seen, found, draws=30))
    assert shape.kind == "concentrated"
    assert shape.gathered > 0.9


def test_with_two_classes_noise_has_no_shape():
    seen, _ = predictions(matrix_at(0.2, classes=2), n=1000)
    found = fit(seen)
    assert shape_of(found, bootstrap(seen, found, draws=20)).kind == "undecided"


def test_the_level_of_uniform_noise_is_infinite_where_labels_say_nothing():
    assert equivalent_alpha(0.0, 10) == 0
    assert equivalent_alpha(0.45, 10) == pytest.approx(1)
    assert equivalent_alpha(0.9, 10) == np.inf


def test_a_label_changes_what_is_believed_of_its_example():
    matrix = matrix_at(0.3)
    even = np.full((1, CLASSES), 1 / CLASSES)
    found = Mixture(matrix, 1.0, np.zeros(CLASSES), even, even[0], matrix)
    likely = found.given_label(np.array([2]))
    np.testing.assert_allclose(likely[0], matrix[:, 2] / matrix[:, 2].sum())


def looking_like(alike, order, classes=6, rate=0.4, n=6000):
    """Return a fit to skewed noise whose false classes come in an order, and its draws."""
    table = None if order == "random" else softmax(3 * alike, axis=1)
    noise = structured(0.8, order, table)
    seen, _ = predictions(matrix_at(rate, noise, classes), n=n)
    found = fit(seen)
    return found, bootstrap(seen, found, draws=20)


@pytest.mark.parametrize("targets", ["confusing", "reverse", "random"])
def test_the_order_of_the_false_classes_is_recognised(order):
    centres = np.random.default_rng(1).normal(size=(6, 3))
    alike = -np.linalg.norm(centres[:, None] - centres[None], axis=2)
    found, drawn = looking_like(alike, order)
    told = order_of(found, drawn, found, alike, patterned=True)
    assert told.kind == order
    assert told.correlation.low <= told.correlation.value <= told.correlation.high
    assert order_of(found, drawn, found, alike, patterned=False).kind == "undecided"


def test_classes_are_alike_as_their_mean_images_are_near():
    images = torch.zeros(90, 1, 2, 2, dtype=torch.uint8)
    seen_as = np.arange(90) % 3
    images[seen_as == 1] = 10
    images[seen_as == 2] = 200
    found = Mixture(np.eye(3), 1.0, np.zeros(3), np.eye(3)[seen_as], np.full(3, 1 / 3), np.eye(3))
    alike = likeness(Arrays(images, torch.zeros(90, dtype=torch.int64), ("a", "b", "c")), found)
    np.testing.assert_allclose(alike[0] / alike[0, 1], [0, 1, 20], atol=1e-4)


def test_a_class_that_all_are_mistaken_for_is_no_likeness():
    random = np.random.default_rng(0)
    named = 0
    for _ in range(40):
        popular = random.dirichlet(np.ones(8))
        matrix = 0.6 * np.eye(8) + 0.4 * popular
        centres = random.normal(size=(8, 3))
        alike = -np.linalg.norm(centres[:, None] - centres[None], axis=2)
        found = Mixture(matrix, 1.0, np.zeros(8), np.eye(8), np.full(8, 1 / 8), np.eye(8))
        named += order_of(found, [found] * 20, found, alike, patterned=True).kind != "random"
    assert named <= 3  # of 40, at a level of 1 %
