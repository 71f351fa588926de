"""The learner for classifiers of scikit-learn, or with its interface, that a user passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.fitted_model import Member
from dilution.fitting.forest import Forest
from dilution.fitting.learners import Job, Targets, begin_models
from dilution.models import Classifier
from dilution.training.own_classifiers import (
    accepts_weights,
    class_probabilities,
    fit_classifier,
    make_classifier,
    torch_thread_count,
)
from dilution.utils import rng

_LARGEST_PIXEL = 255
_MOST_ROWS = 10_000_000  # that stand for weights


@dataclass(frozen=True, repr=False)
class FittedEstimator:
    """A fitted classifier as a member of an average. A file that runs no code cannot hold it.

    Parameters
    ----------
    name
        Its name, for messages.
    classifier
        The classifier.
    n_classes
        Number of classes, of which some may have had no example.
    """

    name: str
    classifier: Classifier
    n_classes: int

    def __repr__(self) -> str:
        return f"FittedEstimator({type(self.classifier).__name__})"

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes)."""
        with torch_thread_count():
            return class_probabilities(self.name, self.classifier, _rows(images), self.n_classes)


@dataclass(frozen=True)
class EstimatorLearner:
    """A classifier by name, fitted to one weighted label per example with its own settings.

    It gets the features as they are, float32, or the pixels of an image as a row of numbers in [0, 1].

    Parameters
    ----------
    name
        ``"module:factory"`` of a function or class that makes the classifier.
    takes_weights
        Whether its fit takes ``sample_weight``.
    is_saved
        Whether a model file can hold it.
    """

    name: str
    takes_weights: bool
    is_saved: bool
    takes_transition: ClassVar[bool] = False
    budgets: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def of(cls, name: str, data: Arrays) -> EstimatorLearner:
        """Return the learner of a classifier that a factory makes for these data."""
        classifier = make_classifier(name, data.shape, len(data.classes), 0, 0)
        return cls(name, accepts_weights(classifier), _is_storable(classifier, data.dtype))

    def describe_budget(self, budget: int) -> str:
        """Return a budget in words; see :class:`dilution.fitting.learners.Learner`."""
        del budget
        return "with its own settings"

    def fit(
        self, data: Arrays, targets: Targets, jobs: Sequence[Job], budgets: Sequence[int]
    ) -> Iterator[list[Member]]:
        """Yield the classifier of each job; see :class:`dilution.fitting.learners.Learner`."""
        n_classes = len(data.classes)
        labels, weights = targets.weights.argmax(axis=1), targets.weights.sum(axis=1)
        members: list[Member] = []
        for number, job in enumerate(jobs):
            begin_models(self.name, number, 1, len(jobs))
            rows = job.rows[weights[job.rows] > 0]
            if not self.takes_weights:  # whole weights, as of copies, are rows
                rows = np.repeat(rows, weights[rows].astype(np.int64))
            own = weights[rows] * (len(rows) / weights[rows].sum())
            state = rng.stream(job.seed, "learner") & (2**32 - 1)
            classifier = make_classifier(self.name, data.shape, n_classes, job.seed, state)
            given = None if not self.takes_weights or (own == own[0]).all() else own
            with torch_thread_count():
                features = _rows(data.take(torch.from_numpy(rows)))
                fit_classifier(self.name, classifier, features, labels[rows], given)
            members.append(_member(self.name, classifier, n_classes, data.dtype))
        for _ in budgets:
            yield members


def check_weights(learner: EstimatorLearner, weights: NDArray[np.float64]) -> None:
    """Refuse weights of examples for a classifier that takes none: whole ones are numbers of rows.

    Parameters
    ----------
    learner
        The learner.
    weights
        Weight of each example, float64, shape (n,).

    Raises
    ------
    InputError
        If a weight is no whole number, or they are more rows than fit in memory.
    """
    if learner.takes_weights:
        return
    is_part = weights % 1 != 0
    if is_part.any() or weights.sum() > _MOST_ROWS:
        reason = (
            f"{weights[is_part][0]:g}, which is no whole number of rows"
            if is_part.any()
            else f"a sum of {weights.sum():g} rows, and may have {_MOST_ROWS:,}"
        )
        raise InputError(
            f"model is {learner.name!r}, whose fit takes no sample_weight, and sample_weight has {reason}. "
            "Leave sample_weight out, or pass a classifier that takes it, such as RandomForestClassifier()."
        )


def cannot_save(name: str) -> str:
    """Return why no model file can hold a classifier, and what to do.

    Parameters
    ----------
    name
        Name of the classifier.
    """
    return (
        f"model is {name!r}, a classifier of code that a model file, which runs none, cannot hold: it holds "
        "networks, logistic regressions, forests and boosted trees. Use "
        "model='sklearn:boosting', or in Python joblib.dump(dilution.fit(data, model=model), 'model.joblib')."
    )


def _rows(images: Tensor) -> NDArray[np.float32]:
    """Return examples as rows of numbers: features as they are, pixels divided by 255."""
    rows = images.flatten(1)
    values: NDArray[np.float32] = (rows / _LARGEST_PIXEL if rows.dtype == torch.uint8 else rows).numpy()
    return values


def _is_storable(classifier: Classifier, dtype: torch.dtype) -> bool:
    """Return whether a model file can hold the classifier once it is fitted: trees that take features."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier

    kinds = ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
    has_categories = getattr(classifier, "categorical_features", None) not in (None, "from_dtype")
    return dtype == torch.float32 and type(classifier) in kinds and not has_categories


def _member(name: str, classifier: Classifier, n_classes: int, dtype: torch.dtype) -> Member:
    """Return a fitted classifier as plain arrays where it is one of trees, otherwise as it is."""
    if not _is_storable(classifier, dtype):
        return FittedEstimator(name, classifier, n_classes)
    if hasattr(classifier, "estimators_"):
        return Forest.of_classifier(classifier, n_classes)
    return BoostedTrees.of_classifier(classifier, n_classes)
