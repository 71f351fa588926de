"""Questions to the law of accuracy: labels needed, refusals, the cheapest purchase."""

from dataclasses import replace

import numpy as np
import pytest
from pilots import simulated_pilot, true_n
from scipy.special import expit

from dilution.planning import LabelKind
from dilution.planning.accuracy_law import fit_accuracy_law
from dilution.planning.queries import (
    cheapest_purchase,
    equivalent_clean_n,
    expected_accuracy,
    labels_needed,
)


@pytest.fixture(scope="module")
def law():
    return fit_accuracy_law(*simulated_pilot(), n_test=10_000)


def test_an_accuracy_out_of_reach_needs_infinitely_many_labels():
    n, alpha, _ = simulated_pilot()
    x = np.log(n / (1 + alpha))
    law = fit_accuracy_law(n, alpha, expit(2 - 0.3 * (9 - x) ** 2), n_test=10_000)
    assert np.isinf(law.n_needed(0.99, 0.0)).mean() > 0.5
    assert "levels off" in labels_needed(law, 0.99, 0.0).refusal


def test_a_question_far_beyond_the_pilot_is_refused_with_the_pilot_that_would_settle_it(law):
    assert "A pilot with" in labels_needed(law, 0.9, 200.0).refusal
    assert "A pilot with" in labels_needed(law, 0.9999, 0.0).refusal
    assert "A pilot with" in expected_accuracy(law, 1e9, 0.0).refusal
    assert labels_needed(law, 0.9, 20.0).refusal == ""


def test_without_labels_there_is_no_accuracy_to_expect(law):
    assert expected_accuracy(law, 0.0, 4.0).refusal == "There are no labels."


def test_a_mixture_of_one_kind_is_that_kind(law):
    alone = equivalent_clean_n(law, np.array([[5000.0, 0.0]]), np.array([4.0, 0.0]))[:, 0]
    n = 1000 / np.exp(law.log_discount(4.0))
    assert np.median(alone) == pytest.approx(np.median(n), rel=0.02)


@pytest.mark.parametrize(("better_price", "buys_better"), [(10.0, True), (40.0, False)])
def test_the_cheapest_labels_are_bought(law, better_price, buys_better):
    # at α = 4 a clean label is worth (1 + 4)² = 25 of them
    purchase = cheapest_purchase(law, 0.9, 0.0, (LabelKind(4.0, 1.0), LabelKind(0.0, better_price)))
    same, better = purchase.n_labels
    assert (better > same) == buys_better
    assert purchase.cost == pytest.approx(same + better_price * better)


def test_no_purchase_is_proposed_that_the_pilot_does_not_support(law):
    assert labels_needed(law, 0.9999, 0.0).refusal
    assert cheapest_purchase(law, 0.9999, 0.0, (LabelKind(4.0, 1.0), LabelKind(0.0, 10.0))) is None
    nearly_free = LabelKind(200.0, 1e-9)  # and far noisier than the pilot
    purchase = cheapest_purchase(law, 0.9, 1000.0, (nearly_free, LabelKind(0.0, 10.0)))
    assert purchase.n_labels[0] == 0
    assert not purchase.keep_existing


def test_labels_that_are_enough_cost_nothing(law):
    enough = 3 * true_n(0.8, 2.0) * 3
    purchase = cheapest_purchase(law, 0.8, enough, (LabelKind(2.0, 1.0), LabelKind(0.0, 5.0)))
    assert purchase.cost == 0


def test_very_noisy_labels_are_not_kept_where_better_ones_are_cheap(law):
    purchase = cheapest_purchase(law, 0.9, 2000.0, (LabelKind(50.0, 1.0), LabelKind(0.0, 1.0)))
    assert not purchase.keep_existing


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        (LabelKind(0.0, 1.0), "clean labels"),
        (LabelKind(0.0, 1.0, eta=0.0), "clean labels"),
        (LabelKind(3.0, 1.0), "labels of noise level α = 3"),
        (LabelKind(0.2, 1.0, eta=0.15), "labels of noise rate 0.15"),
    ],
)
def test_labels_are_described_in_the_unit_in_which_the_user_gave_their_noise(kind, description):
    assert kind.description == description


def test_a_law_that_leads_far_beyond_the_pilot_says_so_without_a_number_of_any_size(law):
    flat = replace(law, coefficients=np.tile([0.0, 1e-2, 0.0], (len(law.kappa), 1)))
    assert "more than 1,000,000 times the pilot's largest size" in labels_needed(flat, 0.9, 0.0).refusal
    reached_nowhere = replace(law, coefficients=np.tile([0.0, 1e-5, 0.0], (len(law.kappa), 1)))
    assert np.isinf(reached_nowhere.n_needed(0.9, 0.0)).all()  # e to the power of 2 · 10⁵, without a warning
