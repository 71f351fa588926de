"""Columns that pandas reads as fractions, though their points may separate thousands: 3.100 beside 3001."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.missing_markers import MISSING_MARKERS

POINTS_OF_THOUSANDS = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)")
"""A whole number that may have points between thousands."""

_FIRST = 10  # rows that rule out most columns before all rows are looked at
_PROBED = 500  # rows of text that rule out columns before all of it is read


def with_points_of_thousands(
    frame: pd.DataFrame, text_of: Callable[[Sequence[str], int | None], pd.DataFrame]
) -> "dict[str, pd.Series[str]]":
    """Return as text the columns of floats in which all points may separate thousands.

    Parameters
    ----------
    frame
        The columns as pandas reads them.
    text_of
        Function of columns, and of a number of rows or None, that returns the first or all rows as text.
    """
    # pandas makes floats of whole numbers too, where a cell is empty.
    names = [name for name in _with_thousandths(frame) if not _is_whole_with_gaps(frame[name])]
    for n_rows in (_FIRST, _PROBED, None):
        text = text_of(names, n_rows) if names else pd.DataFrame()
        names = [name for name in names if _are_grouped(text[name])]
    return {name: text[name] for name in names if text[name].str.contains(".", regex=False).any()}


def _are_grouped(column: "pd.Series[str]") -> bool:
    """Return whether all points in cells of a column may separate thousands; the cells may have none."""
    cells = column.dropna().str.strip()
    numbers = cells[~cells.isin(["", *MISSING_MARKERS])]
    return bool(numbers.str.fullmatch(POINTS_OF_THOUSANDS.pattern).all())


def _with_thousandths(frame: pd.DataFrame) -> list[str]:
    """Return the columns whose numbers may be 1.234 in place of 1234: thousandths, none below 1."""
    is_float = np.array([dtype.kind == "f" for dtype in frame.dtypes], dtype=bool)
    # DataFrame.select_dtypes copies column by column, which takes a second for 20,000.
    fits = _are_thousandths(frame.iloc[:_FIRST].to_numpy()[:, is_float].astype(np.float64))
    names = frame.columns[is_float][fits]
    return [str(name) for name in names if _are_thousandths(frame[[name]].to_numpy(dtype=np.float64))[0]]


def _are_thousandths(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for each column whether all its numbers are whole, or thousandths from 1 to 1000."""
    is_fraction = values != np.rint(values)  # True where a number is missing
    thousandths = np.where(is_fraction & (np.abs(values) < 1000), values, 0) * 1000
    is_grouped = (np.abs(thousandths) >= 1000) & (np.abs(thousandths - np.rint(thousandths)) < 1e-6)
    fits: NDArray[np.bool_] = (~is_fraction | is_grouped | np.isnan(values)).all(axis=0)
    return fits


def _is_whole_with_gaps(column: "pd.Series[float]") -> bool:
    return bool(column.hasnans and (column.dropna() % 1 == 0).all())
