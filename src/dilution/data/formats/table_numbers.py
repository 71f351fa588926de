"""Numbers in cells of text: decimal commas, separators of thousands, signs, and cells that are no numbers.

A column is one of numbers if 95 % of its cells are. How its numbers are written is decided by what makes most
cells numbers, unless the user names the decimal mark. A comma may be the decimal mark or separate thousands,
as in 1,234.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.table_number_signs import has_sign, remove_signs

NUMERIC_SHARE = 0.95
"""Share of numbers among the cells from which on a column is one of numbers."""

_GROUPS = r"[+-]?[1-9]\d{{0,2}}(?:([{marks}])\d{{3}})(?:\1\d{{3}})*"
_SPACES = (
    " '’\u00a0\u202f"  # separate thousands in French, Swiss and other numbers, beside either decimal mark
)
_THOUSANDS_POINT = re.compile(_GROUPS.format(marks="," + _SPACES) + r"(?:\.\d*)?")
_THOUSANDS_COMMA = re.compile(_GROUPS.format(marks="." + _SPACES) + r"(?:,\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d.*")
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")
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

    @property
    def is_number(self) -> NDArray[np.bool_]:
        """Which texts are numbers."""
        return ~np.isnan(self.values)


class NumberTexts:
    """Different texts of a column that may be numbers.

    Parameters
    ----------
    texts
        Different values of the cells, stripped.

    Attributes
    ----------
    texts
        The texts without the signs beside their numbers.
    has_signs
        Which texts had signs, such as a percent sign: bool, shape (texts,).
    plain
        The texts as pandas reads them.
    currency
        The sign of a currency beside the numbers; empty without one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        values = _plain_numbers(texts)
        self.texts, self.has_signs = list(texts), np.zeros(len(texts), dtype=bool)
        self._divisors: NDArray[np.float64] | None = None
        self.currency = ""
        is_odd = np.isnan(values)
        if any(has_sign(texts[number]) for number in np.flatnonzero(is_odd)[:_MAX_PROBED]):
            unsigned = remove_signs(texts, is_odd)
            self.texts, self.has_signs, self._divisors = unsigned.texts, unsigned.has_signs, unsigned.divisors
            self.currency = unsigned.currency
            values = _plain_numbers(self.texts)
        self.plain = Numbers(values, "", np.zeros(len(texts), dtype=bool))

    def readings(self, counts: NDArray[np.int64], decimal: str | None = None) -> list[Numbers]:
        """Return the ways to read the texts that make most cells numbers, with different results.

        The plainest is the first: numbers as pandas reads them, then decimal points, then decimal commas.

        Parameters
        ----------
        counts
            How many cells have each value, int64.
        decimal
            The decimal mark, ``"point"`` or ``"comma"``, if it is known: then there is one way.
        """
        if decimal is not None:
            return [self.with_commas() if decimal == "comma" else self.with_points()]
        readings = [self._scaled(self.plain)]
        odd = [self.texts[number] for number in np.flatnonzero(np.isnan(self.plain.values))[:_MAX_PROBED]]
        if any(map(_has_mark, odd)):
            readings += [self.with_points(), self.with_commas()]
        cells = [int(counts[reading.is_number].sum()) for reading in readings]
        best: list[Numbers] = []
        for reading, count in zip(readings, cells, strict=True):
            if count == max(cells) and not any(
                np.array_equal(reading.values, other.values, equal_nan=True) for other in best
            ):
                best.append(reading)
        return best

    def with_points(self) -> Numbers:
        """Return the numbers with decimal points and with commas, blanks or apostrophes between thousands."""
        plain = self.plain.values
        values, thousands, decimal = plain.copy(), np.zeros(len(plain), dtype=bool), ""
        for number in map(int, np.flatnonzero(np.isnan(plain))):
            if match := _THOUSANDS_POINT.fullmatch(self.texts[number]):
                values[number] = float(self.texts[number].replace(match[1], ""))
                thousands[number] = True
                decimal = "point" if match[1] == "," else decimal
        return self._scaled(Numbers(values, decimal, thousands))

    def with_commas(self) -> Numbers:
        """Return the numbers with decimal commas and with points, blanks or apostrophes between thousands."""
        plain = self.plain.values
        values, thousands, decimal = plain.copy(), np.zeros(len(plain), dtype=bool), ""
        for number, text in enumerate(self.texts):
            if match := _THOUSANDS_COMMA.fullmatch(text):
                values[number] = float(text.replace(match[1], "").replace(",", "."))
                thousands[number] = True
                decimal = "comma" if match[1] == "." or "," in text else decimal
            elif _DECIMAL_COMMA.fullmatch(text):
                values[number] = float(text.replace(",", "."))
                decimal = "comma"
            elif "." in text:
                values[number] = np.nan
        return self._scaled(Numbers(values, decimal, thousands))

    def look_like_numbers(self) -> NDArray[np.bool_]:
        """Return which texts are numbers, however they are written; bool, shape (texts,)."""
        signed = np.array([has_sign(text) for text in self.texts], dtype=bool)
        return signed | self.with_points().is_number | self.with_commas().is_number

    def leading_zeros(self) -> NDArray[np.bool_]:
        """Return which texts begin with a 0 that a number does not need, as 007; bool, shape (texts,)."""
        return np.array([_LEADING_ZERO.fullmatch(text) is not None for text in self.texts], dtype=bool)

    def whole_numbers(self, reading: Numbers) -> list[int | None] | None:
        """Return texts as whole numbers, None where one is no number; None if not all numbers are whole.

        Parameters
        ----------
        reading
            The way in which the texts are read.
        """
        if self._divisors is not None and (self._divisors != 1).any():
            return None
        whole: list[int | None] = []
        for text, is_number, has_groups in zip(self.texts, reading.is_number, reading.thousands, strict=True):
            groups = _THOUSANDS_COMMA if reading.decimal == "comma" else _THOUSANDS_POINT
            match = groups.fullmatch(text) if has_groups else None
            plain = text if match is None else text.replace(match[1], "")
            if is_number and not _WHOLE.fullmatch(plain):
                return None
            whole.append(int(plain.partition(".")[0]) if is_number else None)
        return whole

    def _scaled(self, numbers: Numbers) -> Numbers:
        """Return numbers of which those in percent are divided by 100."""
        if self._divisors is None:
            return numbers
        return replace(numbers, values=numbers.values / self._divisors)


def _plain_numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return texts as pandas reads them: float64 of shape (texts,), NaN for texts that are no numbers."""
    values = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce")
    numbers: NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _has_mark(text: str) -> bool:
    patterns = (_THOUSANDS_POINT, _THOUSANDS_COMMA, _DECIMAL_COMMA)
    return any(pattern.fullmatch(text) for pattern in patterns)


def whole_numbers(column: "pd.Series[str]", is_missing: NDArray[np.bool_]) -> NDArray[np.object_] | None:
    """Return texts as Python integers, object of shape (n,), None where one is missing.

    None if a text is no whole number.

    Parameters
    ----------
    column
        The texts.
    is_missing
        Which are missing, bool of shape (n,).
    """
    texts = column.str.strip()
    if not texts[~is_missing].str.fullmatch(_WHOLE.pattern).all():
        return None
    whole = np.empty(len(texts), dtype=object)
    whole[~is_missing] = [int(text.partition(".")[0]) for text in texts[~is_missing]]
    return whole
