"""Noise models that set the matrix of all labels, T[true, noisy], as papers name them; they take no alpha.

Papers give a *nominal* rate r, from which the share of wrong labels may differ: symmetric noise that may draw
the true class again is wrong at a rate of r(m − 1)/m, and noise that flips five of ten classes at r/2.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError, short_repr
from dilution.noise.noise_level import alpha_for_matrix
from dilution.noise.transition import LabelNoise, Matrix, check_transition_matrix
from dilution.noise.transition_files import NamedMatrix, read_transition
from dilution.utils.finite_numbers import is_finite_number

_ROUNDED = 1e-3  # tolerance of the sum of a row in a file, which has rounded numbers


class FixedTransition(LabelNoise):
    """A noise model that sets the distribution of all labels, so that the noise level follows from it.

    With replaced labels, the default, the one label of an image is drawn from the row of its class in T. With
    added labels alpha is the least noise level at which clean and added labels together are distributed as T.
    """

    @abstractmethod
    def transition(self, names: tuple[str, ...]) -> Matrix:
        """Return T[true, noisy] for classes of these names: float64, shape (classes, classes).

        Raises
        ------
        InputError
            If it is none for these classes.
        """

    def for_classes(self, names: tuple[str, ...]) -> LabelNoise:
        """Return the noise model for classes of these names."""
        return _Transition(self.transition(names), self.name)

    def own_level(self, classes: int) -> float:
        """Return the least noise level alpha that has T; NaN if a class never keeps its label."""
        table = self.transition(_numbers(classes))
        return alpha_for_matrix(table)[0] if table.diagonal().min() > 0 else math.nan

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        """Return Q[true, noisy] of added labels at the noise level of :meth:`own_level`.

        Raises
        ------
        InputError
            If a class never keeps its label: then no labels that are added to clean ones have T.
        """
        return alpha_for_matrix(self.transition(_numbers(classes)))[1]

    def overall(self, classes: int, alpha: float, seed: int) -> Matrix:  # noqa: ARG002
        """Return T[true, noisy]."""
        return self.transition(_numbers(classes))


def _numbers(classes: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(classes))


@dataclass(frozen=True, repr=False)
class _Transition(FixedTransition):
    table: Matrix
    name: str = "transition"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        if len(names) != len(self.table):
            raise InputError(
                f"the transition matrix has {len(self.table)} rows; the data have {len(names)} classes. "
                "Give a matrix with one row and one column per class."
            )
        return self.table.copy()

    def __repr__(self) -> str:
        return f"{self.name}({len(self.table)}×{len(self.table)})"


@dataclass(frozen=True, repr=False)
class _Symmetric(FixedTransition):
    rate: float
    include_true: bool
    name: str = "symmetric"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        m = len(names)
        share = self.rate / (m if self.include_true else m - 1)
        table = np.full((m, m), share)
        np.fill_diagonal(table, 1 - self.rate + (share if self.include_true else 0.0))
        return table

    def among(self, present: NDArray[np.bool_]) -> LabelNoise:
        return _Transition(_among(self, present), self.name)

    def __repr__(self) -> str:
        return f"symmetric({self.rate:g}{', include_true=True' if self.include_true else ''})"


@dataclass(frozen=True, repr=False)
class _PairFlip(FixedTransition):
    rate: float
    name: str = "pair_flip"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        identity = np.eye(len(names))
        return np.asarray((1 - self.rate) * identity + self.rate * np.roll(identity, 1, axis=1))

    def among(self, present: NDArray[np.bool_]) -> LabelNoise:
        return _Transition(_among(self, present), self.name)

    def __repr__(self) -> str:
        return f"pair_flip({self.rate:g})"


def _among(noise: FixedTransition, present: NDArray[np.bool_]) -> Matrix:
    """Return T over the classes that have examples; the row of another class is that of clean labels."""
    table = np.eye(len(present))
    count = int(present.sum())
    if count > 1:  # labels of a single class have no other class to become
        table[np.ix_(present, present)] = noise.transition(_numbers(count))
    return table


@dataclass(frozen=True, repr=False)
class _NamedTransition(FixedTransition):
    matrix: NamedMatrix
    name: str = "transition"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        return check_transition_matrix(self.matrix.for_classes(names))

    def __repr__(self) -> str:
        return f"{self.name}({len(self.matrix.classes)} named classes)"


def transition(T: ArrayLike, *, classes: Sequence[str] | None = None) -> LabelNoise:
    """Return noise with any matrix of all labels: the label of true class c is distributed as row c of T.

    Parameters
    ----------
    T
        Shape (classes, classes), T[true, noisy], no negative entry, each row summing to 1; or the path of a
        file that has it: an ``.npy`` file, rows of numbers in a ``.csv`` file, or the ``transition.csv`` of
        ``dilution diagnose``, whose classes are those of the data by their names. For T as the matrix of the
        *added* labels alone see :func:`matrix`.
    classes
        Names of the classes of rows and columns. Default: the classes of the data, in their order, or those
        that the file names.

    Raises
    ------
    InputError
        If T breaks one of these rules, the classes are not as many as the rows, or (when used) the data have
        another number of classes, or not a class that is named.
    DataError
        If its file cannot be read.
    """
    matrix = matrix_with_names(T, classes)
    if isinstance(matrix, NamedMatrix):
        return _NamedTransition(matrix)
    return _Transition(check_transition_matrix(matrix))


def matrix_with_names(T: ArrayLike, classes: Sequence[str] | None) -> ArrayLike | NamedMatrix:
    """Return T as :func:`transition` takes it, with the names of its classes if there are any.

    Numbers are as they were given, since they are in the keys of runs; rows of a file whose sum is off by
    rounding are scaled.

    Raises
    ------
    InputError
        If a file has no transition matrix, or the names are none for its rows.
    DataError
        If a file cannot be read.
    """
    content = _matrix_of_file(T) if isinstance(T, str | Path) else T
    if classes is None:
        return content
    if isinstance(content, NamedMatrix):
        raise InputError(
            f"classes is {short_repr(classes)}, and {content.path} names the classes of its matrix. Leave "
            "classes out."
        )
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise InputError(
            f"classes is {short_repr(classes)}; it must be a list of names, such as ['cat', 'dog']."
        )
    rows, named = len(check_transition_matrix(content)), tuple(map(str, classes))
    if len(named) != rows or len(set(named)) != rows:
        raise InputError(
            f"classes is {short_repr(list(named))}, and T has {rows} rows; it must name as many different "
            "classes. Leave it out for the classes of the data in their order."
        )
    return NamedMatrix(np.asarray(content, dtype=np.float64), named, "T")


def _matrix_of_file(path: str | Path) -> Matrix | NamedMatrix:
    """Return T in a file after checking it; rows whose sum is off by rounding are scaled."""
    content = read_transition(path)
    table = content.table if isinstance(content, NamedMatrix) else content
    scaled = check_transition_matrix(table, tolerance=_ROUNDED, name=f"the matrix in {path}")
    if np.allclose(table.sum(axis=-1), 1, rtol=0, atol=1e-6):
        return content
    return replace(content, table=scaled) if isinstance(content, NamedMatrix) else scaled


def symmetric(rate: float, *, include_true: bool = False) -> LabelNoise:
    """Return symmetric noise: with probability `rate` a label is replaced by a class drawn uniformly.

    Parameters
    ----------
    rate
        Nominal rate r, in [0, 1].
    include_true
        Draw from all classes, the true one included, as in "symmetric-inc"; then r(m − 1)/m of the labels are
        wrong. By default from the other classes, as in "symmetric-exc"; then r are.

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], or `include_true` is no truth value.
    """
    return _Symmetric(
        check_rate(rate, "symmetric"), check_flag(include_true, "include_true of symmetric noise")
    )


def pair_flip(rate: float) -> LabelNoise:
    """Return pair flip noise: with probability `rate` class c becomes c + 1, and the last one the first.

    Parameters
    ----------
    rate
        Nominal rate, in [0, 1]: the share of wrong labels (Han et al. 2018, *Co-teaching*).

    Raises
    ------
    InputError
        If the rate lies outside [0, 1].
    """
    return _PairFlip(check_rate(rate, "pair_flip"))


def check_rate(rate: Any, name: str) -> float:
    """Return a nominal rate as a float if it is a number in [0, 1].

    Raises
    ------
    InputError
        If it is none.
    """
    if not is_finite_number(rate) or not 0 <= rate <= 1:
        raise InputError(
            f"rate of {name} noise is {short_repr(rate)}; it must be a number in [0, 1], the share of labels "
            "that are drawn anew, such as rate=0.4."
        )
    return float(rate)


def check_flag(value: Any, name: str) -> bool:
    """Return a setting if it is a truth value; any text would count as True.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {short_repr(value)}; it must be True or False.")
    return bool(value)
