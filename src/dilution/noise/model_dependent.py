"""Noise that follows a model's predicted probabilities: labels are wrong where the model doubts.

The probabilities are those of a model for images that it was not trained on, or for its own training images,
averaged over epochs; see :func:`dilution.predicted_probabilities`. They are part of the noise model: the
labels are drawn for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.fixed_transition import check_rate
from dilution.noise.per_example import PerExampleNoise
from dilution.noise.transition import Matrix
from dilution.utils import rng

_KEPT: Mapping[str, Callable[[Matrix], Matrix]] = MappingProxyType(
    {
        "I": lambda margin: (1 + margin**2) / 2,
        "II": lambda margin: margin**3,
        "III": lambda margin: (margin**3 + margin**2 + margin) / 3,
    }
)
"""Probability that the more probable of two classes stays the label, by the margin between the two."""


def idn(rate: float, probabilities: ArrayLike) -> PerExampleNoise:
    """Return the instance-dependent noise of Chen et al. 2021 (*Beyond Class-Conditional Assumption*).

    The share `rate` of the images for which the model gives the largest probability to a wrong class get that
    class as their label. No label is drawn: the noise depends on the images alone. Chen et al. average the
    probabilities of a model over the epochs of its training, on these images, as `average_epochs` of
    :func:`dilution.predicted_probabilities` does.

    Parameters
    ----------
    rate
        Share of wrong labels, in [0, 1]; it is exact to one label.
    probabilities
        Predicted probabilities of the classes for each image: shape (n, classes).

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], or the probabilities are none.
    """
    return _Idn(check_rate(rate, "idn"), checked_probabilities(probabilities))


def pmd(rate: float, probabilities: ArrayLike, *, kind: str = "I") -> PerExampleNoise:
    """Return polynomial margin diminishing noise (PMD; Zhang et al. 2021, *Feature-Dependent Label Noise*).

    Only the two most probable classes u and s of an image become its label: u with probability κ/f, otherwise
    s, where κ grows with the margin d = p_u − p_s: (1 + d²)/2 for type I, d³ for type II,
    (d³ + d² + d)/3 for type III. The factor f ≥ 1, as in the code of the authors, is the one that gives the
    rate. Their predictions are those of a model for its own training images.

    Parameters
    ----------
    rate
        Expected share of wrong labels, in [0, 1].
    probabilities
        Predicted probabilities of the classes for each image: shape (n, classes).
    kind
        Type of the polynomial: ``"I"``, ``"II"`` or ``"III"``.

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], the probabilities are none, there is no such type, or (when used) no
        factor gives the rate.
    """
    if kind not in _KEPT:
        raise unknown("type of pmd noise", str(kind), tuple(_KEPT))
    return _Pmd(check_rate(rate, "pmd"), checked_probabilities(probabilities), kind)


class ModelDependent(PerExampleNoise):
    """Noise with one row of predicted probabilities per image."""

    rate: float
    probabilities: Matrix

    def _for(self, data: Arrays) -> Matrix:
        """Return the probabilities if they fit the data."""
        if self.probabilities.shape != (len(data), len(data.classes)):
            raise InputError(
                f"probabilities of {self.name} noise have shape {self.probabilities.shape}; the data have "
                f"{len(data):,} images and {len(data.classes)} classes. Give one row per image, such as "
                "dilution.predicted_probabilities(data)."
            )
        return self.probabilities

    def __repr__(self) -> str:
        return f"{self.name}({self.rate:g})"


@dataclass(frozen=True, repr=False)
class _Idn(ModelDependent):
    rate: float
    probabilities: Matrix
    name: str = "idn"

    def labels(self, data: Arrays, seed: int) -> Tensor:  # noqa: ARG002
        wrong = self._for(data).copy()
        true = data.labels.cpu().numpy()
        wrong[np.arange(len(wrong)), true] = -1.0
        candidates = wrong.argmax(axis=1)
        order = np.argsort(-wrong.max(axis=1), kind="stable")
        flipped = order[: round(self.rate * len(wrong))]
        noisy = true.copy()
        noisy[flipped] = candidates[flipped]
        return torch.from_numpy(noisy)


@dataclass(frozen=True, repr=False)
class _Pmd(ModelDependent):
    rate: float
    probabilities: Matrix
    kind: str
    name: str = "pmd"

    def labels(self, data: Arrays, seed: int) -> Tensor:
        probabilities, true = self._for(data), data.labels.cpu().numpy()
        order = np.argsort(-probabilities, axis=1, kind="stable")
        first, second = order[:, 0], order[:, 1]
        rows = np.arange(len(order))
        margin = probabilities[rows, first] - probabilities[rows, second]
        kept = _KEPT[self.kind](margin)
        share = self._share_kept(kept, first != true, second != true)
        key = rng.stream(seed, "pmd")
        draws = rng.uniform_bits(key, torch.from_numpy(rows)).double().numpy() / (1 << rng.BITS)
        return torch.from_numpy(np.where(draws < share * kept, first, second))

    def _share_kept(self, kept: Matrix, first_wrong: Matrix, second_wrong: Matrix) -> float:
        """Return 1/f, in [0, 1], at which the expected share of wrong labels is the rate."""
        all_second = float(second_wrong.mean())  # expected share at share 0; it is linear in the share
        all_kept = float((kept * first_wrong + (1 - kept) * second_wrong).mean())
        least, largest = sorted((all_kept, all_second))
        if not least <= self.rate <= largest:
            raise InputError(
                f"rate of pmd noise is {self.rate:g}; with these probabilities type {self.kind} makes from "
                f"{least:.3f} to {largest:.3f} of the labels wrong. Give a rate between, or another kind."
            )
        return (self.rate - all_second) / (all_kept - all_second) if all_kept != all_second else 1.0


def checked_probabilities(probabilities: ArrayLike) -> Matrix:
    """Return probabilities as float64 if they are a table of them, each row summing to 1."""
    try:
        table = np.array(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"probabilities are no table of numbers ({error}); give one row per image and one column per "
            "class."
        ) from error
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all() or (table < 0).any():
        raise InputError(
            f"probabilities have shape {table.shape} and values from {np.min(table, initial=0):g} to "
            f"{np.max(table, initial=0):g}; they must be probabilities, one row per image and one column "
            "per class."
        )
    sums = table.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-3):
        row = int(np.abs(sums - 1).argmax())
        raise InputError(
            f"probabilities of row {row} sum to {sums[row]:.6g}; each row must sum to 1. Logits become "
            "probabilities with scipy.special.softmax(logits, axis=1)."
        )
    return np.asarray(table / sums[:, None])
