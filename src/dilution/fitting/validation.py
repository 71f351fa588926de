"""Validation of methods on held-out noisy labels: budgets, shares of the kinds of models, and scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from dilution.data import Arrays
from dilution.diagnosis.many_classes import has_many_classes
from dilution.fitting.learners import Floats, Ints, Job, Learner, Targets
from dilution.fitting.methods import Method

_LEAST = 1e-6  # smallest probability of a label, so that its logarithm is finite
_LOG_SHARPNESS = 3.0  # largest logarithm of the factor of log probabilities
_CHUNK = 1 << 10  # rows whose columns of T are copied at once
_STEPS = 200  # of the mixture's expectation maximisation
_EQUAL = 0.5  # part of the shares that is equal for all: a likelihood rewards sharp probabilities too much


@dataclass(frozen=True)
class HeldOutLabels:
    """Noisy labels that predictions are compared with.

    Parameters
    ----------
    folds
        Rows of each fold, int64. Where validation uses the first fold alone, there is one fold.
    labels
        Noisy labels, with verified ones in their place, int64, shape (n,).
    is_verified
        Whether the label of each example was looked up, bool, shape (n,).
    weights
        Weight of each example, float64, shape (n,).
    """

    folds: Sequence[Ints]
    labels: Ints
    is_verified: NDArray[np.bool_]
    weights: Floats

    @property
    def rows(self) -> Ints:
        """Rows that are held out in some fold, ascending."""
        return np.sort(np.concatenate(list(self.folds)))

    def likelihoods(self, probs: Floats, transition: Floats | None) -> Floats:
        """Return the likelihood of each held-out label, float64, shape (rows,).

        Parameters
        ----------
        probs
            Held-out probabilities of the true classes, or of the noisy ones, shape (n, classes).
        transition
            T[true, noisy] that makes them probabilities of noisy labels; None: they are.
        """
        rows = self.rows
        own = probs[rows]
        if transition is not None and has_many_classes(len(transition)):
            # Only the column of the label counts: the products with all columns would take hours.
            return np.maximum(self._of_labels(own, rows, transition), _LEAST)
        noisy = own if transition is None else np.where(self.is_verified[rows, None], own, own @ transition)
        likelihoods: Floats = noisy[np.arange(len(rows)), self.labels[rows]]
        return np.maximum(likelihoods, _LEAST)

    def _of_labels(self, own: Floats, rows: Ints, transition: Floats) -> Floats:
        """Return the likelihood of each held-out label, from the column of T of that label alone."""
        likelihoods = own[np.arange(len(rows)), self.labels[rows]]
        unverified = np.flatnonzero(~self.is_verified[rows])
        for part in np.array_split(unverified, max(1, len(unverified) // _CHUNK)):
            columns = transition[:, self.labels[rows[part]]].T
            likelihoods[part] = np.einsum("ik,ik->i", own[part], columns)
        return likelihoods

    def loss(self, probs: Floats, transition: Floats | None) -> float:
        """Return the mean cross entropy of the held-out labels, in nats."""
        return float(
            -np.average(np.log(self.likelihoods(probs, transition)), weights=self.weights[self.rows])
        )

    def calibrated_loss(self, probs: Floats, transition: Floats) -> float:
        """Return the loss of probabilities as those of the true classes, sharpened as labels suggest."""
        logarithms = np.log(np.maximum(probs, _LEAST))

        def loss(log_sharpness: float) -> float:
            return self.loss(softmax(np.exp(log_sharpness) * logarithms, axis=1), transition)

        best = minimize_scalar(loss, bounds=(-_LOG_SHARPNESS, _LOG_SHARPNESS), method="bounded")
        return float(best.fun)

    def agreement(self, probs: Floats) -> float:
        """Return the share of held-out labels that are the most probable class."""
        rows = self.rows
        return float(np.average(probs[rows].argmax(axis=1) == self.labels[rows], weights=self.weights[rows]))


@dataclass(frozen=True)
class LearnerScore:
    """A kind of model under a method, at the best of its budgets.

    Parameters
    ----------
    learner
        The kind of model.
    budget
        Its budget.
    probs
        Held-out probabilities, shape (n, classes); NaN where no fold holds the example out.
    loss
        Cross entropy of held-out labels, in nats.
    share
        Its share in the average.
    """

    learner: Learner
    budget: int
    probs: Floats
    loss: float
    share: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A method with the models that are averaged under it.

    Parameters
    ----------
    method
        The method.
    scores
        Kinds of models.
    probs
        Their averaged held-out probabilities, shape (n, classes).
    loss
        Cross entropy of held-out noisy labels, in nats.
    agreement
        Share of held-out noisy labels that are the predicted class.
    """

    method: Method
    scores: tuple[LearnerScore, ...]
    probs: Floats
    loss: float
    agreement: float


