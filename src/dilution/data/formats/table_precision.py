"""Numbers whose digits float32 cannot hold: offsets, and rows that rounding would make equal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.table_cells import NumberCells

_EXACT = 2**24  # whole number up to which float32 tells all whole numbers apart
_MIN_SPREAD = 1e-4  # ratio of deviation to median below which float32 would lose digits
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, for hashes: the golden ratio
_MANY_COLUMNS = 64  # from which on the bytes of a row are hashed, below the columns


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a column of numbers becomes float32.

    Parameters
    ----------
    fill
        What missing ones are filled with.
    offset
        What is subtracted; 0: nothing.
    n_merged
        Count of the whole numbers that become equal to a smaller one.
    example
        The first two numbers that become equal; empty if none do.
    """

    fill: float
    offset: float = 0
    n_merged: int = 0
    example: str = ""

    def numbers(self, cells: NumberCells) -> NDArray[Any]:
        """Return numbers less the offset, missing ones filled: float64, or Python integers as object."""
        if cells.whole is None:
            return np.where(cells.is_missing, self.fill, cells.values) - self.offset
        return np.where(cells.is_missing, int(self.fill), cells.whole) - int(self.offset)


def round_numbers(cells: NumberCells, median: float, deviation: float) -> Rounding:
    """Return numbers to be rounded, less an offset where float32 would make large and close ones equal.

    Parameters
    ----------
    cells
        The numbers.
    median, deviation
        Median of those in the training rows, and their deviation.
    """
    offset = median if 0 < deviation < _MIN_SPREAD * abs(median) else 0.0
    different = _long_whole_numbers(cells)
    if not len(different):
        return Rounding(median, offset)
    if cells.whole is not None:
        offset = int(offset)
    if not offset and _are_merged(different).any() and different[-1] - different[0] < abs(median):
        offset = int(median)
    merged = _are_merged(different - offset)
    count, example = int(merged.sum()), ""
    if count:
        first = int(np.argmax(merged))
        example = f"{int(different[first])} and {int(different[first + 1])}"
    return Rounding(median, offset, count, example)


def _long_whole_numbers(cells: NumberCells) -> NDArray[Any]:
    """Return the different numbers, sorted, if all are whole and some beyond what float32 tells apart."""
    if cells.whole is not None:
        return np.unique(cells.whole[~cells.is_missing])
    if not cells.largest > _EXACT:
        return np.empty(0)
    different = np.unique(cells.values[~cells.is_missing])
    return different if (different == np.rint(different)).all() else np.empty(0)


def _are_merged(different: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of different sorted numbers equal the next one as float32."""
    rounded = different.astype(np.float32)
    merged: NDArray[np.bool_] = rounded[1:] == rounded[:-1]
    return merged


def lost_digits(
    features: NDArray[np.float32],
    columns: Mapping[str, tuple[int, Rounding]],
    numbers_of: Callable[[str], NDArray[Any]],
) -> dict[str, list[NDArray[np.float32]]]:
    """Return what rounding took from the numbers, for columns in which rows differ that are equal otherwise.

    Parameters
    ----------
    features
        All features, shape (n, features).
    columns
        By name the columns of numbers, each with its place among the features.
    numbers_of
        Function of a name that returns the numbers before they became float32, shape (n,).

    Returns
    -------
    Per column further features, float32 of shape (n,): the rest of the rounded number, and the rest of that,
    as far as they are needed for rows to differ as they do in the table. Other columns are left out.
    """
    if not columns:
        return {}
    order, is_same = _equal_rows(features)
    rests: dict[str, list[NDArray[np.float32]]] = {}
    for name, (place, _) in columns.items() if len(order) else ():
        rest, part = numbers_of(name), features[:, place]
        differs = is_same & (rest[order][1:] != rest[order][:-1]).astype(bool)
        while differs.any():
            rest = rest - as_type_of(rest, part)
            part = rest.astype(np.float32)
            if not part.any():  # below the smallest number of float32
                break
            rests.setdefault(name, []).append(part)
            differs &= part[order][1:] == part[order][:-1]
    return rests


def as_type_of(numbers: NDArray[Any], part: NDArray[np.float32]) -> NDArray[Any]:
    """Return float32 as float64, or as Python integers where other numbers are."""
    if numbers.dtype != object:
        return part.astype(np.float64)
    whole = np.empty(len(part), dtype=object)
    whole[:] = [int(number) for number in part.tolist()]
    return whole


def _equal_rows(features: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows that equal another one, equal ones side by side, and which equal the one before.

    Rows count as equal if 64-bit hashes of their features are.
    """
    n, width = features.shape
    if width > _MANY_COLUMNS:
        content = [hash((row + np.float32(0)).tobytes()) for row in features]  # −0.0 has other bytes than 0.0
        keys = np.array(content, dtype=np.int64).view(np.uint64)
    else:
        keys = np.zeros(n, dtype=np.uint64)
        for feature in features.T:
            keys ^= (feature + np.float32(0)).view(np.uint32)
            keys *= _MULTIPLIER
            keys ^= keys >> np.uint64(32)
    in_order = np.sort(keys)
    repeated = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(repeated):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    rows = np.flatnonzero(np.isin(keys, repeated))
    rows = rows[np.argsort(keys[rows], kind="stable")]
    return rows, keys[rows][1:] == keys[rows][:-1]
