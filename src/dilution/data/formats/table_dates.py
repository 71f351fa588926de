"""Columns of dates as numbers: days since 1970, the same in every table, so that new rows are read alike."""

import re
from collections.abc import Collection
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.table_rows import TableRows
from dilution.errors import short_repr

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_OTHER_FORM = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?: \d{1,2}:\d{2}(?::\d{2})?)?")
_DAY = np.timedelta64(1, "D")


def with_days(rows: TableRows, kept: Collection[str] = ()) -> TableRows:
    """Return rows whose columns of dates are numbers of days since 1970-01-01 (UTC), with a note on them.

    Dates are columns of that type; and columns of text if each cell is empty or a date in ISO form, such as
    2024-05-31 or 2024-05-31 14:00. Durations become numbers of days too. Dates in another form stay text,
    since day and month may be exchanged in them.

    Parameters
    ----------
    rows
        The rows.
    kept
        Columns that stay as they are, such as labels.
    """
    frame, changed, other_forms = rows.frame, dict[str, NDArray[np.float64]](), dict[str, str]()
    for name in frame.columns:
        if name in kept:
            continue
        if (days := _days(frame[name])) is not None:
            changed[str(name)] = days
        elif example := other_form(frame[name]):
            other_forms[str(name)] = example
    if other_forms:
        name, example = next(iter(other_forms.items()))
        subject = (
            f"column {short_repr(name)} looks like dates and is read as text"
            if len(other_forms) == 1
            else f"{len(other_forms):,} columns look like dates and are read as text, the first is "
            f"{short_repr(name)}"
        )
        note = f"{subject}: {example!r} may be day or month first; dates such as 2024-05-31 are understood"
        rows = TableRows(frame, rows.lines, (*rows.notes, note))
    if not changed:
        return rows
    first = next(iter(changed))
    start = (
        f"column {short_repr(first)} of dates is"
        if len(changed) == 1
        else (f"{len(changed):,} columns of dates are")
    )
    others = "" if len(changed) == 1 else f", the first is {short_repr(first)}"
    note = f"{start} read as days since 1970-01-01{others}"
    return TableRows(frame.assign(**changed), rows.lines, (*rows.notes, note))


def _days(column: "pd.Series[Any]") -> NDArray[np.float64] | None:
    """Return the dates of a column as days, NaN where a cell is missing; None if they are no dates."""
    types = pd.api.types
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        times = column
    elif isinstance(column.dtype, pd.ArrowDtype) or types.is_numeric_dtype(column.dtype):
        return None
    else:
        cells = column.dropna()
        cells = cells[[not (isinstance(cell, str) and not cell.strip()) for cell in cells]]
        if not len(cells) or not all(map(_is_date, cells)):
            return None
        times = pd.to_datetime(cells.astype(str).str.strip(), format="ISO8601", utc=True, errors="coerce")
        if times.isna().any():  # such as 2024-02-31
            return None
        times = times.reindex(column.index)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    values = times.to_numpy()
    is_missing = np.isnat(values)
    zero = np.datetime64(0, "D") if values.dtype.kind == "M" else np.timedelta64(0, "D")
    days: NDArray[np.float64] = np.where(is_missing, np.nan, (values - zero) / _DAY)
    return days


def other_form(column: "pd.Series[Any]") -> str:
    """Return the first cell of a column of text if all are dates in another form; empty otherwise."""
    if pd.api.types.is_numeric_dtype(column.dtype) or isinstance(column.dtype, pd.ArrowDtype):
        return ""
    cells = column.dropna()
    if not len(cells) or not all(
        isinstance(cell, str) and _OTHER_FORM.fullmatch(cell.strip()) for cell in cells
    ):
        return ""
    return str(cells.iloc[0]).strip()


def _is_date(cell: Any) -> bool:
    return _ISO.fullmatch(cell.strip()) is not None if isinstance(cell, str) else isinstance(cell, date)
