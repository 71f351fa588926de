"""Sampled labels follow their matrix. All seeds are fixed, so no test can fail by chance."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from dilution.data import Arrays
from dilution.noise import Dilution, LabelNoise, matrix, structured, uniform

MakeData = Callable[..., Arrays]

HOLED = np.array([[0, 0.2, 0.3, 0.5], [0.7, 0, 0.3, 0], [0, 0, 1, 0], [0.25, 0.25, 0.5, 0]])
CONFUSABILITY = np.random.default_rng(0).dirichlet(np.ones(10), size=10)
MODELS = [
    (uniform(), 10),
    (structured(0.5), 10),
    (structured(1, "confusing", CONFUSABILITY), 10),
    (structured(1, "reverse", CONFUSABILITY), 10),
    (matrix(HOLED), 4),
    (matrix(np.eye(4)[[1, 2, 3, 0]]), 4),
    (uniform(), 100),
]


def added_counts(dilution: Dilution) -> Any:
    """Count the noisy labels: int, shape (classes, classes), rows true classes."""
    index = torch.arange(dilution.n, len(dilution))
    cell = dilution.true_labels(index) * dilution.classes + dilution.labels(index)
    counts = torch.bincount(cell, minlength=dilution.classes**2)
    return counts.reshape(dilution.classes, dilution.classes).numpy()


def assert_follows(counts: Any, Q: Any) -> None:
    """Chi-square test of counts against the rows of Q, at p = 0.001; impossible cells must be empty."""
    assert counts[Q == 0].sum() == 0
    expected = Q * counts.sum(1, keepdims=True)
    possible = expected > 0
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - (counts.sum(1) > 0).sum()
    assert statistic <= chi2.isf(1e-3, freedom) if freedom else statistic == 0


@pytest.mark.parametrize(("noise", "classes"), MODELS)
@pytest.mark.parametrize("images", ["same", "fresh", "white_noise"])
def test_added_labels_follow_their_matrix(
    make_data: MakeData, noise: LabelNoise, classes: int, images: str
) -> None:
    dilution = Dilution(make_data(400, classes), 600, noise=noise, image_source=images, n=200, seed=1)
    counts = added_counts(dilution)
    assert counts.sum() == 120_000
    assert_follows(counts, noise.added(classes, 600, 1))


@pytest.mark.parametrize(("noise", "classes"), MODELS)
def test_all_labels_together_follow_the_matrix_that_results_show(
    make_data: MakeData, noise: LabelNoise, classes: int
) -> None:
    dilution = Dilution(make_data(1000, classes), 100, noise=noise, seed=2)
    noise_summary = dilution.noise_summary()
    np.testing.assert_allclose(
        noise_summary.transition_empirical, noise_summary.transition_expected, atol=0.02
    )
    assert noise_summary.noise_rate_empirical == pytest.approx(noise_summary.noise_rate_expected, abs=0.005)
    assert noise_summary.alpha_empirical == 100


def test_structured_noise_draws_its_first_false_label_as_often_as_the_true_one(
    make_data: MakeData,
) -> None:
    noise = structured(1, "confusing", CONFUSABILITY)
    P = Dilution(make_data(1000), 20, noise=noise, stratified=True).noise_summary().transition_empirical
    false = CONFUSABILITY.copy()
    np.fill_diagonal(false, -1)
    first = P[np.arange(10), false.argmax(1)]
    np.testing.assert_allclose(np.diag(P), (1 + 20 / 10) / 21, atol=1e-3)
    np.testing.assert_allclose(first, np.diag(P), atol=1e-3)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("lag", [1, 10, 400, 4000])
def test_labels_of_one_image_and_of_neighbours_are_independent(
    make_data: MakeData, stratified: bool, lag: int
) -> None:
    dilution = Dilution(make_data(400), 250, stratified=stratified, seed=3)
    labels = dilution.labels(torch.arange(400, len(dilution)))
    pairs = torch.bincount(labels[:-lag] * 10 + labels[lag:], minlength=100).reshape(10, 10)
    assert chi2_contingency(pairs.numpy()).pvalue > 1e-3


def test_stratified_classes_of_equal_size_are_not_shuffled_alike(make_data: MakeData) -> None:
    dilution = Dilution(make_data(4000, classes=2), 1, stratified=True)
    noisy = dilution.labels(torch.arange(4000, 8000)).reshape(-1, 2)  # k-th label of either class
    pairs = torch.bincount(noisy[:, 0] * 2 + noisy[:, 1], minlength=4).reshape(2, 2)
    assert chi2_contingency(pairs.numpy()).pvalue > 1e-3


@given(
    st.integers(2, 30),
    st.integers(1, 300),
    st.floats(0, 40),
    st.sampled_from(["uniform", "structured", "matrix"]),
    st.sampled_from(["same", "fresh", "white_noise"]),
    st.integers(0, 99),
)
def test_stratified_counts_lie_within_one_of_their_expectation(
    m: int, n: int, alpha: float, model: str, images: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(0, m, n + 40))
    data = Arrays(torch.zeros(n + 40, 1, 1, 1, dtype=torch.uint8), labels, tuple(map(str, range(m))))
    noise = {
        "uniform": uniform(),
        "structured": structured(float(rng.random())),
        "matrix": matrix(rng.dirichlet(np.full(m, 0.2), size=m)),
    }[model]
    dilution = Dilution(data, alpha, noise=noise, image_source=images, n=n, stratified=True, seed=seed)
    counts = added_counts(dilution)
    Q = noise.added(m, alpha, seed)
    assert np.abs(counts - Q * counts.sum(1, keepdims=True)).max() < 1 + 1e-9


@pytest.mark.parametrize(("n", "alpha"), [(2000, 0.3), (3000, 2.5)])
def test_stratified_counts_lie_within_one_of_their_expectation_at_a_thousand_classes(
    make_data: MakeData, n: int, alpha: float
) -> None:
    noise = structured(0.5)
    dilution = Dilution(make_data(n, classes=1000), alpha, noise=noise, stratified=True)
    counts = added_counts(dilution)
    Q = noise.added(1000, alpha, 0)
    assert np.abs(counts - Q * counts.sum(1, keepdims=True)).max() < 1 + 1e-9


@pytest.mark.parametrize("classes", [10, 120, 1000])
def test_stratified_noise_of_20_percent_makes_20_percent_of_the_labels_wrong(
    make_data: MakeData, classes: int
) -> None:
    dilution = Dilution(make_data(max(1000, 5 * classes), classes), eta=0.2, stratified=True)
    assert dilution.noise_summary().noise_rate_empirical == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize("classes", [10, 120, 1000])
def test_stratified_rounding_does_not_pile_up_on_the_same_labels(make_data: MakeData, classes: int) -> None:
    # Two noisy labels per class: each cell expects far less than one, so all is rounding.
    counts = added_counts(Dilution(make_data(2 * classes, classes), 1, stratified=True))
    assert counts.max() <= 1
    assert np.abs(counts.sum(0) - 2).max() <= 2
    assert counts.sum(0).std() < 1.5  # of independent draws: 1.4; all on the same labels: (2 m)**0.5


def test_stratified_counts_vary_less_than_independent_ones(make_data: MakeData) -> None:
    spread = [added_counts(Dilution(make_data(1000), 10, stratified=s)).std() for s in (True, False)]
    assert spread[0] < 1 < 5 < spread[1]
