"""Columns of a table as numbers, or as the different texts in them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.missing_markers import MISSING_MARKERS
from dilution.errors import InputError, short_repr

_MAX_NUMBER = float(np.finfo(np.float32).max)
_COUNTER_NAMES = {
    "case",
    "example",
    "item",
    "no",
    "nr",
    "obs",
    "observation",
    "patient",
    "record",
    "sample",
    "subject",
}
_INDEX_NAME = re.compile(
    r"#|(?:.*[\W_])?(?:id|uid)|.*[a-z](?:Id|ID)|index|idx|row(?:[\W_]?(?:id|num|number|nr|no|names?))?|level_\d+"
    r"|__index_level_\d+__",
)


@dataclass(frozen=True)
class NumberCells:
    """A column of numbers.

    Parameters
    ----------
    values
        float64 of shape (n,), NaN where a cell is missing.
    """

    values: NDArray[np.float64]

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """Which cells are missing."""
        return np.isnan(self.values)


@dataclass(frozen=True)
class TextCells:
    """A column of text.

    Parameters
    ----------
    codes
        Number of each cell's text, int32 of shape (n,), −1 where it is missing.
    texts
        The different texts, stripped.
    merged
        An example of two texts that differ in the blanks around them only; empty if there are none.
    """

    codes: NDArray[np.int32]
    texts: tuple[str, ...]
    merged: str

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """Which cells are missing."""
        return self.codes < 0

    def counts(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return how many cells have each text, in all rows or some; int64, shape (texts,)."""
        codes = self.codes if rows is None else self.codes[rows]
        return np.bincount(codes[codes >= 0], minlength=len(self.texts))

    @cached_property
    def is_marker(self) -> NDArray[np.bool_]:
        """Which texts mark missing values in columns of numbers, such as ``NA``."""
        return np.array([text in MISSING_MARKERS for text in self.texts], dtype=bool)

    def first(self, texts: NDArray[np.bool_]) -> int:
        """Return the first row whose text is one of some, which are marked in an array of shape (texts,)."""
        return int(np.argmax(np.append(texts, False)[self.codes]))  # code −1 is the last one

    def example(self, texts: NDArray[np.bool_], row_name: Callable[[int], str]) -> str:
        """Return the first cell with one of some texts, for a message: ``"'?' in row 9"``."""
        row = self.first(texts)
        return f"{short_repr(self.texts[self.codes[row]])} in {row_name(row)}"


def is_numeric(dtype: Any) -> bool:
    """Return whether the type of a column is that of real numbers."""
    types = pd.api.types
    return types.is_numeric_dtype(dtype) and not types.is_bool_dtype(dtype) and dtype.kind != "c"


def read_cells(column: "pd.Series[Any]", row_name: Callable[[int], str]) -> NumberCells | TextCells:
    """Return the cells of a column.

    Raises
    ------
    InputError
        If it holds infinite or too large numbers, or what is neither number nor text. The message has no
        subject, which is the column.
    """
    if is_numeric(column.dtype):
        return NumberCells(check_finite(column.to_numpy(dtype=np.float64, na_value=np.nan), row_name))
    if isinstance(column.dtype, pd.StringDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return text_cells(column)
    cells = column.astype(object)
    present = cells.notna().to_numpy()
    kinds = {type(cell) for cell in cells[present]}
    if kinds <= {str, bool, np.bool_}:
        return text_cells(cells)
    if all(issubclass(kind, Real | Decimal) for kind in kinds):
        numbers = [float(cell) if exists else np.nan for cell, exists in zip(cells, present, strict=True)]
        return NumberCells(check_finite(np.array(numbers, dtype=np.float64), row_name))
    odd = next(kind for kind in kinds if kind not in (str, bool))
    raise InputError(
        f"holds values of type {odd.__name__}; features must be numbers, text or truth values. Turn dates "
        "into numbers first"
    )


def text_cells(column: "pd.Series[Any]") -> TextCells:
    """Return the cells of a column of text or truth values."""
    codes, values = pd.factorize(column)
    numbers: dict[str, int] = {}
    first_forms: dict[str, str] = {}
    merged, number_of = "", np.full(len(values) + 1, -1, dtype=np.int32)
    for code, value in enumerate(map(str, values)):
        text = value.strip()
        if not text:
            continue
        number_of[code] = numbers.setdefault(text, len(numbers))
        if first_forms.setdefault(text, value) != value and not merged:
            merged = f"{short_repr(first_forms[text])} and {short_repr(value)}"
    return TextCells(number_of[codes], tuple(numbers), merged)  # code −1 is the last number


def check_finite(values: NDArray[np.float64], row_name: Callable[[int], str]) -> NDArray[np.float64]:
    """Return numbers; raise InputError if one is infinite or too large for float32."""
    too_large = np.abs(values) > _MAX_NUMBER  # False where a number is missing
    if too_large.any():
        first = int(np.argmax(too_large))
        raise InputError(
            f"holds {values[first]:g} in {row_name(first)}; numbers must be finite and at most 3.4e38. "
            "Empty the cell, which is then filled"
        )
    return values


def is_index(name: str, cells: NumberCells) -> bool:
    """Return whether a column has a name and numbers like an index.

    The numbers are whole ones, another one in each row; or they count the rows, if the name is that of a row.
    """
    values = cells.values
    if len(values) < 2:
        return False
    if name.lower().strip(".") in _COUNTER_NAMES:
        return bool((np.diff(values) == 1).all())
    if not _INDEX_NAME.fullmatch(name if name[-2:] in ("Id", "ID") else name.lower()):
        return False
    return bool((values == np.rint(values)).all()) and len(np.unique(values)) == len(values)
