"""Encoding of table columns as numeric features: text one-hot, missing numbers filled with the median.

scikit-learn's ``SimpleImputer`` and ``OneHotEncoder`` give the same columns. They would save few lines, since
notes and messages stay, and every worker process would import scikit-learn, which takes a second.
"""

from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import InputError

_MAX_VALUES = 50  # of a text column: one with more is taken for an identifier or free text
_MAX_NUMBER = float(np.finfo(np.float32).max)
_MIN_SPREAD = 1e-4  # ratio of deviation to median below which float32 would lose digits

_Encoded = tuple[list[NDArray[np.float32]], list[str]]
"""Numeric columns that encode one column of a table, each of shape (n,), and notes."""


def encode_columns(
    frame: pd.DataFrame,
    fitted: NDArray[np.int64],
    row_name: Callable[[int], str],
    drop_option: Callable[[str], str],
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the features, float32 of shape (n, features, 1, 1), and one note per conversion.

    Parameters
    ----------
    frame
        The columns that are features, n rows.
    fitted
        Rows that determine medians and values of text, int64: those of the train split.
    row_name
        Function of a row number that returns its name in messages.
    drop_option
        Function of a column that returns the name of the data set without that column, for messages.

    Raises
    ------
    InputError
        If a column holds infinite or too large numbers, dates, lists or the like, or text of more than 50
        values; or no column is left.
    """
    features: list[NDArray[np.float32]] = []
    empty_notes, notes = [], []
    for name in map(str, frame.columns):
        try:
            values = _to_values(frame[name], row_name)
            if pd.isna(values[fitted]).all():
                empty_notes.append(f"column {name!r} has no value in the training rows and is dropped")
                continue
            encode = _encode_numbers if values.dtype == np.float64 else _encode_text
            columns, column_notes = encode(values, fitted, row_name)
        except InputError as error:
            raise InputError(f"column {name!r} {error}, or drop the column: {drop_option(name)}.") from None
        features += columns
        notes += [f"column {name!r}{note}" for note in column_notes]
    if not features:
        raise InputError(
            "there is no column of features beside the label; at least one must hold values. Add one."
        )
    return np.ascontiguousarray(np.stack(features, axis=1)[:, :, None, None]), (*empty_notes, *notes)


def _to_values(column: "pd.Series[Any]", row_name: Callable[[int], str]) -> NDArray[Any]:
    """Return numbers, float64 with NaN where missing, or text, objects with None where missing."""
    types = pd.api.types
    if types.is_numeric_dtype(column) and not types.is_bool_dtype(column) and column.dtype.kind != "c":
        return _check_finite(column.to_numpy(dtype=np.float64, na_value=np.nan), row_name)
    present = column.notna().to_numpy()
    cells = column.astype(object).to_numpy(copy=True)
    kinds = {type(cell) for cell in cells[present]}
    if kinds <= {str, bool, np.bool_}:
        stripped = [str(cell).strip() if exists else "" for cell, exists in zip(cells, present, strict=True)]
        return np.array([text or None for text in stripped], dtype=object)
    if all(issubclass(kind, Real | Decimal) for kind in kinds):
        numbers = [float(cell) if exists else np.nan for cell, exists in zip(cells, present, strict=True)]
        return _check_finite(np.array(numbers, dtype=np.float64), row_name)
    odd = next(kind for kind in kinds if kind not in (str, bool))
    raise InputError(
        f"holds values of type {odd.__name__}; features must be numbers, text or truth values. Turn dates "
        "into numbers first"
    )


def _check_finite(values: NDArray[np.float64], row_name: Callable[[int], str]) -> NDArray[np.float64]:
    too_large = np.abs(values) > _MAX_NUMBER  # False where a number is missing
    if too_large.any():
        first = int(np.argmax(too_large))
        raise InputError(
            f"holds {values[first]:g} in {row_name(first)}; numbers must be finite and at most 3.4e38. "
            "Empty the cell, which is then filled"
        )
    return values


def _encode_numbers(
    values: NDArray[np.float64], fitted: NDArray[np.int64], _: Callable[[int], str]
) -> _Encoded:
    """Return the numbers, missing ones filled with the median, and a missing-value indicator if needed."""
    missing = np.isnan(values)
    known = values[fitted][~missing[fitted]]
    median = float(np.median(known))
    offset = median if 0 < float(known.std()) < _MIN_SPREAD * abs(median) else 0.0
    columns = [(np.where(missing, median, values) - offset).astype(np.float32)]
    indicator, notes = "", []
    if missing[fitted].any():
        columns.append(missing.astype(np.float32))
        indicator = "; a missing-value indicator column is added"
    if count := int(missing.sum()):
        numbers = f"{count:,} missing numbers are" if count > 1 else "1 missing number is"
        notes.append(f": {numbers} filled with the median {median:g}{indicator}")
    if offset:
        notes.append(
            f": {offset:.12g} is subtracted, since float32 cannot tell such large and close numbers apart"
        )
    return columns, notes


def _encode_text(
    values: NDArray[np.object_], fitted: NDArray[np.int64], row_name: Callable[[int], str]
) -> _Encoded:
    """Return one column of 0 and 1 per value of the fitted rows; a missing value is a value too."""
    levels: list[str | None] = sorted({value for value in values[fitted] if value is not None})
    if len(levels) > _MAX_VALUES:
        raise _too_many_values(values, len(levels), row_name)
    if pd.isna(values[fitted]).any():
        levels.append(None)
    numbers = {level: number for number, level in enumerate(levels)}
    codes = np.array([numbers.get(value, -1) for value in values], dtype=np.int64)
    columns = [(codes == number).astype(np.float32) for number in range(len(levels))]
    missing = ", a missing one included" if None in numbers else ""
    notes = [f" becomes {len(levels)} columns of 0 and 1, one per value{missing}"]
    if unseen := int((codes < 0).sum()):
        notes.append(
            f": {unseen:,} cells of the test split have values that no training row has; they are 0 in all "
            "of its columns"
        )
    return columns, notes


def _too_many_values(values: NDArray[np.object_], count: int, row_name: Callable[[int], str]) -> InputError:
    numbers = pd.to_numeric(pd.Series(values), errors="coerce")
    odd = np.flatnonzero(numbers.isna().to_numpy() & ~pd.isna(values))
    if len(odd) * 2 < len(values):
        return InputError(
            f"holds numbers, except for {len(odd):,} cells, the first {values[odd[0]]!r} in "
            f"{row_name(int(odd[0]))}; a missing number is an empty cell. Empty those cells"
        )
    return InputError(
        f"holds text of {count:,} different values; a feature may have {_MAX_VALUES}, since more look like "
        "an identifier or free text. Group them"
    )
