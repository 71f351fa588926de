"""The learner of linear models: logistic regression with an L2 penalty, also with forward correction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

from dilution.data import Arrays
from dilution.fitting.fitted_model import Member
from dilution.fitting.label_loss import label_loss
from dilution.fitting.learners import Floats, Job, Targets, begin_models
from dilution.fitting.linear import Linear, compress

INVERSE_PENALTIES = (3, 10, 30, 100, 300, 1000)
"""Budgets: inverse penalties of the squared weights, whose halves are added to the mean loss."""

_MAX_ITERATIONS = 200


@dataclass(frozen=True)
class LinearLearner:
    """Logistic regression as scikit-learn defines it; under much noise a large penalty is best.

    It is fitted here, because forward correction is no option of scikit-learn.
    """

    name: ClassVar[str] = "sklearn:logistic"
    takes_transition: ClassVar[bool] = True
    takes_weights: ClassVar[bool] = True
    budgets: ClassVar[tuple[int, ...]] = INVERSE_PENALTIES

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`Learner`."""
        return f"L2 penalty 1/{budget}"

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a linear model per job; each starts from that of the budget before."""
        assert isinstance(data.images, Tensor)
        features = data.images.flatten(1).double().numpy()
        problems = [_Problem(features, targets, job, len(data.classes)) for job in jobs]
        for budget in budgets:
            members: list[Member] = []
            for number, problem in enumerate(problems):
                begin_models(f"{self.name}, {self.describe_budget(budget)}", number, 1, len(problems))
                members.append(problem.solve(1 / budget))
            yield members


class _Problem:
    """The weighted labels of one job, and the weights of the last budget, from which the next one starts."""

    def __init__(self, features: Floats, targets: Targets, job: Job, classes: int) -> None:
        rows = job.rows[targets.weights[job.rows].sum(axis=1) > 0]
        own = features[rows]
        deviation = own.std(axis=0)
        self._mean = own.mean(axis=0)
        self._scale = 1 / np.where(deviation > np.finfo(np.float32).tiny, deviation, 1.0)
        self._inputs = compress(own, self._mean, self._scale)
        weights = targets.weights[rows]
        self._targets, self._transition = weights / weights.sum(), targets.transition
        self._shape = (classes, own.shape[1] + 1)
        self._start = np.zeros(classes * (own.shape[1] + 1))

    def solve(self, penalty: float) -> Linear:
        """Return the model of the smallest penalised loss."""
        best = minimize(
            self._loss,
            self._start,
            args=(penalty,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS},
        )
        self._start = best.x
        weights = best.x.reshape(self._shape)
        return Linear(self._mean, self._scale, weights[:, :-1].copy(), weights[:, -1].copy())

    def _loss(self, parameters: Floats, penalty: float) -> tuple[float, Floats]:
        """Return the mean cross entropy with half the penalty of the squared weights, and its gradient."""
        weights = parameters.reshape(self._shape)
        logits = self._inputs @ weights[:, :-1].T + weights[:, -1]
        loss, by_logits = label_loss(logits, self._targets, self._transition)
        gradient = np.column_stack([by_logits.T @ self._inputs, by_logits.sum(axis=0)])
        gradient[:, :-1] += penalty * weights[:, :-1]
        return loss + penalty / 2 * float((weights[:, :-1] ** 2).sum()), gradient.ravel()
