"""Noise models: each is a transition matrix Q[true, noisy], the distribution of one *added* label.

At noise level alpha, alpha labels drawn from row c of Q are added to every clean label of class c.
The distribution over all labels of an example is therefore P = (I + alpha Q) / (1 + alpha); the
transition matrices and noise rates in results are those of P.
"""

import logging
import math
import multiprocessing
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError, short_repr, unknown
from dilution.utils import rng
from dilution.utils.finite_numbers import is_finite_number

Matrix = NDArray[np.float64]
ClassOrder = Literal["confusing", "reverse", "random"]
"""Rank order of the false classes of structured noise: most confusable first, least first, or random."""


class LabelNoise(ABC):
    """A noise model: a name, and the matrix of the labels it adds. Subclass it for your own noise model."""

    name: str
    """Name in messages and results."""

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

    def among(self, present: NDArray[np.bool_]) -> "LabelNoise":  # noqa: ARG002
        """Return this noise for data that lack examples of some classes, which it then does not name.

        By default it is unchanged: a matrix that is given, or computed for all classes, says itself which
        classes it names.

        Parameters
        ----------
        present
            Which of the classes have examples, bool, shape (classes,).
        """
        return self

    def for_classes(self, names: tuple[str, ...]) -> "LabelNoise":  # noqa: ARG002
        """Return this noise for data with classes of these names; by default it does not depend on them."""
        return self

    def own_level(self, classes: int) -> float | None:  # noqa: ARG002
        """Return the noise level if the noise model sets it by itself; None if alpha or eta does."""
        return None

    def __repr__(self) -> str:
        """Return the name of the class."""
        return f"{type(self).__name__}()"


def uniform() -> LabelNoise:
    """Return noise uniform over all classes, the true one included (Rolnick et al. 2017, section 3.1)."""
    return _Uniform()


def structured(
    delta: float, order: ClassOrder = "random", confusability: ArrayLike | None = None
) -> LabelNoise:
    """Return noise that favours some false classes (Rolnick et al. 2017, section 3.2).

    Over all labels of an example the true class keeps the probability that it has under uniform
    noise. The probabilities of the false classes interpolate between uniform (delta = 0) and the
    steepest linear staircase in rank order (delta = 1), where the most common false label is as
    likely as the true one.

    Parameters
    ----------
    delta
        Skew δ, in [0, 1].
    order
        Rank order of the false classes: ``"confusing"`` (most confusable first), ``"reverse"``
        (least confusable first) or ``"random"`` (one permutation per true class, drawn from the
        seed).
    confusability
        Shape (classes, classes): mean predicted probability of class k (column) for images of class
        c (row). Required by the first two orders; :func:`dilution.confusability` measures it.

    Raises
    ------
    InputError
        If delta lies outside [0, 1], the order is unknown, or confusability is missing, misshapen
        or not finite.
    """
    if not is_finite_number(delta) or not 0 <= delta <= 1:
        raise InputError(
            f"delta is {short_repr(delta)}; it must lie in [0, 1]. delta=0 is uniform noise, delta=1 the "
            "most skewed: the most common false label is as likely as the true one."
        )
    if order not in get_args(ClassOrder):
        raise unknown("noise order", str(order), get_args(ClassOrder))
    if order != "random" and confusability is None:
        raise InputError(
            f"order={order!r} needs confusability=, a (classes, classes) matrix; "
            "dilution.confusability(data) measures it. order='random' needs none."
        )
    table = None if confusability is None else _table(confusability, "confusability")
    if table is not None and not np.isfinite(table).all():
        wrong = table[~np.isfinite(table)]
        raise InputError(
            f"confusability contains {wrong[0]} ({wrong.size} of {table.size} entries are not finite); "
            "classes cannot be ranked by it. Give a finite value for every entry."
        )
    return _Structured(float(delta), order, table)


def matrix(T: ArrayLike) -> LabelNoise:
    """Return noise with any matrix Q of the added labels: one of true class c is drawn from row c of Q.

    The transition matrix of all labels of an example is (I + alpha Q)/(1 + alpha). To set that matrix
    itself, use :func:`transition`; a matrix whose rows all have their largest entry on the diagonal looks
    like one, which is said once.

    Parameters
    ----------
    T
        Q[true, noisy], the distribution of one added label: shape (classes, classes), no negative entry,
        each row summing to 1.

    Raises
    ------
    InputError
        If it breaks one of these rules, or (when used) the data have another number of classes.
    """
    Q = check_transition_matrix(T)
    others = Q.copy()
    np.fill_diagonal(others, -1.0)
    if (Q.diagonal() > others.max(axis=1)).all():
        _say_once(
            "Each row of this noise matrix has its largest entry on the diagonal, like a transition matrix T "
            "of all labels. It is used as Q, the distribution of the added labels alone; T itself is the "
            "noise `transition`, in place of `matrix`."
        )
    return _Matrix(Q)


@lru_cache
def _say_once(text: str) -> None:
    """Warn, in the main process alone; the cache drops repeated calls."""
    if multiprocessing.parent_process() is None:
        logging.getLogger("dilution").warning(text)


