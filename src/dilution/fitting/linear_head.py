"""Logistic regression on features as plain arrays, which a file can hold and NumPy evaluates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from dilution.errors import InputError

ARRAYS = ("weights", "bias", "takes_roots")
"""The arrays of a head, in the order of its parameters."""

LEAST_LENGTH = 1e-12  # of features, which are divided by it


@dataclass(frozen=True, repr=False)
class LinearHead:
    """Softmax of a linear function of features, which are scaled to length 1 before.

    Parameters
    ----------
    weights
        float64, shape (features, classes).
    bias
        float64, shape (classes,).
    takes_roots
        Whether square roots of the features are taken first: bool, shape (). Negative ones become 0.

    Raises
    ------
    InputError
        If the arrays are of other types or shapes, or not finite.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    takes_roots: NDArray[np.bool_]

    def __post_init__(self) -> None:
        types = self.weights.dtype.kind, self.bias.dtype.kind, self.takes_roots.dtype.kind
        shapes_fit = self.weights.ndim == 2 and self.bias.shape == self.weights.shape[1:]
        if types != ("f", "f", "b") or not shapes_fit or self.takes_roots.shape != ():
            raise InputError(
                f"the linear head has weights of shape {self.weights.shape} and a bias of shape "
                f"{self.bias.shape}; they must be floats of shape (features, classes) and (classes,)."
            )
        if self.n_classes < 2 or not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise InputError("the linear head has weights that are not finite, or fewer than two classes.")

    def __repr__(self) -> str:
        return f"LinearHead({self.n_features} features, {self.n_classes} classes)"

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.weights.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.weights.shape[1])

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (b, classes), for features (b, d, 1, 1)."""
        features = images.flatten(1).double().numpy()
        logits = scaled(features, takes_roots=bool(self.takes_roots)) @ self.weights + self.bias
        probabilities: NDArray[np.float64] = softmax(logits, axis=1)
        return probabilities


def scaled(features: NDArray[np.float64], *, takes_roots: bool) -> NDArray[np.float64]:
    """Return features with rows of length 1, of their square roots if these are taken.

    Activations behind a ReLU have few large values, which would dominate; square roots even them out.
    """
    values = np.sqrt(np.maximum(features, 0)) if takes_roots else features
    lengths = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), LEAST_LENGTH)
    result: NDArray[np.float64] = values / lengths
    return result
