"""Noise models that set the matrix of all labels, T[true, noisy], as papers name them; they take no alpha.

Papers give a *nominal* rate r, from which the share of wrong labels may differ: symmetric noise that may draw
the true class again is wrong at a rate of r(m − 1)/m, and noise that flips five of ten classes at r/2.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError, short_repr, unknown
from dilution.noise.class_maps import CLASS_MAPS
from dilution.noise.noise_level import alpha_for_matrix
from dilution.noise.transition import LabelNoise, Matrix, check_transition_matrix
from dilution.noise.transition_files import read_matrix
from dilution.utils.finite_numbers import is_finite_number


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


@dataclass(frozen=True, repr=False)
class _Asymmetric(FixedTransition):
    rate: float
    flips: Mapping[str, str]
    map_name: str | None
    name: str = "asymmetric"

    def transition(self, names: tuple[str, ...]) -> Matrix:
        position = {name: number for number, name in enumerate(names)}
        table = np.eye(len(names))
        for source, target in self.flips.items():
            for name in (source, target):
                if name not in position:
                    raise InputError(self._missing(name, names))
            row = position[source]
            table[row, row] -= self.rate
            table[row, position[target]] += self.rate
        return table

    def _missing(self, name: str, names: tuple[str, ...]) -> str:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        origin = f"the map {self.map_name!r}" if self.map_name else "flips"
        return (
            f"{origin} flips class {short_repr(name)}; the data have no such class, but {shown}. Give flips= "
            "with names of these classes, such as "
            f"asymmetric(rate={self.rate:g}, flips=[[{names[0]!r}, {names[-1]!r}]])."
        )

    def __repr__(self) -> str:
        flips = repr(self.map_name) if self.map_name else f"{len(self.flips)} classes"
        return f"asymmetric({self.rate:g}, flips={flips})"


def _among(noise: FixedTransition, present: NDArray[np.bool_]) -> Matrix:
    """Return T over the classes that have examples; the row of another class is that of clean labels."""
    table = np.eye(len(present))
    count = int(present.sum())
    if count > 1:  # labels of a single class have no other class to become
        table[np.ix_(present, present)] = noise.transition(_numbers(count))
    return table


def transition(T: ArrayLike) -> LabelNoise:
    """Return noise with any matrix of all labels: the label of true class c is distributed as row c of T.

    Parameters
    ----------
    T
        Shape (classes, classes), T[true, noisy], no negative entry, each row summing to 1; or the path of a
        file that has it, an ``.npy`` file or rows of numbers in a ``.csv`` file. For T as the matrix of the
        *added* labels alone see :func:`matrix`.

    Raises
    ------
    InputError
        If T breaks one of these rules, or (when used) the data have another number of classes.
    DataError
        If its file cannot be read.
    """
    return _Transition(check_transition_matrix(read_matrix(T) if isinstance(T, str | Path) else T))


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


def asymmetric(rate: float, flips: str | Mapping[str, str] | Iterable[tuple[str, str]]) -> LabelNoise:
    """Return asymmetric noise: with probability `rate` a class becomes the one that a map names.

    Parameters
    ----------
    rate
        Nominal rate, in [0, 1]: the share of wrong labels *of the classes that the map flips*. CIFAR-10's map
        flips five of ten classes, so that 0.4 makes 0.2 of all labels wrong.
    flips
        The map from names of classes to names of classes, or pairs of them; or the name of a published one,
        ``"mnist"``, ``"fashion-mnist"``, ``"cifar10"``, ``"cifar100"``: see :data:`CLASS_MAPS`.

    Raises
    ------
    InputError
        If the rate lies outside [0, 1], there is no such map, a class is flipped to itself or to two classes,
        or (when used) the data lack a class of the map.
    """
    rate = check_rate(rate, "asymmetric")
    if isinstance(flips, str):
        if flips not in CLASS_MAPS:
            raise unknown("map of classes", flips, tuple(CLASS_MAPS))
        return _Asymmetric(rate, CLASS_MAPS[flips], flips)
    pairs = flip_pairs(flips)
    if not pairs:
        raise InputError(
            f"flips is {short_repr(flips)}; it must map names of classes to names of classes, such as "
            "{'cat': 'dog', 'dog': 'cat'}, or be the name of a map, such as 'cifar10'."
        )
    named = dict(pairs)
    for source, target in pairs:
        if source == target:
            raise InputError(
                f"flips has class {source!r} become itself; each class must become another one. Leave it out."
            )
        if named[source] != target:
            raise InputError(
                f"flips has class {source!r} become {target!r} and {named[source]!r}; a class can become one "
                "other. For several give the whole matrix: see transition()."
            )
    return _Asymmetric(rate, named, None)


def flip_pairs(flips: Any) -> tuple[tuple[str, str], ...]:
    """Return a map of classes as pairs of names, each once and in one order; empty if it is none."""
    try:
        given = flips.items() if isinstance(flips, Mapping) else flips
        return tuple(sorted({(str(source), str(target)) for source, target in given}))
    except (TypeError, ValueError):
        return ()


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