def check_transition_matrix(T: ArrayLike, tolerance: float = 1e-6, name: str = "the noise matrix") -> Matrix:
    """Return T as float64, its rows scaled to sum to exactly 1, if it is a transition matrix.

    Parameters
    ----------
    T
        The matrix.
    tolerance
        Distance of the sum of a row from 1.
    name
        What it is, for messages.

    Raises
    ------
    InputError
        If T is not square, has an entry that is no probability, or a row that does not sum to 1.
    """
    table = _table(T, name)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise InputError(
            f"{name} has shape {table.shape}; it must be square, with one row and one column per "
            "class: T[true, noisy]."
        )
    if not np.isfinite(table).all() or (table < 0).any():
        row, column = np.argwhere(~(table >= 0) | ~np.isfinite(table))[0]
        raise InputError(
            f"{name} has {table[row, column]} at [{row}, {column}]; its entries are "
            "probabilities, finite and not negative."
        )
    sums = table.sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=tolerance):
        row = int(np.abs(sums - 1).argmax())
        raise InputError(
            f"row {row} of {name} sums to {sums[row]:.6g}; each row must sum to 1. "
            "If columns sum to 1 instead, pass the transpose: rows are true classes; counts become "
            "probabilities with T / T.sum(axis=1, keepdims=True)."
        )
    table /= sums[:, None]
    return table


def _table(values: ArrayLike, name: str) -> Matrix:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is no table of numbers ({error}); give one row of numbers per class, all of the same "
            "length."
        ) from error


@dataclass(frozen=True, repr=False)
class _Uniform(LabelNoise):
    name: str = "uniform"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        return np.full((classes, classes), 1 / classes)

    def among(self, present: NDArray[np.bool_]) -> LabelNoise:
        return _Among(self, present)

    def __repr__(self) -> str:
        return "uniform()"


@dataclass(frozen=True, repr=False)
class _Structured(LabelNoise):
    delta: float
    order: ClassOrder
    confusability: Matrix | None
    name: str = "structured"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        ranked = _ranked_classes(self.order, classes, seed, self.confusability)
        probabilities = _false_label_probabilities(self.delta, classes, alpha)
        matrix = np.full((classes, classes), 1 / classes)
        np.put_along_axis(matrix, ranked, np.broadcast_to(probabilities, ranked.shape), axis=1)
        return matrix

    def among(self, present: NDArray[np.bool_]) -> LabelNoise:
        table = self.confusability
        if table is not None and table.shape == (len(present), len(present)):
            table = table[np.ix_(present, present)]
        return _Among(_Structured(self.delta, self.order, table), present)

    def __repr__(self) -> str:
        return f"structured(delta={self.delta:g}, order={self.order!r})"


@dataclass(frozen=True, repr=False)
class _Matrix(LabelNoise):
    table: Matrix
    name: str = "matrix"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        if classes != len(self.table):
            raise InputError(
                f"the noise matrix has {len(self.table)} rows; the data have {classes} classes. "
                "Give a matrix with one row and one column per class."
            )
        return self.table.copy()

    def __repr__(self) -> str:
        return f"matrix({len(self.table)}×{len(self.table)})"


class _Among(LabelNoise):
    """Noise over the classes that have examples; the row of another class is that of clean labels.

    Parameters
    ----------
    noise
        Noise model of the present classes alone.
    present
        Which of the classes have examples, shape (classes,).
    """

    def __init__(self, noise: LabelNoise, present: NDArray[np.bool_]) -> None:
        self.noise, self.present, self.name = noise, present, noise.name

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        matrix = np.eye(classes)
        inner = self.noise.added(int(self.present.sum()), alpha, seed)
        matrix[np.ix_(self.present, self.present)] = inner
        return matrix


def _ranked_classes(
    order: ClassOrder, classes: int, seed: int, confusability: Matrix | None
) -> NDArray[np.int64]:
    """Return the false classes of each true class, most common first; shape (classes, classes − 1)."""
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
    np.fill_diagonal(score, -np.inf)  # sorts the true class last, where it is cut off
    ranked: NDArray[np.int64] = np.argsort(-score, axis=1, kind="stable")[:, :-1]
    return ranked[:, ::-1] if order == "reverse" else ranked


def _false_label_probabilities(delta: float, classes: int, alpha: float) -> Matrix:
    """Return the probabilities of an added label for false ranks 1 … m − 1; they sum to 1 − 1/m.

    The staircase is defined over all labels, p_1(r) = max(0, p_true − s (r − 1)); added labels
    carry it scaled by (1 + alpha)/alpha, since clean labels are never false. So its first step is
    p_true (1 + alpha)/alpha = 1/m + 1/alpha and its mass 1 − 1/m, free of cancellation at small
    alpha.
    """
    uniform = np.full(classes - 1, 1 / classes)
    if alpha == 0 or delta == 0:
        return uniform
    steepest = _staircase(1 / classes + 1 / alpha, 1 - 1 / classes, classes - 1)
    return np.asarray((1 - delta) * uniform + delta * steepest)


def _staircase(first: float, mass: float, length: int) -> Matrix:
    """Return the steepest staircase max(0, first − s (r − 1)), r = 1 … length, of the given mass.

    With k steps above zero the mass is k·first − s·k(k − 1)/2. The solution is the k whose s leaves
    step k positive and step k + 1 not; k grows with the mass, so the loop stops at it.
    """
    if mass <= first:  # not enough for a second step: all of it goes to the first class
        return np.array([mass] + [0.0] * (length - 1))
    for steps in range(2, length + 1):
        slope = 2 * (steps * first - mass) / (steps * (steps - 1))
        if steps == length or first - slope * steps <= 0:
            break
    staircase = np.maximum(0.0, first - slope * np.arange(length))
    scaled: Matrix = staircase * (mass / math.fsum(staircase))
    return scaled
