"""Scores of methods on held-out noisy labels, budgets, and the shares of models in their average."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import Arrays
from dilution.fitting.learners import Targets
from dilution.fitting.validation import HeldOutLabels, mixture_shares, validate

UNIFORM = np.full((2, 2), 0.2) + 0.6 * np.eye(2)


def held_out(labels, is_verified=None, weights=None, folds=None):
    labels = np.asarray(labels)
    n = len(labels)
    return HeldOutLabels(
        [np.arange(n)] if folds is None else folds,
        labels,
        np.zeros(n, dtype=bool) if is_verified is None else np.asarray(is_verified),
        np.ones(n) if weights is None else np.asarray(weights, dtype=float),
    )


def test_labels_are_compared_with_the_distribution_of_noisy_labels_and_verified_ones_with_the_classes():
    probs = np.array([[0.9, 0.1], [0.9, 0.1]])
    likelihoods = held_out([0, 0], [False, True]).likelihoods(probs, UNIFORM)
    np.testing.assert_allclose(likelihoods, [0.9 * 0.8 + 0.1 * 0.2, 0.9])
    np.testing.assert_allclose(held_out([0, 1]).likelihoods(probs, None), [0.9, 0.1])


def test_loss_and_agreement_count_the_weights_and_the_rows_that_are_held_out():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [np.nan, np.nan]])
    labels = held_out([0, 1, 0], weights=[3, 1, 7], folds=[np.array([1, 0])])
    assert labels.loss(probs, None) == pytest.approx(-(3 * np.log(0.9) + np.log(0.4)) / 4)
    assert labels.agreement(probs) == pytest.approx(0.75)


def test_probabilities_are_sharpened_before_they_are_judged_as_those_of_the_true_classes():
    labels, blunt = held_out([0, 0, 0, 1, 1]), np.tile([0.6, 0.4], (5, 1))
    blunt[3:] = blunt[3:, ::-1]
    sharp = labels.calibrated_loss(blunt, UNIFORM)
    assert sharp < labels.loss(blunt, UNIFORM)
    assert sharp == pytest.approx(-np.log(0.8), abs=0.01)  # all labels agree, and T allows for no more
    assert labels.calibrated_loss(np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 2), UNIFORM) == pytest.approx(
        sharp, abs=0.01
    )


def test_a_candidate_goes_on_from_its_budgets():
    learner = _Learner({1: 0.3, 2: 0.6, 4: 0.75, 8: 0.75})
    first = chosen(learner, most_budgets=1)
    assert [score.budget for score in first.scores] == [1]
    assert learner.fitted == [1]
    assert [score.budget for score in chosen(learner, start=first).scores] == [4]
    assert learner.fitted == [1, 2, 4, 8]
    last = chosen(_Learner({8: 0.75}))
    assert chosen(*[score.learner for score in last.scores], start=last).scores[0].budget == 8


def test_a_probability_of_zero_costs_a_finite_loss():
    assert np.isfinite(held_out([1]).loss(np.array([[1.0, 0.0]]), None))


@given(st.integers(1, 4), st.integers(0, 10**6))
def test_shares_sum_to_one_and_none_is_below_half_of_an_equal_one(models, seed):
    likelihoods = np.random.default_rng(seed).uniform(1e-6, 1, (50, models))
    shares = mixture_shares(likelihoods, np.ones(50))
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= 0.5 / models - 1e-9


def test_the_better_model_has_the_larger_share():
    likelihoods = np.array([[0.9, 0.2], [0.8, 0.4], [0.7, 0.1]])
    shares = mixture_shares(likelihoods, np.ones(3))
    assert shares[0] > 2 * shares[1]
    np.testing.assert_allclose(mixture_shares(likelihoods[:, ::-1], np.ones(3))[::-1], shares)


@dataclass
class _Constant:
    """A member that predicts one distribution."""

    probs: np.ndarray

    def probabilities(self, images):
        return np.tile(self.probs, (len(images), 1))


@dataclass
class _Learner:
    """A learner whose probability of the label 0 depends on the budget; it records what it fitted."""

    probability: dict
    name: str = "scripted"
    takes_transition: bool = True
    fitted: list = field(default_factory=list)

    @property
    def budgets(self):
        return tuple(self.probability)

    def fit(self, data, targets, jobs, budgets):
        for budget in budgets:
            self.fitted.append(budget)
            p = self.probability[budget]
            yield [_Constant(np.array([p, 1 - p])) for _ in jobs]

    def describe_budget(self, budget):
        return f"{budget} units"


DATA = Arrays(torch.zeros(40, 1, 1, 1) + torch.arange(40.0)[:, None, None, None], torch.arange(40) % 4 // 3)
FOLDS = [np.arange(0, 20), np.arange(20, 40)]


def chosen(*learners, transition=None, targets=None, **options):
    labels = held_out(DATA.labels.numpy(), folds=FOLDS)
    targets = Targets(np.eye(2)[DATA.labels], transition) if targets is None else targets
    return validate("plain", learners, DATA, targets, labels, transition, 0, **options)


def test_budgets_grow_until_a_larger_one_is_not_surely_better():
    learner = _Learner({1: 0.3, 2: 0.74, 4: 0.76, 8: 0.75})
    candidate = chosen(learner)
    assert learner.fitted == [1, 2, 4]  # 4 is better than 2 by less than a standard error
    assert [score.budget for score in candidate.scores] == [2]
    assert not np.isnan(candidate.probs).any()


def test_smaller_budgets_than_the_least_are_not_tried():
    learner = _Learner({1: 0.3, 2: 0.6, 4: 0.7})
    chosen(learner, least_budgets={"scripted": 2})
    assert learner.fitted[0] == 2


def test_models_without_forward_correction_are_left_out_of_it():
    trees = _Learner({1: 0.7}, name="trees", takes_transition=False)
    candidate = chosen(_Learner({1: 0.7}), trees, transition=UNIFORM)
    assert [score.learner.name for score in candidate.scores] == ["scripted"]
    assert not trees.fitted


def test_the_averaged_probabilities_are_those_of_the_shares():
    candidate = chosen(_Learner({1: 0.6}), _Learner({1: 0.9}, name="other"))
    expected = sum(score.share * score.probs for score in candidate.scores)
    np.testing.assert_allclose(candidate.probs, expected)
    assert candidate.agreement == 0.75
