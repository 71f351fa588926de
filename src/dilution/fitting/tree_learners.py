"""The learners of trees of scikit-learn, random forests and boosted ones, fitted to one label per example."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.fitted_model import Member
from dilution.fitting.forest import Forest
from dilution.fitting.learners import Floats, Ints, Job, Targets, begin_models
from dilution.utils import rng

ROUNDS = (10, 20, 40, 80, 160)
"""Budgets of boosted trees."""

_MOST_TREES = 480  # of a boosting: a round has a tree per class
_N_TREES = 60
_BINS = 63  # of a feature, for boosting: finding weighted percentiles for 255 takes longer than the trees
_LEAF = 5  # rows of a leaf of a forest: one of a single row would repeat its label
_ROWS_PER_LEAF = 1000  # or as many rows per leaf as thousands of rows


@dataclass(frozen=True)
class _TreeLearner:
    """Trees of scikit-learn, fitted to one weighted label per example."""

    name: ClassVar[str]
    takes_transition: ClassVar[bool] = False
    takes_weights: ClassVar[bool] = True

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget the trees of each job; see :class:`Learner`."""
        assert isinstance(data.images, Tensor)
        features, classes = data.images.flatten(1).numpy(), len(data.classes)
        labels, weights = targets.weights.argmax(axis=1), targets.weights.sum(axis=1)
        fits = []
        for number, job in enumerate(jobs):
            begin_models(self.name, number, 1, len(jobs))
            rows = job.rows[weights[job.rows] > 0]
            own = weights[rows] * (len(rows) / weights[rows].sum())
            state = rng.stream(job.seed, "learner") & (2**32 - 1)
            fits.append(self._fit(features[rows], labels[rows], own, state, classes, max(budgets)))
        for budget in budgets:
            yield [self._cut(fit, budget) for fit in fits]

    def _fit(
        self, x: NDArray[np.float32], y: Ints, weights: Floats, state: int, classes: int, budget: int
    ) -> Member:
        raise NotImplementedError

    def _cut(self, member: Member, budget: int) -> Member:
        del budget
        return member


@dataclass(frozen=True)
class ForestLearner(_TreeLearner):
    """Random forests."""

    name: ClassVar[str] = "sklearn:forest"
    budgets: ClassVar[tuple[int, ...]] = (_N_TREES,)

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`Learner`."""
        return f"{budget} trees"

    def _fit(
        self, x: NDArray[np.float32], y: Ints, weights: Floats, state: int, classes: int, budget: int
    ) -> Member:
        from sklearn.ensemble import RandomForestClassifier

        leaf = min(max(_LEAF, len(y) // _ROWS_PER_LEAF), max(1, len(y) // 10))
        forest = RandomForestClassifier(budget, min_samples_leaf=leaf, random_state=state)
        return Forest.of_classifier(forest.fit(x, y, sample_weight=weights), classes)


@dataclass(frozen=True)
class BoostingLearner(_TreeLearner):
    """Gradient-boosted trees; a budget is a number of rounds, and fewer rounds are the first ones of more.

    Parameters
    ----------
    classes
        Number of classes.
    """

    classes: int
    name: ClassVar[str] = "sklearn:boosting"

    @property
    def trees_per_round(self) -> int:
        """Trees of a round: one per class, and one for two classes."""
        return 1 if self.classes == 2 else self.classes

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets in ascending order: rounds."""
        return tuple(k for k in ROUNDS if k == ROUNDS[0] or k * self.trees_per_round <= _MOST_TREES)

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`Learner`."""
        return f"{budget} rounds"

    def _fit(
        self, x: NDArray[np.float32], y: Ints, weights: Floats, state: int, classes: int, budget: int
    ) -> Member:
        from sklearn.ensemble import HistGradientBoostingClassifier

        if len(np.unique(y)) < 2:  # boosting refuses a single class; the forest of it is constant
            return ForestLearner()._fit(x, y, weights, state, classes, 1)
        boosting = HistGradientBoostingClassifier(
            max_iter=budget,
            max_leaf_nodes=15,
            max_bins=_BINS,
            min_samples_leaf=min(20, max(2, len(y) // 20)),
            early_stopping=False,
            random_state=state,
        )
        given = None if (weights == weights[0]).all() else weights  # percentiles without weights are faster
        return BoostedTrees.of_classifier(boosting.fit(x, y, sample_weight=given), classes)

    def _cut(self, member: Member, budget: int) -> Member:
        return replace(member, roots=member.roots[:budget]) if isinstance(member, BoostedTrees) else member
