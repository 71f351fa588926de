"""Transition matrices of losses: of the run's own noise, written out, or in a file."""

import hashlib
import io
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BeforeValidator

from dilution.errors import InputError, short_repr
from dilution.noise.transition_files import array_of, file_content
from dilution.training.losses.base import Loss, LossContext
from dilution.utils.csv_cells import restore_text
from dilution.utils.printable import one_line

Matrix = NDArray[np.float64]

_ROW_TOLERANCE = 1e-3  # of the sum of a row: files have rounded numbers
_MAX_NAME = 50  # characters of the name of a class in a message
_MORE_COLUMNS = 10  # of a table than its true class, noisy class and probability
_TABLE_COLUMNS = ("true", "noisy", "probability")


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
            return _checked(_read(self.T, context.classes), context.classes, f"T in {self.T}")
        return _checked(np.array(self.T), context.classes, "T")


def _read(path: str, classes: tuple[str, ...]) -> Matrix:
    """Return the matrix in a file, as it stands there."""
    file = file_content(path)
    content = io.BytesIO(file)
    try:
        if path.lower().endswith(".npy"):
            return array_of(file)
        if file.partition(b"\n")[0].count(b",") > len(classes) + _MORE_COLUMNS:
            raise ValueError("it has more columns than the data have classes")  # pandas is slow with many
        table = pd.read_csv(content, header=None, dtype=str, keep_default_na=False)
        columns = table.iloc[0].tolist()
        if any(columns.count(name) > 1 for name in _TABLE_COLUMNS):
            raise ValueError("two of its columns have one name")
        if not set(_TABLE_COLUMNS) <= set(columns):
            rows: Matrix = table.to_numpy(dtype=np.float64)
            return rows
        table = table.iloc[1:].set_axis(columns, axis=1)
        probabilities = table["probability"].to_numpy(dtype=np.float64)
    except (ValueError, TypeError, OverflowError, MemoryError, pd.errors.ParserError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0].rstrip(".")
        raise InputError(
            f"{path} has no transition matrix ({reason}); it must be the transition.csv of dilution "
            "diagnose, rows of numbers T[true, noisy] in a .csv file, or a matrix in an .npy file."
        ) from None
    numbers = {name: number for number, name in enumerate(classes)}
    names = [table[column].map(restore_text) for column in _TABLE_COLUMNS[:2]]
    for name in pd.concat(names).unique():
        if name not in numbers:
            known = ", ".join(one_line(known, _MAX_NAME) for known in classes[:20])
            raise InputError(
                f"{path} names the class {short_repr(name)}, which the data do not have. Their classes are: "
                f"{known}{' …' if len(classes) > 20 else ''}. Give the T of these data."
            )
    matrix = np.zeros((len(classes), len(classes)))
    true, noisy = (column.map(numbers).to_numpy() for column in names)
    matrix[true, noisy] = probabilities
    return matrix


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
