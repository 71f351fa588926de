"""Columns of text that are numbers: which ones, and which decimal mark they have.

A comma or a point may be the decimal mark or separate thousands. Where a column can be read both ways, as one
with 1,234 can, the other columns decide, then what is usual in such a file; else the user is asked.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.table_cells import NumberCells, TextCells, text_cells
from dilution.data.formats.table_notes import Kind, Note
from dilution.data.formats.table_numbers import Numbers, plain_numbers, read_numbers, with_decimal_commas
from dilution.errors import InputError

_NUMERIC_SHARE = 0.95  # share of numbers among the cells from which on a column is one of numbers
_MOSTLY = 0.5  # share from which on a column of text probably was to be one of numbers
_POINTS_OF_THOUSANDS = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d{1,3})")


@dataclass(frozen=True)
class NumberFormat:
    """How a table writes numbers, as far as it is known.

    Parameters
    ----------
    decimal
        The decimal mark, ``"point"`` or ``"comma"``, that the user names; None: it is detected.
    usual_decimal
        That of most such files; None if neither is usual.
    has_types
        Whether the file says which columns are text.
    text_of
        Function of columns that returns them as they are in the file, n rows.
    name_with_decimal
        Function of a decimal mark that returns the name of the data set with it, for messages.
    """

    decimal: str | None
    usual_decimal: str | None
    has_types: bool
    text_of: Callable[[Sequence[str]], pd.DataFrame]
    name_with_decimal: Callable[[str], str]


@dataclass
class NumberColumns:
    """Columns of numbers among those of text.

    Parameters
    ----------
    cells
        By column: its numbers, if 95 % of its cells are numbers.
    odd_texts
        By column that stays text though more than half of its cells are numbers: which texts are none, bool
        of shape (texts,).
    notes
        What was converted or guessed.
    """

    cells: dict[str, NumberCells] = field(default_factory=dict)
    odd_texts: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)


class NumberFinder:
    """Finds the columns of numbers.

    Parameters
    ----------
    frame
        All columns, n rows.
    fitted
        Rows that decide, int64.
    row_name
        Function of a row number that returns its name in messages.
    number_format
        What is known of the numbers.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        fitted: NDArray[np.int64],
        row_name: Callable[[int], str],
        number_format: NumberFormat,
    ) -> None:
        self._frame, self._fitted, self._row_name, self._format = frame, fitted, row_name, number_format
        self._result = NumberColumns()

    def find(self, text: Mapping[str, TextCells]) -> NumberColumns:
        """Return the columns that are numbers, among them those of `text`, all columns of text by name.

        Raises
        ------
        InputError
            If a decimal mark is needed and not known.
        """
        ways = {name: candidates for name, cells in text.items() if (candidates := self._ways(name, cells))}
        mark = self._format.decimal or self._evident_mark(list(ways.values()))
        for name, candidates in ways.items():
            reading = _choose(candidates, mark)
            if reading is None:
                self._add(name, text[name], self._guess(name, text[name], candidates))
            else:
                self._note_conversions(name, text[name], reading)
                self._add(name, text[name], reading)
        if (mark or self._format.usual_decimal) == "comma":
            plain = {name: text[name] for name, candidates in ways.items() if not candidates[0].decimal}
            for name, cells in {**plain, **self._floats_as_text()}.items():
                self._read_points_of_thousands(name, cells, is_certain=mark == "comma")
        return self._result

    def _ways(self, name: str, cells: TextCells) -> list[Numbers]:
        """Return the ways to read a column if 95 % of its cells are numbers, else none."""
        counts = np.where(cells.is_marker, 0, cells.counts(self._fitted))
        ways = read_numbers(cells.texts, counts)
        is_number = ~np.isnan(ways[0].values)
        share = counts[is_number].sum() / max(counts.sum(), 1)
        if share >= _NUMERIC_SHARE:
            return ways
        if share > _MOSTLY:
            odd = self._result.odd_texts[name] = ~is_number & ~cells.is_marker
            self._note(Kind.MOSTLY_NUMBERS, name, cells, odd)
        return []

    def _evident_mark(self, ways: Sequence[list[Numbers]]) -> str | None:
        """Return the decimal mark of columns that can be read in one way only."""
        clear = {candidates[0].decimal for candidates in ways if len(candidates) == 1} - {""}
        if not clear and any(len(candidates) > 1 for candidates in ways) and self._has_fractions():
            return "point"
        return clear.pop() if len(clear) == 1 else None

    def _has_fractions(self) -> bool:
        floats = self._frame.select_dtypes("float")
        return any(bool((column.dropna() % 1 != 0).any()) for _, column in floats.items())

    def _guess(self, name: str, cells: TextCells, ways: Sequence[Numbers]) -> Numbers:
        """Return the usual way to read a column, with a note; raise InputError if there is none."""
        point, comma = ({way.decimal: way for way in ways}[mark] for mark in ("point", "comma"))
        usual = self._format.usual_decimal
        is_mixed = _are_mixed(
            ",", [cells.texts[number] for number in np.flatnonzero(~np.isnan(comma.values))]
        )
        if usual is None or (usual == "comma" and is_mixed):
            raise self._ask_for_mark(name, cells, point, comma)
        chosen, other, mark = (point, comma, "comma") if usual == "point" else (comma, point, "point")
        row, text, value, other_value = self._difference(cells, chosen, other)
        detail = f"{text!r} in {row} is read as {value}; decimal={mark} behind the # makes it {other_value}"
        self._result.notes.append(Note(Kind.GUESSED_MARK, name, detail=detail))
        return chosen

    def _read_points_of_thousands(self, name: str, cells: TextCells, *, is_certain: bool) -> None:
        """Read 1.234 as 1234 under a decimal comma if all points in a column may separate thousands."""
        plain = plain_numbers(cells.texts)
        is_number = ~np.isnan(plain)
        texts = [cells.texts[number] for number in np.flatnonzero(is_number)]
        if not all(map(_POINTS_OF_THOUSANDS.fullmatch, texts)) or not _are_mixed(".", texts):
            return
        reading = with_decimal_commas(cells.texts, plain)
        if not is_certain:
            raise self._ask_for_mark(name, cells, Numbers(plain, "point", ~is_number), reading)
        self._result.notes = [note for note in self._result.notes if note.column != name]
        self._note_conversions(name, cells, reading)
        self._add(name, cells, reading)

    def _floats_as_text(self) -> dict[str, TextCells]:
        """Return the columns that pandas read as fractions and whose points may separate thousands."""
        if self._format.has_types:
            return {}
        floats = self._frame.select_dtypes("float")
        names = [str(name) for name, column in floats.items() if _may_have_thousands(column.to_numpy())]
        text = self._format.text_of(names) if names else pd.DataFrame()
        return {name: text_cells(text[name]) for name in names}

    def _note_conversions(self, name: str, cells: TextCells, reading: Numbers) -> None:
        """Note separators of thousands and decimal commas, and numbers in columns that are text by type."""
        thousands = reading.thousands
        if thousands.any():
            row = cells.first(thousands)
            code = cells.codes[row]
            detail = f"{cells.texts[code]!r} in {self._row_name(row)} is {reading.values[code]:.12g}"
            self._result.notes.append(
                Note(Kind.THOUSANDS, name, int(cells.counts()[thousands].sum()), detail)
            )
        has_commas = any("," in text for text in cells.texts)
        if reading.decimal == "comma" and has_commas:
            self._result.notes.append(Note(Kind.DECIMAL_COMMA, name))
        elif self._format.has_types:
            self._result.notes.append(Note(Kind.NUMBERS_AS_TEXT, name))

    def _add(self, name: str, cells: TextCells, reading: Numbers) -> None:
        """Add a column of numbers, with a note on the cells that are none."""
        odd = np.isnan(reading.values) & ~cells.is_marker
        if odd.any():
            self._note(Kind.ODD_CELLS, name, cells, odd)
        values = np.append(np.where(cells.is_marker, np.nan, reading.values), np.nan)
        self._result.cells[name] = NumberCells(values[cells.codes])  # code −1 is the last value

    def _note(self, kind: Kind, name: str, cells: TextCells, texts: NDArray[np.bool_]) -> None:
        """Note that a column has cells with some texts."""
        count = int(cells.counts()[texts].sum())
        self._result.notes.append(Note(kind, name, count, cells.example(texts, self._row_name)))

    def _difference(self, cells: TextCells, one: Numbers, other: Numbers) -> tuple[str, str, str, str]:
        """Return the name of the first row whose number depends on the reading, its text and both numbers."""
        row = cells.first(~np.isnan(one.values) & ~np.isnan(other.values) & (one.values != other.values))
        code = cells.codes[row]
        return (
            self._row_name(row),
            cells.texts[code],
            f"{one.values[code]:.12g}",
            f"{other.values[code]:.12g}",
        )

    def _ask_for_mark(self, name: str, cells: TextCells, point: Numbers, comma: Numbers) -> InputError:
        row, text, with_point, with_comma = self._difference(cells, point, comma)
        return InputError(
            f"column {name!r} holds {text!r} in {row}, which is {with_point} if the decimal mark is a point, "
            f"and {with_comma} if it is a comma. Name it: {self._format.name_with_decimal('point')} or "
            f"{self._format.name_with_decimal('comma')}."
        )


def _choose(ways: Sequence[Numbers], mark: str | None) -> Numbers | None:
    """Return the way to read a column under a decimal mark; None if it must be known and is not."""
    if len(ways) == 1:
        return ways[0]
    of_mark = {way.decimal: way for way in ways}
    return of_mark.get(mark or "") or of_mark.get("")


def _are_mixed(mark: str, texts: Sequence[str]) -> bool:
    """Return whether only some numbers have a mark; if all have it, thousands are a matter of scale."""
    return len({mark in text for text in texts}) > 1


def _may_have_thousands(values: NDArray[np.float64]) -> bool:
    """Return whether numbers may be 1.234 in place of 1234: below 1000, with three digits, none below 1."""
    numbers = values[~np.isnan(values)]
    fractions = numbers[numbers != np.rint(numbers)]
    if not len(fractions) or np.abs(fractions).min() < 1 or np.abs(numbers).max() >= 1000:
        return False
    thousandths = fractions * 1000
    return bool((np.abs(thousandths - np.rint(thousandths)) < 1e-6).all())
