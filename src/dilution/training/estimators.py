"""Estimators: classifiers of scikit-learn, and custom ones, that are fitted to all labels at once.

They are fitted to the n(1 + alpha) examples of a diluted set, with each image as one row of
normalised numbers. Where a model chooses its step by the accuracy on clean validation labels, an
estimator of scikit-learn chooses among a few values of one hyperparameter.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dilution.errors import InputError, unknown
from dilution.models import MODELS, Classifier, canonical_name, names_factory
from dilution.noise import Dilution
from dilution.training.config import TrainConfig
from dilution.training.evaluation import Evaluator, Normalise, accuracy, predict_logits
from dilution.training.own_classifiers import (
    accepts_weights,
    class_probabilities,
    fit_classifier,
    make_classifier,
    torch_thread_count,
)
from dilution.training.result import TrainResult
from dilution.training.task import TrainTask
from dilution.utils import rng
from dilution.utils.docstrings import returned
from dilution.utils.named_call import name_in

_LARGEST_TABLE = 1 << 29  # numbers in a table of examples, 2 GiB in float32; estimators copy parts of it
_CHUNK = 1 << 15  # examples whose labels are computed at once
_LEAST_PROBABILITY = 1e-9  # its logarithm is finite


def _logistic(images: int, labels: float, seed: int) -> list[Classifier]:
    """Return logistic regression, its penalty chosen among 4."""
    from sklearn.linear_model import LogisticRegression

    del images, seed  # it draws no random numbers
    # C weighs the sum over labels against the penalty; divided by the labels per image, that weight does not
    # depend on the noise level.
    return [LogisticRegression(C=c / labels, max_iter=1000) for c in (1e-4, 1e-3, 1e-2, 1e-1)]


def _knn(images: int, labels: float, seed: int) -> list[Classifier]:
    """Return k nearest neighbours, k chosen among 1, 5, 20 and 50 images."""
    from sklearn.neighbors import KNeighborsClassifier

    del seed
    neighbours = (1, 5, 20, 50)  # images, each with all of its labels
    return [KNeighborsClassifier(round(k * labels)) for k in neighbours if k <= images]


def _forest(images: int, labels: float, seed: int) -> list[Classifier]:
    """Return a random forest of 100 trees, its leaf size chosen among 3."""
    from sklearn.ensemble import RandomForestClassifier

    del labels
    least = (1, 5, 25)  # smallest number of images whose labels a leaf holds
    fractions = sorted({min(0.5, k / images) for k in least})
    return [RandomForestClassifier(100, min_weight_fraction_leaf=p, random_state=seed) for p in fractions]


def _boosting(images: int, labels: float, seed: int) -> list[Classifier]:
    """Return gradient-boosted trees, 10 or 40 rounds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    del images, labels
    settings: dict[str, Any] = {"max_leaf_nodes": 15, "early_stopping": False, "random_state": seed}
    return [HistGradientBoostingClassifier(max_iter=rounds, **settings) for rounds in (10, 40)]


ESTIMATORS: dict[str, Callable[[int, float, int], list[Classifier]]] = {
    "sklearn:logistic": _logistic,
    "sklearn:knn": _knn,
    "sklearn:forest": _forest,
    "sklearn:boosting": _boosting,
}
"""Estimators by name: functions of the number of images, the mean number of labels per image and a
seed that return candidates, of which clean validation labels choose one. Other hyperparameters have
scikit-learn's defaults."""


def list_estimators() -> dict[str, str]:
    """Return the names of the estimators of scikit-learn, each with a one-line description."""
    return {name: returned(candidates) for name, candidates in ESTIMATORS.items()}


def check_model_name(name: object) -> str:
    """Return a name in its canonical spelling if a model or estimator can have it.

    The factory of a custom one is not imported.

    Raises
    ------
    InputError
        If it is no name of a model or estimator and is not written ``module:factory``.
    """
    if not isinstance(name, str):
        raise InputError(
            f"model is a {type(name).__name__}; it must be a name: 'conv4', or 'module:factory', the "
            "function that returns a model of your own."
        )
    if name in MODELS or name in ESTIMATORS:
        return name
    reference = name_in(name)
    if reference in MODELS or reference in ESTIMATORS:
        raise InputError(
            f"model is {name!r}; models of this package take no parameters. Give model={reference!r}, or "
            "'module:factory(parameter=value)' of your own."
        )
    if name.startswith("sklearn:"):
        raise unknown("estimator", name, ESTIMATORS)
    if not names_factory(name):
        raise unknown("model", name, (*MODELS, *ESTIMATORS))
    return canonical_name(name)


def check_estimator_settings(config: TrainConfig, model: str) -> None:
    """Refuse settings of steps and of their loss for an estimator, which would not use them.

    Raises
    ------
    InputError
        If one of them is set.
    """
    for name in ("loss", "mixup", "strategy", "early_stopping"):
        value = getattr(config, name)
        if value != TrainConfig.model_fields[name].default:
            reason = "takes no steps" if name == "early_stopping" else "has a loss of its own"
            raise InputError(
                f"{name} is {value!r} and model is {model!r}, an estimator, which {reason}. "
                f"Leave {name} out, or name a model that takes steps, such as 'mlp2'."
            )


def is_custom(name: str) -> bool:
    """Return whether a model or estimator is made by a factory of the user, ``module:factory``."""
    return names_factory(name) and name not in ESTIMATORS


