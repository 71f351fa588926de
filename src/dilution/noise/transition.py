"""Noise models: each is a transition matrix Q[true, noisy], the distribution of one *added* label.

With noise level alpha, every clean label is diluted with alpha labels drawn from its row of Q, so the
distribution over all labels of an example is P = (I + alpha Q) / (1 + alpha): the matrices T and the
rates that results show are those of P.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError, unknown
from dilution.utils import rng

Matrix = NDArray[np.float64]
Order = Literal["confusing", "reverse", "random"]
"""Which false class of structured noise comes first: most confusable, least confusable, random."""


class LabelNoise(ABC):
    """A noise model: a name, and the matrix of the labels it adds. Subclass it for a model of your own."""

    name: str
    """How results call it."""

    @abstractmethod
    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        """Return Q[true, noisy], the distribution of one added label.

        Parameters
        ----------
        classes
            Number of classes.
        alpha
            Noise level; only structured noise depends on it.
        seed
            Root seed, for models that draw their matrix.

        Returns
        -------
        ndarray
            float64, shape (classes, classes), rows true classes, each summing to 1.
        """

    def overall(self, classes: int, alpha: float, seed: int) -> Matrix:
        """Return P[true, noisy] = (I + alpha Q) / (1 + alpha), the distribution over all labels."""
        return (np.eye(classes) + alpha * self.added(classes, alpha, seed)) / (1 + alpha)


def uniform() -> LabelNoise:
    """Noise uniform over all classes, the true one included (Rolnick et al. 2017, section 3.1)."""
    return _Uniform()


def structured(delta: float, order: Order = "random", confusability: ArrayLike | None = None) -> LabelNoise:
    """Noise that favours some false classes (Rolnick et al. 2017, section 3.2).

    Over all labels of an example the true class keeps the probability that it has under uniform noise;
    the false mass interpolates between uniform (delta = 0) and the steepest linear staircase over the
    false classes in rank order (delta = 1), where the commonest false label is as likely as the true one.

    Parameters
    ----------
    delta
        Skew δ, in [0, 1].
    order
        Rank order of the false classes: ``"confusing"`` (most confusable first), ``"reverse"``
        (least confusable first) or ``"random"`` (one permutation for each true class, from the seed).
    confusability
        Shape (classes, classes): mean predicted probability of class k (column) for images of class c
        (row). Needed by the first two orders; :func:`dilution.confusability` measures it.

    Raises
    ------
    InputError
        If delta lies outside [0, 1], the order is unknown, or confusability is missing, misshapen or
        not finite.
    """
    if not isinstance(delta, Real) or not 0 <= delta <= 1:
        raise InputError(
            f"delta is {delta!r}; it must lie in [0, 1]. delta=0 is uniform noise, delta=1 the most "
            "skewed: the commonest false label is as likely as the true one."
        )
    if order not in get_args(Order):
        raise unknown("noise order", str(order), get_args(Order))
    if order != "random" and confusability is None:
        raise InputError(
            f"order={order!r} needs confusability=, a (classes, classes) matrix; "
            "dilution.confusability(data) measures it, and order='random' does without."
        )
    table = None if confusability is None else _table(confusability, "confusability")
    if table is not None and not np.isfinite(table).all():
        wrong = table[~np.isfinite(table)]
        raise InputError(
            f"confusability holds {wrong[0]} ({wrong.size} of {table.size} entries are not finite); "
            "classes cannot be ranked by it. Fill every entry."
        )
    return _Structured(float(delta), order, table)


def matrix(T: ArrayLike) -> LabelNoise:
    """Noise from any transition matrix: an added label of true class c is drawn from row c of T.

    Parameters
    ----------
    T
        Shape (classes, classes), T[true, noisy], no negative entry, each row summing to 1.

    Raises
    ------
    InputError
        If T breaks one of these rules, or (when used) does not fit the number of classes.
    """
    return _Transition(checked_matrix(T))


def checked_matrix(T: ArrayLike) -> Matrix:
    """Return a transition matrix as float64 with rows that sum to 1 exactly, if it is one.

    Raises
    ------
    InputError
        If T is not square, has an entry that is no probability, or a row that does not sum to 1.
    """
    table = _table(T, "the noise matrix")
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise InputError(
            f"the noise matrix has shape {table.shape}; it must be square, one row and one column for "
            "each class: T[true, noisy]."
        )
    if not np.isfinite(table).all() or (table < 0).any():
        row, column = np.argwhere(~(table >= 0) | ~np.isfinite(table))[0]
        raise InputError(
            f"the noise matrix has {table[row, column]} at [{row}, {column}]; its entries are "
            "probabilities, finite and not negative."
        )
    sums = table.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        row = int(np.abs(sums - 1).argmax())
        raise InputError(
            f"row {row} of the noise matrix sums to {sums[row]:.6g}; each row must sum to 1. "
            "If columns sum to 1 instead, pass the transpose: rows are true classes."
        )
    table /= sums[:, None]
    return table


def _table(values: ArrayLike, what: str) -> Matrix:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} is no table of numbers ({error}); give one row of numbers for each class, all of one "
            "length."
        ) from error


@dataclass(frozen=True)
class _Uniform(LabelNoise):
    name: str = "uniform"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        return np.full((classes, classes), 1 / classes)


@dataclass(frozen=True)
class _Structured(LabelNoise):
    delta: float
    order: Order
    confusability: Matrix | None
    name: str = "structured"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        ranked = _ranked_classes(self.order, classes, seed, self.confusability)
        steps = _false_label_steps(self.delta, classes, alpha)
        result = np.full((classes, classes), 1 / classes)
        np.put_along_axis(result, ranked, np.broadcast_to(steps, ranked.shape), axis=1)
        return result


@dataclass(frozen=True)
class _Transition(LabelNoise):
    table: Matrix
    name: str = "matrix"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        if classes != len(self.table):
            raise InputError(
                f"the noise matrix has {len(self.table)} rows; the data have {classes} classes. "
                "It needs one row and one column for each class."
            )
        return self.table.copy()


def _ranked_classes(order: Order, classes: int, seed: int, confusability: Matrix | None) -> NDArray[np.int64]:
    """Return for each true class its false classes, commonest first; shape (classes, classes − 1)."""
    if order == "random":
        key = rng.stream(seed, "noise order")
        counters = torch.arange(classes * classes).reshape(classes, classes)
        score = rng.uniform_bits(key, counters).numpy().astype(np.float64)
    else:
        if confusability is None or confusability.shape != (classes, classes):
            shape = None if confusability is None else confusability.shape
            raise InputError(
                f"confusability has shape {shape}; the data have {classes} classes, so it must be "
                f"({classes}, {classes})."
            )
        score = confusability
    score = score.copy()
    np.fill_diagonal(score, -np.inf)  # the true class sorts last and is cut off
    ranked: NDArray[np.int64] = np.argsort(-score, axis=1, kind="stable")[:, :-1]
    return ranked[:, ::-1] if order == "reverse" else ranked


def _false_label_steps(delta: float, classes: int, alpha: float) -> Matrix:
    """Return the probabilities of an added label for false ranks 1 … m − 1; they sum to 1 − 1/m.

    The staircase is defined over all labels, p_1(r) = max(0, p_true − s (r − 1)); added labels carry it
    scaled by (1 + alpha)/alpha, since clean labels are never false. So its first step is
    p_true (1 + alpha)/alpha = 1/m + 1/alpha and its mass 1 − 1/m, free of cancellation at small alpha.
    """
    flat = np.full(classes - 1, 1 / classes)
    if alpha == 0 or delta == 0:
        return flat
    steepest = _staircase(1 / classes + 1 / alpha, 1 - 1 / classes, classes - 1)
    return np.asarray((1 - delta) * flat + delta * steepest)


def _staircase(first: float, mass: float, length: int) -> Matrix:
    """Return the steepest staircase max(0, first − s (r − 1)), r = 1 … length, of the given mass.

    With k steps above zero the mass is k·first − s·k(k − 1)/2. The right k is the one whose s leaves
    step k positive and step k + 1 not; k grows as the mass does, so a scan finds it.
    """
    if mass <= first:  # too little for a second step: all of it on the first class
        return np.array([mass] + [0.0] * (length - 1))
    for steps in range(2, length + 1):
        slope = 2 * (steps * first - mass) / (steps * (steps - 1))
        if steps == length or first - slope * steps <= 0:
            break
    result = np.maximum(0.0, first - slope * np.arange(length))
    scaled: Matrix = result * (mass / math.fsum(result))
    return scaled
