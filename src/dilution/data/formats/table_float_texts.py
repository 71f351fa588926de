"""Columns that pandas reads as fractions, though their points may separate thousands: 3.100 beside 3001."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from dilution.data.missing_markers import MISSING_MARKERS

POINTS_OF_THOUSANDS = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)")
"""A whole number that may have points between thousands."""

_FIRST = 10  # rows whose numbers tell whether their text is worth reading
_PROBED = 500  # rows of text that tell whether all of it is worth reading


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
        names = [name for name in names if _may_have_thousands(text[name])]
    return {name: text[name] for name in names}


def _may_have_thousands(column: "pd.Series[str]") -> bool:
    """Return whether cells of a column have points, all of which may separate thousands."""
    cells = column.dropna().str.strip()
    numbers = cells[~cells.isin(["", *MISSING_MARKERS])]
    has_point = numbers.str.contains(".", regex=False)
    return bool(has_point.any() and numbers.str.fullmatch(POINTS_OF_THOUSANDS.pattern).all())


def _with_thousandths(frame: pd.DataFrame) -> list[str]:
    """Return the columns whose first numbers may be 1.234 in place of 1234: thousandths, none below 1."""
    is_float = np.array([dtype.kind == "f" for dtype in frame.dtypes], dtype=bool)
    # DataFrame.select_dtypes copies column by column, which takes a second for 20,000.
    values = frame.iloc[:_FIRST].to_numpy()[:, is_float].astype(np.float64)
    is_fraction = values != np.rint(values)  # True where a number is missing
    thousandths = np.where(is_fraction & (np.abs(values) < 1000), values, 0) * 1000
    is_grouped = (np.abs(thousandths) >= 1000) & (np.abs(thousandths - np.rint(thousandths)) < 1e-6)
    fits = (~is_fraction | is_grouped | np.isnan(values)).all(axis=0)
    return [str(name) for name in frame.columns[is_float][fits]]


def _is_whole_with_gaps(column: "pd.Series[float]") -> bool:
    return bool(column.hasnans and (column.dropna() % 1 == 0).all())
