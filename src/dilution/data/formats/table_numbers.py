"""Numbers in cells of text: decimal commas, separators of thousands, and cells that are no numbers.

A column is one of numbers if 95 % of its cells are. How its numbers are written is decided by what makes most
cells numbers. A comma may be the decimal mark or separate thousands, as in 1,234.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NUMERIC_SHARE = 0.95
"""Share of numbers among the cells from which on a column is one of numbers."""

_GROUPS = r"[+-]?[1-9]\d{{0,2}}(?:([{marks}])\d{{3}})(?:\1\d{{3}})*"
_SPACES = (
    " '’\u00a0\u202f"  # separate thousands in French, Swiss and other numbers, beside either decimal mark
)
_THOUSANDS_POINT = re.compile(_GROUPS.format(marks="," + _SPACES) + r"(?:\.\d*)?")
_THOUSANDS_COMMA = re.compile(_GROUPS.format(marks="." + _SPACES) + r"(?:,\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?")
_MAX_PROBED = 1000  # values in which marks are looked for before all are converted


@dataclass(frozen=True)
class Numbers:
    """What different texts are as numbers.

    Parameters
    ----------
    values
        float64 of shape (texts,), NaN where a text is none.
    decimal
        The decimal mark that this way of reading supposes, ``"point"`` or ``"comma"``; ``""`` if none of the
        texts has commas, or points between thousands.
    thousands
        Texts with separators of thousands: bool, shape (texts,).
    """

    values: NDArray[np.float64]
    decimal: str
    thousands: NDArray[np.bool_]


def read_numbers(texts: Sequence[str], counts: NDArray[np.int64]) -> list[Numbers]:
    """Return the ways to read texts as numbers that make most cells numbers, with different results.

    The plainest is the first: numbers as pandas reads them, then decimal points, then decimal commas.

    Parameters
    ----------
    texts
        Different values of the cells, stripped.
    counts
        How many cells have each value, int64.
    """
    plain = plain_numbers(texts)
    readings = [Numbers(plain, "", np.zeros(len(texts), dtype=bool))]
    odd = [texts[number] for number in np.flatnonzero(np.isnan(plain))[:_MAX_PROBED]]
    if any(map(_has_mark, odd)):
        readings += [_with_decimal_points(texts, plain), with_decimal_commas(texts, plain)]
    cells = [int(counts[~np.isnan(reading.values)].sum()) for reading in readings]
    best: list[Numbers] = []
    for reading, count in zip(readings, cells, strict=True):
        if count == max(cells) and not any(
            np.array_equal(reading.values, other.values, equal_nan=True) for other in best
        ):
            best.append(reading)
    return best


def plain_numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return texts as pandas reads them: float64 of shape (texts,), NaN for texts that are no numbers."""
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    numbers: NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _has_mark(text: str) -> bool:
    patterns = (_THOUSANDS_POINT, _THOUSANDS_COMMA, _DECIMAL_COMMA)
    return any(pattern.fullmatch(text) for pattern in patterns)


def _with_decimal_points(texts: Sequence[str], plain: NDArray[np.float64]) -> Numbers:
    """Return the numbers with decimal points and with commas, blanks or apostrophes between thousands."""
    values, thousands, decimal = plain.copy(), np.zeros(len(texts), dtype=bool), ""
    for number in map(int, np.flatnonzero(np.isnan(plain))):
        if match := _THOUSANDS_POINT.fullmatch(texts[number]):
            values[number] = float(texts[number].replace(match[1], ""))
            thousands[number] = True
            decimal = "point" if match[1] == "," else decimal
    return Numbers(values, decimal, thousands)


def with_decimal_commas(texts: Sequence[str], plain: NDArray[np.float64]) -> Numbers:
    """Return the numbers with decimal commas and with points, blanks or apostrophes between thousands.

    Parameters
    ----------
    texts
        As for :func:`read_numbers`.
    plain
        The texts as pandas reads them, float64 of shape (texts,), NaN for texts that are no such numbers.
    """
    values, thousands, decimal = plain.copy(), np.zeros(len(texts), dtype=bool), ""
    for number, text in enumerate(texts):
        if match := _THOUSANDS_COMMA.fullmatch(text):
            values[number] = float(text.replace(match[1], "").replace(",", "."))
            thousands[number] = True
            decimal = "comma" if match[1] == "." or "," in text else decimal
        elif _DECIMAL_COMMA.fullmatch(text):
            values[number] = float(text.replace(",", "."))
            decimal = "comma"
        elif "." in text:
            values[number] = np.nan
    return Numbers(values, decimal, thousands)
