"""Multinomial logistic regression on compressed features, as plain arrays that a file can hold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from dilution.errors import InputError

ARRAYS = ("mean", "scale", "weights", "bias")
"""The arrays of a linear model, in the order of its parameters."""

_MATRIX = 2  # dimensions of the weights


@dataclass(frozen=True, repr=False)
class Linear:
    """Softmax of weighted sums of arsinh((x − mean) · scale), for features without missing values.

    Parameters
    ----------
    mean, scale
        Shift and scale of each feature, float64 of shape (features,).
    weights
        Weights of the sums, float64 of shape (classes, features).
    bias
        What each sum begins with, float64 of shape (classes,).

    Raises
    ------
    InputError
        If shapes do not fit, or a number is not finite.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        if fault := self._fault():
            raise InputError(f"the linear model has {fault}; take the arrays of a fitted one, unchanged.")

    def _fault(self) -> str:
        """Return what is wrong with the arrays; empty if nothing is."""
        if any(getattr(self, name).dtype != np.float64 for name in ARRAYS):
            return "arrays that are not float64"
        if self.weights.ndim != _MATRIX or len(self.weights) < 2:
            return f"weights of shape {self.weights.shape}"
        classes, features = self.weights.shape
        expected = {"mean": (features,), "scale": (features,), "bias": (classes,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                return f"{name} of shape {getattr(self, name).shape} in place of {shape}"
        if not all(np.isfinite(getattr(self, name)).all() for name in ARRAYS):
            return "values that are not finite"
        return ""

    def __repr__(self) -> str:
        return f"Linear({self.n_features} features, {self.n_classes} classes)"

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.weights)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.weights.shape[1])

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for features (b, d, 1, 1)."""
        values = compress(images.flatten(1).double().numpy(), self.mean, self.scale)
        probabilities: NDArray[np.float64] = softmax(values @ self.weights.T + self.bias, axis=1)
        return probabilities


def compress(
    values: NDArray[np.float64], mean: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return arsinh((x − mean) · scale): about x in the middle, and the logarithm of outliers."""
    compressed: NDArray[np.float64] = np.arcsinh((values - mean) * scale)
    return compressed
