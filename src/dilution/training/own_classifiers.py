"""Classifiers with scikit-learn's interface: made, fitted and asked for probabilities; errors name them."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dilution.errors import InputError
from dilution.models import Classifier, call_factory
from dilution.utils.references import describe_exception


def make_classifier(
    name: str, shape: tuple[int, int, int], classes: int, seed: int, state: int
) -> Classifier:
    """Return the classifier that a factory makes, whose unset random states are set.

    Parameters
    ----------
    name
        ``"module:factory"``, also with parameters.
    shape
        Image shape (channels, height, width).
    classes
        Number of classes.
    seed
        Root seed.
    state
        Random state, in [0, 2³²).

    Raises
    ------
    InputError
        If the factory breaks a rule, or returns a network.
    """
    classifier = call_factory(name, shape, classes, seed=seed)
    if isinstance(classifier, nn.Module):
        raise InputError(
            f"{name!r} returned a model after it had returned an estimator; it must always return the same."
        )
    params = classifier.get_params() if hasattr(classifier, "get_params") else {}
    unset = [key for key, value in params.items() if key.endswith("random_state") and value is None]
    if unset and hasattr(classifier, "set_params"):
        classifier.set_params(**dict.fromkeys(unset, state))
    return classifier


def accepts_weights(classifier: Classifier) -> bool:
    """Return whether the fit of a classifier takes ``sample_weight``."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(classifier, "sample_weight"))


def fit_classifier(
    name: str,
    classifier: Classifier,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
) -> None:
    """Fit a classifier.

    Parameters
    ----------
    name
        Its name, for messages.
    classifier
        The classifier.
    features
        Shape (n, features).
    labels
        Class numbers, shape (n,).
    weights
        Weights of the rows, shape (n,); None: all are 1.

    Raises
    ------
    InputError
        If it raises.
    """
    given = {} if weights is None else {"sample_weight": weights}
    try:
        classifier.fit(features, labels, **given)
    except Exception as error:
        raise InputError(
            f"model is {name!r}; its fit raised {describe_exception(error)} on "
            f"{len(labels):,} examples of {features.shape[1]:,} features, "
            f"labels {np.unique(labels).tolist()[:10]}."
        ) from None


def class_probabilities(
    name: str, classifier: Classifier, features: NDArray[np.float32], classes: int
) -> NDArray[np.float64]:
    """Return the probability of each class, float64 of shape (n, classes); 0 for those that had no label.

    Parameters
    ----------
    name
        Name of the classifier, for messages.
    classifier
        A fitted classifier.
    features
        Shape (n, features).
    classes
        Number of classes.

    Raises
    ------
    InputError
        If it raises or does not return probabilities.
    """
    try:
        probabilities = np.asarray(classifier.predict_proba(features), dtype=np.float64)
    except Exception as error:
        raise InputError(
            f"model is {name!r}; its predict_proba raised {describe_exception(error)}."
        ) from None
    # scikit-learn lists the classes that had labels in `classes_`; the others have no column.
    known = np.asarray(getattr(classifier, "classes_", np.arange(classes)))
    expected = (len(features), len(known))
    if probabilities.shape != expected or not np.isfinite(probabilities).all():
        raise InputError(
            f"model is {name!r}; its predict_proba returned shape {probabilities.shape} for "
            f"{len(features)} images; it must return finite probabilities of shape {expected}."
        )
    columns = np.zeros((len(features), classes))
    columns[:, known] = probabilities
    return columns


@contextmanager
def torch_thread_count() -> Iterator[None]:
    """Limit the libraries below scikit-learn to as many threads as PyTorch uses."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=torch.get_num_threads()):
        yield
