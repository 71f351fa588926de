"""Learners: the kinds of models that are fitted to weighted labels, at several budgets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.diagnosis.many_classes import has_many_classes
from dilution.errors import InputError
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.fitted_model import Member, Network
from dilution.fitting.forest import Forest
from dilution.models import build_model, errors_of_model
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, train_together
from dilution.training.ensemble import is_stackable
from dilution.training.recipes import ADVISED, built_in_recipe, config_with_recipe, read_recipe
from dilution.utils import rng

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EPOCHS = (2, 4, 8, 16, 32)
"""Budgets of a network: under much noise few epochs are best, because more memorise the wrong labels."""
ROUNDS = (10, 20, 40, 80, 160)
"""Budgets of boosted trees."""

_STEPS_PER_EPOCH = 30  # at least: a hundred rows in two epochs would teach nothing
_MOST_TOGETHER = 16  # networks that train as one ensemble
_MOST_TREES = 480  # of a boosting: a round has a tree per class
_LEAST_ROWS = (
    1024  # fewer are repeated: a new order for every pass over a hundred rows takes longer than the pass
)
_N_TREES = 60
_BINS = 63  # of a feature, for boosting: finding weighted percentiles for 255 takes longer than the trees
_LEAF = 5  # rows of a leaf of a forest: one of a single row would repeat its label
_ROWS_PER_LEAF = 1000  # or as many rows per leaf as thousands of rows


@dataclass(frozen=True)
class Targets:
    """What models learn in place of the labels.

    Parameters
    ----------
    weights
        Weight of each class for each example, float64, shape (n, classes). With verified labels beside a
        transition matrix, shape (n, 2 · classes): noisy labels first, then true ones.
    transition
        T[true, noisy] of forward correction, float64, shape (classes, classes), or (classes, 2 · classes)
        with the identity behind it. None: cross entropy with the weights.
    """

    weights: Floats
    transition: Floats | None = None


@dataclass(frozen=True)
class Job:
    """One model to fit.

    Parameters
    ----------
    rows
        Examples to learn from, int64.
    seed
        Root seed of weights, batch order and trees.
    """

    rows: Ints
    seed: int


class Learner(Protocol):
    """A kind of model."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def takes_transition(self) -> bool:
        """Whether forward correction applies to it."""

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets in ascending order."""

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a fitted model per job."""

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words."""


@dataclass(frozen=True)
class NetworkLearner:
    """A network by name, trained by a recipe; small ones train together.

    Parameters
    ----------
    name
        Name of the network.
    recipe
        ``"advised"``, the path of a recipe, or None: the built-in one.
    device
        As for :func:`dilution.train`.
    budgets
        Epochs.
    """

    name: str
    recipe: Any = None
    device: str = "cpu"
    budgets: tuple[int, ...] = EPOCHS

    @property
    def takes_transition(self) -> bool:
        """Whether forward correction can be trained: not with another loss that a recipe names."""
        is_built_in = self.recipe in (None, ADVISED)
        return is_built_in or read_recipe(self.recipe).get("loss", "cross_entropy") == "cross_entropy"

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget a network per job; see :class:`Learner`."""
        # With many classes a network fills the processor alone, and weights per example and class the memory.
        at_once = _MOST_TOGETHER if self.is_stackable(data) and not has_many_classes(len(data.classes)) else 1
        weights = torch.from_numpy(targets.weights).float()
        transition = None if targets.transition is None else torch.from_numpy(targets.transition).float()
        for epochs in budgets:
            config = self._config(min(len(job.rows) for job in jobs), epochs, data.shape)
            members: list[Member] = []
            for first in range(0, len(jobs), at_once):
                tasks = [
                    self._task(data, weights, transition, job, config)
                    for job in jobs[first : first + at_once]
                ]
                with errors_of_model(self.name):
                    results = train_together(tasks, self.device)
                for result in results:
                    if result.state == "diverged":
                        raise InputError(
                            f"{self.name} diverged at step {result.diverged_at}; its loss must stay finite. "
                            "Pass a recipe with a smaller learning rate, or recipe='advised'."
                        )
                    members.append(Network(result.model, result.normalise))
            yield members

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`Learner`."""
        return f"{budget} epochs"

    def is_stackable(self, data: Arrays) -> bool:
        """Return whether networks of this name compute together: several cost little more than one."""
        return is_stackable(build_model(self.name, data.shape, len(data.classes), seed=0))

    def _config(self, n: int, epochs: int, shape: tuple[int, int, int]) -> TrainConfig:
        if self.recipe in (None, ADVISED):
            settings = built_in_recipe(alpha=0.0, images=epochs * n, pooled=False, shape=shape)
        else:
            settings = read_recipe(self.recipe)
        base = TrainConfig(n_evals=1, batch_size=1)
        config = config_with_recipe(base, epochs * n, settings | {"targets": "pooled"})
        return config.model_copy(update={"steps": max(_STEPS_PER_EPOCH * epochs, config.steps or 1)})

    def _task(
        self, data: Arrays, weights: Tensor, transition: Tensor | None, job: Job, config: TrainConfig
    ) -> TrainTask:
        rows = torch.from_numpy(job.rows)
        rows = rows[weights[rows].sum(dim=1) > 0]
        rows = rows.repeat(-(-_LEAST_ROWS // len(rows)))
        part = replace(data.subset(rows), groups=None, observed=None)
        own = weights[rows]
        own *= len(own) / own.sum()  # so that the learning rate does not depend on the weights
        return TrainTask(
            self.name,
            Dilution(part, alpha=0, seed=job.seed),
            part,
            job.seed,
            0,
            config,
            label_weights=own,
            transition=transition,
            compress=data.dtype == torch.float32,
        )


@dataclass(frozen=True)
class _TreeLearner:
    """Trees of scikit-learn, fitted to one weighted label per example."""

    takes_transition: ClassVar[bool] = False

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield for each budget the trees of each job; see :class:`Learner`."""
        assert isinstance(data.images, Tensor)
        features, classes = data.images.flatten(1).numpy(), len(data.classes)
        labels, weights = targets.weights.argmax(axis=1), targets.weights.sum(axis=1)
        fits = []
        for job in jobs:
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