def validate(
    method: Method,
    learners: Sequence[Learner],
    data: Arrays,
    targets: Targets,
    held_out: HeldOutLabels,
    transition: Floats | None,
    seed: int,
    *,
    least_budgets: dict[str, int] | None = None,
    most_budgets: int | None = None,
    start: Candidate | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Candidate:
    """Return a method with the budgets and shares that predict held-out noisy labels best.

    Parameters
    ----------
    method, targets
        The method, and what models learn under it.
    learners
        Kinds of models.
    data
        The examples.
    held_out
        Held-out labels.
    transition
        As for :meth:`HeldOutLabels.likelihoods`.
    seed
        Root seed.
    least_budgets
        Smallest budget to try, by name of the learner.
    most_budgets
        Number of budgets to try. Default: until a larger one is not better.
    start
        The same method as validated so far, from whose budgets larger ones are tried.
    log
        Called with lines about the progress.
    """
    scores = []
    for learner in learners:
        if targets.transition is not None and not learner.takes_transition:
            continue
        before = next((score for score in start.scores if score.learner is learner), None) if start else None
        least = (least_budgets or {}).get(learner.name, 0) if before is None else before.budget + 1
        budgets = [budget for budget in learner.budgets if budget >= least][:most_budgets]
        log(f"{method}: {learner.name} on {len(held_out.folds)} folds")
        scores.append(_best_budget(learner, data, targets, held_out, transition, seed, budgets, before))
    shares = mixture_shares(
        np.stack([held_out.likelihoods(score.probs, transition) for score in scores], axis=1),
        held_out.weights[held_out.rows],
    )
    kept = tuple(
        LearnerScore(score.learner, score.budget, score.probs, score.loss, float(share))
        for score, share in zip(scores, shares, strict=True)
    )
    probs: Floats = sum((score.share * score.probs for score in kept), start=np.zeros_like(kept[0].probs))
    return Candidate(method, kept, probs, held_out.loss(probs, transition), held_out.agreement(probs))


def _best_budget(
    learner: Learner,
    data: Arrays,
    targets: Targets,
    held_out: HeldOutLabels,
    transition: Floats | None,
    seed: int,
    budgets: Sequence[int],
    before: LearnerScore | None,
) -> LearnerScore:
    """Return the learner at the last budget that improves on the one before by more than a standard error.

    So is the budget of the cross-validation chosen (Breiman et al. 1984): more would memorise wrong labels.
    """
    everything = np.arange(len(data))
    jobs = [
        Job(np.setdiff1d(everything, fold, assume_unique=True), seed + number)
        for number, fold in enumerate(held_out.folds)
    ]
    best = before
    best_losses = np.empty(0) if best is None else -np.log(held_out.likelihoods(best.probs, transition))
    for budget, members in zip(budgets, learner.fit(data, targets, jobs, budgets), strict=False):
        probs = np.full((len(data), len(data.classes)), np.nan)
        for fold, member in zip(held_out.folds, members, strict=True):
            probs[fold] = member.probabilities(data.take(torch.from_numpy(fold)))
        losses = -np.log(held_out.likelihoods(probs, transition))
        if best is not None and not _is_better(losses, best_losses, held_out.weights[held_out.rows]):
            break
        best, best_losses = LearnerScore(learner, budget, probs, held_out.loss(probs, transition)), losses
    assert best is not None
    return best


def _is_better(losses: Floats, before: Floats, weights: Floats) -> bool:
    """Return whether losses are smaller than those before by more than a standard error of the difference."""
    gain = before - losses
    mean = float(np.average(gain, weights=weights))
    variance = float(np.average((gain - mean) ** 2, weights=weights))
    return mean > float(np.sqrt(variance * (weights**2).sum()) / weights.sum())


def mixture_shares(likelihoods: Floats, weights: Floats) -> Floats:
    """Return the shares of models in their average: halfway from equal ones to those of largest likelihood.

    They are the fixed point of expectation maximisation with as many pseudo-counts as labels.

    Parameters
    ----------
    likelihoods
        Likelihood of each label under each model, shape (n, models).
    weights
        Weight of each label, shape (n,).

    Returns
    -------
    ndarray
        float64, shape (models,), sums to 1.
    """
    equal: Floats = np.full(likelihoods.shape[1], 1 / likelihoods.shape[1])
    shares, weights = equal, weights / weights.sum()
    for _ in range(_STEPS):
        parts = likelihoods * shares
        shares = _EQUAL * equal + (1 - _EQUAL) * (weights @ (parts / parts.sum(axis=1, keepdims=True)))
    return shares
