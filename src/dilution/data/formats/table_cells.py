"""Columns of a table as numbers, or as the different texts in them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.class_names import normal_form
from dilution.data.label_notes import show_spelling
from dilution.data.missing_markers import MISSING_MARKERS
from dilution.errors import InputError, short_repr

LARGEST_WHOLE = 2**53
"""Whole number up to which float64 tells all whole numbers apart."""

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
    whole
        The same as Python integers, None where a cell is missing, object of shape (n,): if all numbers are
        whole ones and some are beyond 2⁵³, where float64 cannot tell them apart. None: they are not.
    """

    values: NDArray[np.float64]
    whole: NDArray[np.object_] | None = None

    @cached_property
    def largest(self) -> float:
        """The largest absolute value; NaN if all cells are missing."""
        return float(np.fmax.reduce(np.abs(self.values), initial=np.nan))

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
        The different texts in the normal form of names of classes.
    merged
        An example of two texts that differ in the blanks around them only; empty if there are none.
    merged_forms
        An example of two texts that differ in their form of Unicode; empty if there are none.
    """

    codes: NDArray[np.int32]
    texts: tuple[str, ...]
    merged: str
    merged_forms: str

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
        is_float64 = column.dtype == np.float64
        values = column.to_numpy() if is_float64 else column.to_numpy(dtype=np.float64, na_value=np.nan)
        cells = NumberCells(values)
        check_finite(cells, row_name)
        is_long = column.dtype.kind in "iu" and cells.largest >= LARGEST_WHOLE
        return NumberCells(values, _whole_numbers(column)) if is_long else cells
    if isinstance(column.dtype, pd.StringDtype) or pd.api.types.is_bool_dtype(column.dtype):
        return text_cells(column)
    cells = column.astype(object)
    present = cells.notna().to_numpy()
    kinds = {type(cell) for cell in cells[present]}
    if kinds <= {str, bool, np.bool_}:
        return text_cells(cells)
    if all(issubclass(kind, Real | Decimal) for kind in kinds):
        numbers = [float(cell) if exists else np.nan for cell, exists in zip(cells, present, strict=True)]
        result = NumberCells(np.array(numbers, dtype=np.float64))
        check_finite(result, row_name)
        is_long = result.largest >= LARGEST_WHOLE and all(cell == int(cell) for cell in cells[present])
        return NumberCells(result.values, _whole_numbers(cells)) if is_long else result
    odd = next(kind for kind in kinds if not issubclass(kind, str | bool | np.bool_ | Real | Decimal))
    row = next(row for row, cell in enumerate(cells) if type(cell) is odd)
    raise InputError(
        f"holds {_describe_type(odd)}, the first in {row_name(row)}; features must be numbers, text or truth "
        f"values. {_advise(odd, column.name)}"
    )


def _whole_numbers(column: "pd.Series[Any]") -> NDArray[np.object_]:
    """Return whole numbers as Python integers, None where a cell is missing."""
    whole = np.empty(len(column), dtype=object)
    whole[:] = [None if pd.isna(cell) else int(cell) for cell in column]
    return whole


_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)


def _describe_type(kind: type) -> str:
    """Return what cells of a type are: ``"lists"``."""
    if issubclass(kind, _COLLECTIONS):
        return "lists"
    return "dictionaries" if issubclass(kind, dict) else f"values of type {kind.__name__}"


def _advise(kind: type, name: Any) -> str:
    """Return how a column with cells of a type becomes features, without a full stop."""
    if issubclass(kind, (dict, *_COLLECTIONS)):
        return (
            f"With pandas, pd.concat([frame, frame.pop({name!r}).apply(pd.Series)"
            f".add_prefix({f'{name}_'!r})], axis=1) makes each element a column of its own. Do so"
        )
    if issubclass(kind, bytes):
        return f"If they are text, frame[{name!r}].str.decode('utf-8') of pandas makes it that. Do so"
    if issubclass(kind, date | time | timedelta | np.datetime64 | np.timedelta64 | pd.Period):
        return "Turn dates into numbers first"
    return "Turn them into numbers or text first"


def text_cells(column: "pd.Series[Any]") -> TextCells:
    """Return the cells of a column of text or truth values."""
    codes, values = pd.factorize(column)
    numbers: dict[str, int] = {}
    first_forms: dict[str, str] = {}
    merged = merged_forms = ""
    number_of = np.full(len(values) + 1, -1, dtype=np.int32)
    for code, value in enumerate(map(str, values)):
        text = normal_form(value)
        if not text:
            continue
        number_of[code] = numbers.setdefault(text, len(numbers))
        first = first_forms.setdefault(text, value)
        if first.strip() != value.strip():
            merged_forms = merged_forms or f"{show_spelling(first)} and {show_spelling(value)}"
        elif first != value:
            merged = merged or f"{short_repr(first)} and {short_repr(value)}"
    codes = number_of[codes]  # code −1 is the last number
    return TextCells(codes, tuple(numbers), merged, merged_forms)


def check_finite(cells: NumberCells, row_name: Callable[[int], str]) -> None:
    """Raise InputError if a number is infinite or too large for float32."""
    if cells.largest > _MAX_NUMBER:
        first = int(np.argmax(np.abs(cells.values) > _MAX_NUMBER))
        raise InputError(
            f"holds {cells.values[first]:g} in {row_name(first)}; numbers must be finite and at most 3.4e38. "
            "Empty the cell, which is then filled"
        )


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
    if cells.whole is not None:
        return not cells.is_missing.any() and len(set(cells.whole)) == len(values)
    return bool((values == np.rint(values)).all()) and len(np.unique(values)) == len(values)
