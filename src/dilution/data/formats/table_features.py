"""The columns of a table become numbers: text one column a value, gaps filled, chosen on training rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import InputError

MOST_VALUES = 50
"""Values that a column of text may have: of more it is taken for an identifier or free text."""

_LARGEST = float(np.finfo(np.float32).max)
_NEAR = 1e-4  # deviation to size below which float32 would lose digits that tell values apart


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: gaps become the median, and another column says where they were."""

    name: str
    values: NDArray[np.float64]
    median: float
    gaps: bool
    less: float

    def features(self) -> Iterator[NDArray[np.float64]]:
        """Yield the columns of numbers, each of shape (n,)."""
        missing = np.isnan(self.values)
        yield np.where(missing, self.median, self.values) - self.less
        if self.gaps:
            yield missing.astype(np.float64)

    def notes(self) -> Iterator[str]:
        """Yield what is done, in sentences."""
        missing = int(np.isnan(self.values).sum())
        if missing:
            told = ", and a column of 0 and 1 says where" if self.gaps else ""
            filled = f"filled with the median {self.median:g}{told}"
            numbers = f"{missing:,} missing numbers are" if missing > 1 else "1 missing number is"
            yield f"column {self.name!r}: {numbers} {filled}"
        if self.less:
            yield (
                f"column {self.name!r}: {self.less:.12g} is subtracted, since float32 could not tell such "
                "large and near numbers apart"
            )


@dataclass(frozen=True)
class Text:
    """A column of text or truth values: a column of 0 and 1 for each value, a gap being a value too."""

    name: str
    values: NDArray[np.object_]
    levels: tuple[str | None, ...]

    def features(self) -> Iterator[NDArray[np.float64]]:
        """Yield the columns of numbers, each of shape (n,)."""
        for number in range(len(self.levels)):
            yield (self._numbers == number).astype(np.float64)

    def notes(self) -> Iterator[str]:
        """Yield what is done, in sentences."""
        gaps = ", a missing one included" if None in self.levels else ""
        yield f"column {self.name!r} becomes {len(self.levels)} columns of 0 and 1, one for each value{gaps}"
        unseen = int((self._numbers < 0).sum())
        if unseen:
            yield (
                f"column {self.name!r}: {unseen:,} cells of the test half hold values that no training row "
                "has and are 0 in all of its columns"
            )

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        """The place of each value among the levels, −1 if it is none of them."""
        place = {level: number for number, level in enumerate(self.levels)}
        return np.array([place.get(value, -1) for value in self.values], dtype=np.int64)


class Columns:
    """The features that the columns of a table become.

    Medians and values of text come from the training rows only, so that the test half chooses nothing.

    Parameters
    ----------
    frame
        The columns that are features, n rows.
    training
        Which rows choose, int64.
    row
        Function of a row number → what the user calls it.
    drop
        Function of a column → what to write to leave it out, for messages.

    Raises
    ------
    InputError
        If a column holds infinite or too large numbers, dates, lists or the like, or text of more than
        ``MOST_VALUES`` values; or no column is left.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        training: NDArray[np.int64],
        row: Callable[[int], str],
        drop: Callable[[str], str],
    ) -> None:
        self._row, self._drop = row, drop
        self._kept: list[Numbers | Text] = []
        self._empty: list[str] = []
        for name in frame.columns:
            values = self._typed(str(name), frame[name])
            if pd.isna(values[training]).all():
                self._empty.append(str(name))
            elif values.dtype == np.float64:
                self._kept.append(_numbers(str(name), values, training))
            else:
                self._kept.append(self._text(str(name), values, training))
        if not self._kept:
            raise InputError(
                "there is no column of features beside the label; at least one must hold values. Add one."
            )

    def features(self) -> NDArray[np.float32]:
        """Return the features: float32, shape (n, features, 1, 1)."""
        made = [feature.astype(np.float32) for column in self._kept for feature in column.features()]
        return np.ascontiguousarray(np.stack(made, axis=1)[:, :, None, None])

    def notes(self) -> tuple[str, ...]:
        """Return what is done to the columns, a sentence each."""
        empty = [f"column {name!r} has no value in the training rows and is left out" for name in self._empty]
        return (*empty, *(note for column in self._kept for note in column.notes()))

    def _typed(self, name: str, column: "pd.Series[Any]") -> NDArray[Any]:
        """Return numbers, float64 with NaN for what is missing, or text, objects with None."""
        types = pd.api.types
        if types.is_numeric_dtype(column) and not types.is_bool_dtype(column) and column.dtype.kind != "c":
            return self._finite(name, column.to_numpy(dtype=np.float64, na_value=np.nan))
        present = column.notna().to_numpy()
        cells = column.astype(object).to_numpy(copy=True)
        kinds = {type(cell) for cell in cells[present]}
        if kinds <= {str, bool, np.bool_}:
            text = [str(cell).strip() if there else "" for cell, there in zip(cells, present, strict=True)]
            return np.array([cell or None for cell in text], dtype=object)
        if all(issubclass(kind, Real | Decimal) for kind in kinds):
            numbers = [float(cell) if there else np.nan for cell, there in zip(cells, present, strict=True)]
            return self._finite(name, np.array(numbers, dtype=np.float64))
        odd = next(kind for kind in kinds if kind not in (str, bool))
        raise InputError(
            f"column {name!r} holds values of type {odd.__name__}; features must be numbers, text or truth "
            f"values. Turn dates into numbers first, or leave the column out: {self._drop(name)}."
        )

    def _finite(self, name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        bad = np.abs(values) > _LARGEST  # of a gap, NaN, this is false
        if bad.any():
            first = int(np.argmax(bad))
            raise InputError(
                f"column {name!r} holds {values[first]:g} in {self._row(first)}; numbers must be finite and "
                "at most 3.4e38. Empty the cell, which is then filled, or leave the column out: "
                f"{self._drop(name)}."
            )
        return values

    def _text(self, name: str, values: NDArray[np.object_], training: NDArray[np.int64]) -> Text:
        chosen = values[training]
        levels = sorted({value for value in chosen if value is not None})
        if len(levels) > MOST_VALUES:
            numbers = pd.to_numeric(pd.Series(values), errors="coerce")
            odd = np.flatnonzero(numbers.isna().to_numpy() & ~pd.isna(values))
            if len(odd) * 2 < len(values):
                raise InputError(
                    f"column {name!r} holds numbers, but for {len(odd):,} cells, the first "
                    f"{values[odd[0]]!r} in {self._row(int(odd[0]))}; a missing number is an empty cell. "
                    f"Empty those cells, or leave the column out: {self._drop(name)}."
                )
            raise InputError(
                f"column {name!r} holds text of {len(levels):,} different values; a feature may have "
                f"{MOST_VALUES}, since more look like an identifier or free text. Leave it out: "
                f"{self._drop(name)}."
            )
        return Text(name, values, (*levels, None) if pd.isna(chosen).any() else tuple(levels))


def _numbers(name: str, values: NDArray[np.float64], training: NDArray[np.int64]) -> Numbers:
    chosen = values[training]
    known = chosen[~np.isnan(chosen)]
    median = float(np.median(known))
    near = 0 < float(known.std()) < _NEAR * abs(median)
    return Numbers(name, values, median, len(known) < len(chosen), median if near else 0.0)
