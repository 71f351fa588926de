"""A classifier with scikit-learn's interface that expects wrong labels in its training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from dilution.data import Arrays, UnsplitData
from dilution.data.conversion import to_array, to_features, to_uint8
from dilution.diagnosis.cross_validation import FOLDS
from dilution.errors import DataError, InputError
from dilution.fitting.fit import N_BOOTSTRAP, fit
from dilution.fitting.label_types import label_type
from dilution.fitting.model_file import load_model
from dilution.fitting.new_arrays import convert
from dilution.models.registry import ModelFactory
from dilution.study.execution import Execution
from dilution.training.image_features import ExtractFeatures

_LARGEST_SEED = 2**31 - 1
_FACTS = "classifier"  # facts of a model file from which the classifier is restored
_PARAMETERS = (bool, int, float, str)  # types that a file keeps; others are objects
_KINDS = "biufU"  # of class labels that a file keeps


class NoisyLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classifier for training labels of which some are wrong, with scikit-learn's conventions.

    It is :func:`dilution.fit` for arrays: the noise is estimated by cross-validation, a method against it is
    chosen by how well held-out noisy labels are predicted, and the model is fitted to all rows. Rows that are
    equal, label included, are one row with the sum of their weights.

    Parameters
    ----------
    method
        ``"auto"``, ``"plain"``, ``"forward"``, ``"prune"`` or ``"reweight"``, as for :func:`dilution.fit`.
    model, features
        As for :func:`dilution.fit`; features of images, by a function or a published network.
    n_models
        Number of networks that are averaged. Default: 4 of those that train together, otherwise 1.
    folds
        Folds of the cross-validation.
    n_bootstrap
        Bootstrap samples behind the intervals of `result_`.
    recipe, loss
        As for :func:`dilution.fit`.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    verbose
        Whether progress is shown on stderr.
    random_state
        Seed, generator of NumPy, or None, as everywhere in scikit-learn.

    Attributes
    ----------
    classes_
        The class labels, ascending.
    n_features_in_, feature_names_in_
        Number of features, and their names if X was a DataFrame. Not there for images.
    model_
        The fitted model.
    result_
        The :class:`dilution.fitting.FitResult` with the diagnosis and the estimated accuracy. Not there after
        :meth:`load`.
    """

    def __init__(
        self,
        method: str = "auto",
        *,
        model: Any = None,
        features: Any = None,
        n_models: int | None = None,
        folds: int = FOLDS,
        n_bootstrap: int = N_BOOTSTRAP,
        recipe: str | Path | None = None,
        loss: Any = None,
        device: str = "cpu",
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.method = method
        self.model = model
        self.features = features
        self.n_models = n_models
        self.folds = folds
        self.n_bootstrap = n_bootstrap
        self.recipe = recipe
        self.loss = loss
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the classifier to noisy labels.

        Parameters
        ----------
        X
            Features, shape (n, features), any finite numbers; or images, shape (n, height, width) or
            (n, channels, height, width), uint8 or floats in [0, 1].
        y
            Noisy labels, shape (n,).
        sample_weight
            Weights, shape (n,), ≥ 0. A weight of 2 is the same as a row twice, one of 0 as no row.

        Returns
        -------
        NoisyLabelClassifier
            The classifier itself.

        Raises
        ------
        ValueError
            If an argument breaks its rule; :class:`dilution.InputError` is one.
        """
        if _is_images(X):
            images, _ = to_uint8(X, "X")
            inputs, labels = torch.from_numpy(images), column_or_1d(y, warn=True)
            if len(labels) != len(inputs):
                raise InputError(
                    f"there are {len(labels):,} labels for {len(inputs):,} images; there must be one per "
                    "image. Check that both come from the same rows."
                )
            weights = _check_sample_weight(
                sample_weight, inputs.numpy(), dtype=np.float64, ensure_non_negative=True
            )
        else:
            X, labels = self._read_features(X, y)
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            inputs = torch.from_numpy(to_features(X, "X"))
        check_classification_targets(labels)
        used = weights > 0  # some are: scikit-learn has checked it
        inputs, weights = inputs[torch.from_numpy(used)], weights[used]
        self.classes_, numbers = np.unique(labels[used], return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"all labels are of one class, {self.classes_[0]!r}; a classifier needs at least two "
                "classes. Add examples of another class."
            )
        inputs, numbers, weights = _without_copies(inputs, numbers.astype(np.int64), weights)
        arrays = Arrays(inputs, torch.from_numpy(numbers), tuple(map(str, self.classes_.tolist())))
        result = fit(
            UnsplitData(arrays),
            method=self.method,
            model=self.model,
            features=self.features,
            sample_weight=weights,
            n_models=self.n_models,
            folds=self.folds,
            n_bootstrap=self.n_bootstrap,
            seed=int(check_random_state(self.random_state).randint(_LARGEST_SEED)),
            recipe=self.recipe,
            loss=self.loss,
            execution=Execution(device=self.device, progress=self.verbose),
        )
        # The names of the classes are text; the model predicts labels as they were given.
        kind = label_type((None, self.classes_), None, result.model.classes)
        self.result_ = replace(result, model=replace(result.model, label_type=kind))
        self.model_ = self.result_.model
        return self

    def _read_features(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return features and labels as scikit-learn reads them; of text the message names what takes it."""
        try:
            features, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=False)
        except ValueError as error:
            if not str(error).startswith("could not convert string to float"):
                raise
            raise InputError(
                f"X has a feature that is text ({error}); the classifier takes numbers. Encode it in a "
                "Pipeline, for instance with OneHotEncoder, or pass the DataFrame to dilution.fit, which "
                "takes text."
            ) from error
        return features, labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each true class, float64 of shape (n, classes), columns as `classes_`.

        Raises
        ------
        ValueError
            If X is of another kind, shape or range than in the fit.
        """
        check_is_fitted(self, "model_")
        if self.model_.dtype == torch.uint8:
            images, _ = convert(X, self.model_.shape, self.model_.dtype, "X")
            return self.model_.probabilities(images)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return self.model_.probabilities(torch.from_numpy(to_features(X, "X")))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable class of each row, shape (n,), as :meth:`predict_proba` takes them."""
        probabilities = self.predict_proba(X)
        predicted: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return predicted

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted classifier to a file and return its path; ``dilution predict`` reads it too.

        Raises
        ------
        InputError
            If the class labels are of a type that a file does not keep, or there is another file.
        """
        check_is_fitted(self, "model_")
        kind = np.asarray(self.classes_.tolist()).dtype.kind
        if kind not in _KINDS:
            raise InputError(
                f"class labels are of type {self.classes_.dtype}; a file keeps numbers, truth values and "
                "texts. Fit the classifier to y.astype(str)."
            )
        names = getattr(self, "feature_names_in_", None)
        fitted = {
            "classes": self.classes_.tolist(),
            "classes_type": self.classes_.dtype.str if self.classes_.dtype.kind != "O" else "object",
            "feature_names": None if names is None else names.tolist(),
            "parameters": {
                name: value
                for name, value in self.get_params(deep=False).items()
                if value is None or type(value) in _PARAMETERS
            },
        }
        saved = replace(self.model_, facts={**self.model_.facts, _FACTS: fitted})
        return saved.save(path, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: str | ModelFactory | None = None,
        features: str | ExtractFeatures | None = None,
    ) -> Self:
        """Return the fitted classifier in a file, with its parameters.

        Parameters that are objects, such as a function in `model`, are the defaults.

        Parameters
        ----------
        path
            A file that :meth:`save` wrote.
        model, features
            As for :func:`dilution.load_model`.

        Raises
        ------
        DataError
            If the file is damaged, or holds a model that is no classifier.
        """
        loaded = load_model(path, model=model, features=features)
        fitted = loaded.facts.get(_FACTS)
        if not isinstance(fitted, dict):
            raise DataError(
                f"{path} holds a model that was not saved by a NoisyLabelClassifier. Read it with "
                f"dilution.load_model({str(path)!r})."
            )
        try:
            # Files of earlier versions have no parameters.
            classifier = cls(**{"method": loaded.method, **fitted.get("parameters", {})})
            classifier.classes_ = np.array(fitted["classes"], dtype=np.dtype(str(fitted["classes_type"])))
            if len(classifier.classes_) != len(loaded.classes):
                raise ValueError("as many classes as the model has")
            if loaded.dtype == torch.float32:
                classifier.n_features_in_ = loaded.shape[0]
                if fitted["feature_names"] is not None:
                    names = [str(name) for name in fitted["feature_names"]]
                    classifier.feature_names_in_ = np.array(names, dtype=object)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no classifier: it lacks {error}. Save it again.") from error
        classifier.model_ = loaded
        return classifier


def _is_images(values: Any) -> bool:
    """Return whether X has the dimensions of images."""
    return np.ndim(values) in (3, 4) if hasattr(values, "ndim") else np.ndim(to_array(values, "X")) in (3, 4)


def _without_copies(
    inputs: torch.Tensor, numbers: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[torch.Tensor, NDArray[np.int64], NDArray[np.float64]]:
    """Return rows in an order of their own, each once with the sum of its weights; images stay as they are.

    So the result depends neither on the order of the rows, nor on whether a row has a weight or copies.
    """
    if inputs.dtype == torch.uint8:
        return inputs, numbers, weights
    table = np.column_stack([inputs.flatten(1).numpy(), numbers.astype(np.float32)])
    _, first, of_row = np.unique(table, axis=0, return_index=True, return_inverse=True)
    summed: NDArray[np.float64] = np.bincount(of_row.reshape(-1), weights=weights).astype(np.float64)
    return inputs[torch.from_numpy(first)], numbers[first], summed
