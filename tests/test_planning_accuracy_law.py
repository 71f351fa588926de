"""The law of accuracy, fitted to pilots whose truth is known."""

import numpy as np
import pytest
from pilots import simulated_pilot, true_n

from dilution.errors import InputError
from dilution.planning.accuracy_law import fit_accuracy_law, prior_exponent


@pytest.fixture(scope="module")
def law():
    return fit_accuracy_law(*simulated_pilot(), n_test=10_000)


@pytest.mark.parametrize("alpha", [0.0, 5.0, 20.0, 50.0])
@pytest.mark.parametrize("accuracy", [0.8, 0.9])
def test_the_interval_of_n_contains_the_truth_even_beyond_the_noise_of_the_pilot(law, accuracy, alpha):
    low, high = np.quantile(law.n_needed(accuracy, alpha), [0.02, 0.98])
    assert low <= true_n(accuracy, alpha) <= high
    assert np.median(law.n_needed(accuracy, alpha)) == pytest.approx(true_n(accuracy, alpha), rel=0.3)


def test_n_needed_and_accuracy_are_inverse_to_each_other(law):
    n = law.n_needed(0.85, 3.0)
    for draw in (0, 100, 1000):
        assert law.accuracy(n[draw], 3.0)[draw] == pytest.approx(0.85, abs=1e-6)


def test_more_examples_never_cost_accuracy(law):
    accuracies = np.stack([law.accuracy(n, 0.0) for n in np.geomspace(50, 1e8, 60)])
    assert (np.diff(accuracies, axis=0) >= -1e-12).all()


def test_a_label_has_the_value_of_theory_where_theory_holds(law):
    low, high = np.quantile(law.exponent(10.0), [0.05, 0.95])
    assert low <= 2 <= high
    assert np.median(law.label_value(10.0)) == pytest.approx(1 / 121, rel=0.25)


@pytest.mark.parametrize("alpha", [2.0, 10.0])
def test_the_exponent_of_the_prior_is_that_of_draws_from_it(alpha):
    random = np.random.default_rng(0)
    log_kappa, gamma = random.normal(0, 0.5, 200_000), random.normal(1, 0.25, 200_000)
    within = (np.abs(log_kappa) <= 1.5) & (gamma >= 0.4) & (gamma <= 1.6)
    p = 1 + gamma[within] * np.log1p(np.exp(log_kappa[within]) * alpha) / np.log1p(alpha)
    assert prior_exponent(alpha) == pytest.approx(np.quantile(p, [0.5, 0.1, 0.9]), abs=0.02)


def test_most_intervals_contain_the_truth():
    covered = 0
    for seed in range(20):
        needed = fit_accuracy_law(*simulated_pilot(seed), n_test=10_000).n_needed(0.9, 30.0)
        low, high = np.quantile(needed, [0.1, 0.9])
        covered += low <= true_n(0.9, 30.0) <= high
    assert covered >= 13


@pytest.mark.parametrize("accuracy", [0.5, 1.0])
def test_equal_accuracies_are_fitted_without_a_warning(accuracy):
    n, alpha, accuracies = simulated_pilot()
    law = fit_accuracy_law(n, alpha, np.full_like(accuracies, accuracy), n_test=10_000)
    assert np.median(law.accuracy(1000.0, 1.0)) == pytest.approx(accuracy, abs=0.01)
    low, high = np.quantile(law.accuracy(1000.0, 1.0), [0.025, 0.975])
    assert low < accuracy - 1e-4
    assert high - low < 0.05  # 10,000 test examples leave about one point


def test_a_pilot_that_is_too_small_is_refused():
    n, alpha, accuracy = simulated_pilot()
    with pytest.raises(InputError, match="at least 8 runs"):
        fit_accuracy_law(n[:6], alpha[:6], accuracy[:6], n_test=100)


def test_the_short_form_has_the_medians(law):
    assert repr(law) == (
        f"AccuracyLaw(kappa={np.median(law.kappa):.3g}, gamma={np.median(law.gamma):.3g}, draws=2000)"
    )
