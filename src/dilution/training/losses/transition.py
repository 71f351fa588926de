"""Transition matrices of losses: of the run's own noise, written out, or in a file."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from dilution.errors import InputError, short_repr
from dilution.noise.transition_files import NamedMatrix, file_content, read_transition
from dilution.training.losses.base import Loss, LossContext

Matrix = NDArray[np.float64]

_ROW_TOLERANCE = 1e-3  # of the sum of a row: files have rounded numbers


def _as_tuples(value: Any) -> Any:
    """Return a path as text and a matrix, as nested lists or an array, as tuples of floats."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Path):
        return str(value)
    try:
        rows = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[0] != rows.shape[1]:
        raise ValueError(
            f"T is {short_repr(value)}; it must be a path in quotes, or a square matrix T[true, noisy] such "
            "as [[0.9, 0.1], [0.2, 0.8]]"
        )
    return tuple(map(tuple, rows.tolist()))


class TransitionLoss(Loss):
    """A loss with a transition matrix T[true, noisy]; it depends on logits and one label alone."""

    is_linear: ClassVar[bool | None] = True

    T: Annotated[str | tuple[tuple[float, ...], ...] | None, BeforeValidator(_as_tuples)] = None

    def check(self, context: LossContext) -> None:
        self.transition(context)

    @property
    def digest(self) -> str:
        """SHA-256 of the file of T; empty without a file.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        return hashlib.sha256(file_content(self.T)).hexdigest() if isinstance(self.T, str) else ""

    def transition(self, context: LossContext) -> Matrix:
        """Return T, float64, shape (classes, classes), rows of sum 1.

        Raises
        ------
        InputError
            If T is not the transition matrix of these classes.
        DataError
            If its file cannot be read.
        """
        if self.T is None:
            return context.transition
        if isinstance(self.T, str):
            content = read_transition(self.T)
            table = content.for_classes(context.classes) if isinstance(content, NamedMatrix) else content
            return _checked(table, context.classes, f"T in {self.T}")
        return _checked(np.array(self.T), context.classes, "T")


def _checked(matrix: Matrix, classes: tuple[str, ...], what: str) -> Matrix:
    """Return a matrix with rows scaled to sum to exactly 1, if it is a transition matrix of the classes."""
    size = len(classes)
    if matrix.shape != (size, size):
        raise InputError(
            f"{what} has shape {matrix.shape} and the data have {size} classes; it must have one row and one "
            f"column per class, T[true, noisy], shape ({size}, {size})."
        )
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        row, column = np.argwhere(~(matrix >= 0) | ~np.isfinite(matrix))[0]
        raise InputError(
            f"{what} has {matrix[row, column]} at [{row}, {column}]; entries are probabilities, finite and "
            "not negative."
        )
    sums = matrix.sum(axis=1)
    row = int(np.abs(sums - 1).argmax())
    if not abs(sums[row] - 1) <= _ROW_TOLERANCE:
        raise InputError(
            f"row {row} of {what}, of class {classes[row]!r}, sums to {sums[row]:.6g}; each row must sum to "
            "1. Rows are true classes: transpose T if its columns sum to 1. A table of many classes that "
            "lists frequent entries alone is not enough."
        )
    scaled: Matrix = matrix / sums[:, None]
    return scaled
