"""The learner for features of a frozen network: logistic regression, with forward correction if asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from dilution.data import Arrays
from dilution.diagnosis.feature_head import HEAD
from dilution.fitting.fitted_model import Member
from dilution.fitting.label_loss import label_loss
from dilution.fitting.learners import Floats, Ints, Job, Targets, begin_models
from dilution.fitting.linear_head import LinearHead, scaled

INVERSE_PENALTIES = (30, 100, 300, 1000)
"""Budgets: C in hundredths. Under much noise a small C is best, because others memorise wrong labels."""

_INNER_FOLDS = 4  # of the calibration
_MOST_CALIBRATED = 4_000  # examples up to which regressions are calibrated; of more they are calibrated
_LARGEST_LOG_SCALE = 4.0
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-7  # relative change of the loss
_RANK_TOLERANCE = 1e-8  # of the largest eigenvalue; directions below carry rounding errors
_LEAST = 1e-12  # of the largest eigenvalue, and so of a sum of squares


@dataclass(frozen=True)
class FeatureLearner:
    """Logistic regressions with an L2 penalty, calibrated; a budget is the C that multiplies the loss.

    With a strong penalty a regression is right more often than its small probabilities promise. Its logits
    are multiplied by the factor of least loss on held-out folds, so that the loss of held-out labels, by
    which C is chosen, prefers the C whose predictions are right and not the one that is confident.
    """

    name: ClassVar[str] = HEAD
    takes_transition: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True
    budgets: ClassVar[tuple[int, ...]] = INVERSE_PENALTIES

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a regression per job; see :class:`dilution.fitting.learners.Learner`."""
        from threadpoolctl import threadpool_limits

        assert isinstance(data.images, Tensor)
        features = data.images.flatten(1).double().numpy()
        takes_roots = bool(features.min() >= 0)
        values = scaled(features, takes_roots=takes_roots)
        starts: list[Floats | None] = [None] * len(jobs)
        for budget in budgets:
            members: list[Member] = []
            for number, job in enumerate(jobs):
                begin_models(f"{self.name}, {self.describe_budget(budget)}", number, 1, len(jobs))
                rows = job.rows[targets.weights[job.rows].sum(axis=1) > 0]
                with threadpool_limits(limits=1):  # bit-identical on any number of cores
                    own = _normalised(targets, rows)
                    design = _Design.of(values[rows])
                    solution = _solve(design, own, targets, budget / 100, starts[number])
                    weights, bias = design.weights_and_bias(solution)
                    scale = _calibration(values[rows], own, targets, budget / 100, job.seed)
                starts[number] = solution
                members.append(LinearHead(scale * weights, scale * bias, np.array(takes_roots)))
            yield members

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`dilution.fitting.learners.Learner`."""
        return f"C = {budget / 100:g}"


@dataclass(frozen=True)
class _Design:
    """Features in coordinates in which the regression is computed, with a last column of ones.

    Features that are more than the examples are projected to the span of these, in which a regression with
    an L2 penalty lies anyway.
    """

    values: NDArray[Any]
    basis: Floats | None
    centre: Floats
    scale: float

    @classmethod
    def of(cls, features: Floats) -> "_Design":
        centre = features.mean(axis=0)
        centred = features - centre
        scale = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
        centred /= scale
        ones = np.ones((len(features), 1))
        if len(features) >= features.shape[1]:
            return cls(np.hstack([centred, ones]).astype(np.float32), None, centre, scale)
        eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
        kept = eigenvalues > _RANK_TOLERANCE * max(float(eigenvalues[-1]), _LEAST)
        lengths, vectors = np.sqrt(eigenvalues[kept]), vectors[:, kept]
        basis = centred.T @ vectors / lengths
        return cls(np.hstack([vectors * lengths, ones]), basis, centre, scale)

    def weights_and_bias(self, solution: Floats) -> tuple[Floats, Floats]:
        """Return weights and bias for features that are neither centred nor projected."""
        weights = (solution[:-1] if self.basis is None else self.basis @ solution[:-1]) / self.scale
        bias: Floats = solution[-1] - self.centre @ weights
        return weights, bias


def _calibration(values: Floats, weights: Floats, targets: Targets, c: float, seed: int) -> float:
    """Return the factor of the logits of least loss on examples that regressions did not learn."""
    n = len(values)
    if n > _MOST_CALIBRATED or n < 2 * _INNER_FOLDS:
        return 1.0
    order = np.random.default_rng(seed).permutation(n)
    logits = np.zeros((n, weights.shape[1] if targets.transition is None else len(targets.transition)))
    for held_out in np.array_split(order, _INNER_FOLDS):
        rows = np.setdiff1d(order, held_out)
        own = weights[rows] * (len(rows) / weights[rows].sum())
        design = _Design.of(values[rows])
        coefficients, bias = design.weights_and_bias(_solve(design, own, targets, c, None))
        logits[held_out] = values[held_out] @ coefficients + bias

    def loss(log_scale: float) -> float:
        return label_loss(np.exp(log_scale) * logits, weights, targets.transition)[0]

    bounds = -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _normalised(targets: Targets, rows: Ints) -> Floats:
    """Return the target weights of some examples, of mean 1 per example."""
    own = targets.weights[rows]
    normalised: Floats = own * (len(own) / own.sum())
    return normalised


def _solve(design: _Design, weights: Floats, targets: Targets, c: float, start: Floats | None) -> Floats:
    """Return the coefficients of least loss, shape (coordinates + 1, classes), the bias last.

    The loss is C Σ_i Σ_k w_ik (−log P(label k | x_i)) + |W|²/2, where P are the probabilities of the classes,
    or of the noisy labels: their product with T.
    """
    transition = targets.transition
    n_classes = weights.shape[1] if transition is None else len(transition)
    shape = (design.values.shape[1], n_classes)
    penalised = np.ones((shape[0], 1))
    penalised[-1] = 0  # not the bias
    factor = c / len(weights)

    def loss(flat: Floats) -> tuple[float, Floats]:
        solution = flat.reshape(shape)
        logits = (design.values @ solution.astype(design.values.dtype)).astype(np.float64)
        value, slope = label_loss(logits, weights, transition)
        gradient = factor * (design.values.T @ slope.astype(design.values.dtype)).astype(np.float64)
        gradient += penalised * solution / len(weights)
        value = factor * value + 0.5 * float((penalised * solution**2).sum()) / len(weights)
        return value, gradient.ravel()

    first = np.zeros(shape) if start is None else start
    best = minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "ftol": _TOLERANCE},
    )
    solution: Floats = best.x.reshape(shape)
    return solution