def fit_estimator(task: TrainTask) -> TrainResult:
    """Fit an estimator to a diluted set.

    Parameters
    ----------
    task
        The training; :func:`check_estimator_settings` says which settings it may have. Random numbers of the
        estimator come from the stream ``"learner"`` of the seed.

    Returns
    -------
    TrainResult
        The history has one row, of step 0: there are no steps.

    Raises
    ------
    InputError
        If the table of all examples would not fit in memory, or the estimator raises or does not
        return probabilities.
    """
    check_estimator_settings(task.config, task.model)
    started = time.perf_counter()
    noisy = task.noisy
    training, held_out = noisy.hold_out(task.n_val)
    normalise = Normalise(training.data, training.clean_rows)
    candidates = _candidates(task.model, training, task.seed)
    with torch_thread_count():
        examples = _example_table(training, normalise, weighted=accepts_weights(candidates[0]))
        fitted = [
            _FittedEstimator(task.model, estimator, noisy.classes).fit(examples) for estimator in candidates
        ]
        best = fitted[0] if len(fitted) == 1 else max(fitted, key=_validation_accuracy(normalise, held_out))
        measures = Evaluator(normalise, held_out, task.test)(best)
    return TrainResult(
        state="done",
        history=pd.DataFrame([{"step": 0} | measures]),
        noise_summary=training.noise_summary(),
        n_train=training.n,
        n_val=held_out.n,
        n_test=len(task.test),
        seconds=time.perf_counter() - started,
        diverged_at=None,
        model=best,
        normalise=normalise,
        model_step=0,
    )


def _candidates(name: str, training: Dilution, seed: int) -> list[Classifier]:
    """Return the estimators to fit, of which one is chosen."""
    random_state = rng.stream(seed, "learner") & (2**32 - 1)  # the range of scikit-learn's seeds
    if name in ESTIMATORS:
        return ESTIMATORS[name](training.n, len(training) / training.n, random_state)
    return [make_classifier(name, training.data.shape, training.classes, seed, random_state)]


class _ExampleTable(NamedTuple):
    """The examples that an estimator is fitted to."""

    features: NDArray[np.float32]  # (rows, features)
    labels: NDArray[np.int64]  # (rows,)
    weights: NDArray[np.float64] | None  # (rows,); None if every row has weight 1


def _example_table(training: Dilution, normalise: Normalise, *, weighted: bool) -> _ExampleTable:
    """Return all examples as a table; weighted, one row per image and label that it carries."""
    if weighted and training.image_source.name == "same":
        parts = [_weighted_labels(training, index) for index in torch.arange(training.n).split(_CHUNK)]
        image, labels, counts = (torch.cat(column) for column in zip(*parts, strict=True))
        _check_size(len(image), training)
        features = normalise(training.data.take(training.clean_rows)).flatten(1)
        return _ExampleTable(features[image].numpy(), labels.numpy(), counts.double().numpy())
    _check_size(len(training), training)
    indices = torch.arange(len(training)).split(_CHUNK)
    features = torch.cat([normalise(training.images(index)).flatten(1) for index in indices])
    labels = torch.cat([training.labels(index) for index in indices])
    return _ExampleTable(features.numpy(), labels.numpy(), None)


def _weighted_labels(training: Dilution, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return image index, label and count of each label that occurs; all of shape (rows,)."""
    counts = training.histogram(index)
    row, label = counts.nonzero(as_tuple=True)
    return index[row], label, counts[row, label]


def _check_size(rows: int, training: Dilution) -> None:
    features = int(np.prod(training.data.shape))
    if rows * features > _LARGEST_TABLE:
        raise InputError(
            f"an estimator needs a table of {rows:,} examples × {features:,} features; it can hold at most "
            f"{_LARGEST_TABLE:,} numbers, to fit in memory. Give a smaller n or alpha."
        )


def _validation_accuracy(normalise: Normalise, held_out: Dilution) -> Callable[["_FittedEstimator"], float]:
    """Return the function that measures accuracy on clean validation labels."""
    images = held_out.data.subset(held_out.clean_rows)
    true = held_out.true_labels(torch.arange(held_out.n))
    return lambda fitted: accuracy(predict_logits(fitted, normalise, images), true)


@contextmanager
def _quiet_rounding(name: str) -> Iterator[None]:
    """Ignore that a built-in regression ended its line search at rounding errors: validation judges it.

    An estimator of the user's own warns as it does.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        if name in ESTIMATORS:
            warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class _FittedEstimator(nn.Module):
    """An estimator with the interface of a model: its logits are logarithms of probabilities."""

    def __init__(self, name: str, estimator: Classifier, classes: int) -> None:
        super().__init__()
        self.name, self.estimator, self.classes = name, estimator, classes

    def fit(self, examples: _ExampleTable) -> "_FittedEstimator":
        """Fit the estimator, and return this object."""
        features, labels, weights = examples
        with _quiet_rounding(self.name):
            fit_classifier(self.name, self.estimator, features, labels, weights)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities, float32 of shape (b, classes)."""
        rows = x.flatten(1).numpy()
        probabilities = class_probabilities(self.name, self.estimator, rows, self.classes)
        return torch.from_numpy(probabilities).clamp_(min=_LEAST_PROBABILITY).log_().float()
