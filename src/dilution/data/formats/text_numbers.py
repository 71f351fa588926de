"""Columns of text that are numbers: which ones, and which decimal mark they have.

A comma or a point may be the decimal mark or separate thousands. Where a column can be read both ways, as one
with 1,234 can, the other columns decide, then what is usual in such a file; else the user is asked. A decimal
mark that the user names holds for every column.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.table_cells import LARGEST_WHOLE, NumberCells, TextCells, is_numeric, text_cells
from dilution.data.formats.table_float_texts import POINTS_OF_THOUSANDS, with_points_of_thousands
from dilution.data.formats.table_notes import Kind, Note
from dilution.data.formats.table_number_format import NumberColumns, NumberFormat, WrittenForm
from dilution.data.formats.table_number_signs import find_bounds, find_units
from dilution.data.formats.table_numbers import NUMERIC_SHARE, Numbers, NumberTexts
from dilution.errors import InputError

_MOSTLY = 0.5  # share from which on a column of text probably was to be one of numbers
_LEADING_ZERO = r"\s*[+-]?0\d"


@dataclass(frozen=True)
class _Column:
    """A column of text that is one of numbers, and the ways to read it."""

    cells: TextCells
    texts: NumberTexts
    ways: Sequence[Numbers]


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
        columns = self._columns(text)
        named = self._format.decimal
        mark = named or self._evident_mark([column.ways for column in columns.values()])
        for name, column in columns.items():
            reading = _choose(column.ways, mark)
            if reading is None:
                self._add(name, column, self._guess(name, column))
            else:
                self._note_conversions(name, column, reading)
                self._add(name, column, reading)
        if named == "comma":
            self._read_floats_with_commas()
        elif named is None:
            usual = mark or self._format.usual_decimal
            plain = {
                name: column
                for name, column in columns.items()
                if not any(way.decimal for way in column.ways)
            }
            for name, column in {**plain, **self._floats_as_text()}.items():
                self._read_points_of_thousands(name, column, mark, usual)
        self._note_leading_zeros()
        return self._result

    def read(self, name: str, cells: TextCells, texts: NumberTexts, reading: Numbers) -> NumberColumns:
        """Return a column of text as numbers, however many of its cells are; `texts` are its texts."""
        column = _Column(cells, texts, (reading,))
        self._note_conversions(name, column, reading)
        self._add(name, column, reading)
        return self._result

    def _columns(self, text: Mapping[str, TextCells]) -> dict[str, _Column]:
        """Return the columns of text of which 95 % of the cells are numbers."""
        columns = {}
        for name, cells in text.items():
            texts = NumberTexts(cells.texts)
            if ways := self._ways(name, cells, texts):
                columns[name] = _Column(cells, texts, ways)
        return columns

    def _ways(self, name: str, cells: TextCells, texts: NumberTexts) -> list[Numbers]:
        """Return the ways to read a column if 95 % of its cells are numbers, else none."""
        counts = np.where(cells.is_marker, 0, cells.counts(self._fitted))
        ways = texts.readings(counts, self._format.decimal)
        is_number = ways[0].is_number
        total = max(counts.sum(), 1)
        if counts[is_number].sum() / total >= NUMERIC_SHARE:
            return ways
        is_odd = ~is_number & ~cells.is_marker
        if counts[is_number].sum() / total > _MOSTLY:
            bounds = find_bounds(cells.texts)
            if counts[bounds & is_odd].sum() > counts[~bounds & is_odd].sum():
                self._stays_text(
                    Kind.BOUNDS,
                    name,
                    cells,
                    bounds & is_odd,
                    "holds numbers and, in {cells}, bounds of numbers (censored values), the first "
                    "{example}; a cell must be one number, and an empty cell would be filled with the "
                    "median. Write one number for each bound, such as the bound or half of it",
                )
                return []
            self._stays_text(
                Kind.MOSTLY_NUMBERS,
                name,
                cells,
                is_odd,
                "holds numbers, except for {cells}, the first {example}; an empty cell is a missing number. "
                "Write them as numbers, and empty those that are missing",
            )
            return []
        named = self._format.decimal
        others = texts.readings(counts)[0].is_number & is_odd if named else np.zeros_like(is_odd)
        for kind, odd, refusal in (
            (
                Kind.OTHER_MARK,
                others,
                "holds {example}, a number under the other decimal mark only, in all {cells}; decimal="
                f"{named} is requested. Leave that out",
            ),
            (
                Kind.UNITS,
                find_units(cells.texts) & is_odd,
                "holds numbers with a unit in {cells}, the first {example}; a number must be alone in its "
                "cell. Leave the unit out",
            ),
            (
                Kind.MIXED,
                texts.look_like_numbers(),
                "holds numbers that are written in several ways in {cells}, the first {example}; a column "
                "must have one decimal mark and one currency. Write them in one way",
            ),
        ):
            if counts[odd].sum() / total > _MOSTLY:
                self._stays_text(kind, name, cells, odd, refusal)
                break
        return []

    def _stays_text(
        self, kind: Kind, name: str, cells: TextCells, texts: NDArray[np.bool_], refusal: str
    ) -> None:
        """Note that a column counts as text because of some texts; `refusal` is what an error would say."""
        self._note(kind, name, cells, texts)
        count = int(cells.counts()[texts].sum())
        self._result.refusals[name] = refusal.format(
            cells="1 cell" if count == 1 else f"{count:,} cells",
            example=cells.example(texts, self._row_name),
        )

    def _evident_mark(self, ways: Sequence[Sequence[Numbers]]) -> str | None:
        """Return the decimal mark of columns that can be read in one way only."""
        clear = {candidates[0].decimal for candidates in ways if len(candidates) == 1} - {""}
        if not clear and any(len(candidates) > 1 for candidates in ways) and self._has_fractions():
            return "point"
        return clear.pop() if len(clear) == 1 else None

    def _has_fractions(self) -> bool:
        floats = self._frame.select_dtypes("float")
        return any(bool((column.dropna() % 1 != 0).any()) for _, column in floats.items())

    def _guess(self, name: str, column: _Column) -> Numbers:
        """Return the usual way to read a column, with a note; raise InputError if there is none."""
        point, comma = ({way.decimal: way for way in column.ways}[mark] for mark in ("point", "comma"))
        usual = self._format.usual_decimal
        is_mixed = _are_mixed(",", [column.texts.texts[k] for k in np.flatnonzero(comma.is_number)])
        if usual is None or (usual == "comma" and is_mixed):
            raise self._ask_for_mark(name, column.cells, point, comma)
        chosen, other, mark = (point, comma, "comma") if usual == "point" else (comma, point, "point")
        self._note_guess(name, column.cells, chosen, other, mark)
        return chosen

    def _note_guess(self, name: str, cells: TextCells, chosen: Numbers, other: Numbers, mark: str) -> None:
        row, text, value, other_value = self._difference(cells, chosen, other)
        detail = f"{text!r} in {row} is read as {value}; decimal={mark} behind the # makes it {other_value}"
        self._result.notes.append(Note(Kind.GUESSED_MARK, name, detail=detail))

    def _read_points_of_thousands(
        self, name: str, column: _Column, mark: str | None, usual: str | None
    ) -> None:
        """Read 1.234 as 1234 under a decimal comma if all points in a column may separate thousands."""
        cells, plain = column.cells, column.texts.plain
        texts = [column.texts.texts[number] for number in np.flatnonzero(plain.is_number)]
        if not all(map(POINTS_OF_THOUSANDS.fullmatch, texts)) or not _are_mixed(".", texts):
            return
        reading = column.texts.with_commas()
        if usual != "comma":
            self._note_guess(name, cells, plain, reading, "comma")
            return
        if mark != "comma":
            raise self._ask_for_mark(name, cells, plain, reading)
        self._result.notes = [note for note in self._result.notes if note.column != name]
        self._note_conversions(name, column, reading)
        self._add(name, column, reading)

    def _floats_as_text(self) -> dict[str, _Column]:
        """Return the columns that pandas read as fractions and whose points may separate thousands."""
        if self._format.has_types:
            return {}
        text = with_points_of_thousands(self._frame, self._format.text_of)
        return {name: _plain_column(column) for name, column in text.items()}

    def _read_floats_with_commas(self) -> None:
        """Read columns that pandas took for numbers with decimal points under the decimal comma."""
        names = list(map(str, self._frame.select_dtypes("float"))) if not self._format.has_types else []
        text = self._format.text_of(names, None) if names else pd.DataFrame()
        for name in names:
            if not text[name].str.contains(".", regex=False).any():
                continue
            cells = text_cells(text[name])
            for other, column in self._columns({name: cells}).items():
                self._note_conversions(other, column, column.ways[0])
                self._add(other, column, column.ways[0])
            self._result.cells.setdefault(name, cells)

    def _note_leading_zeros(self) -> None:
        """Note numbers in the file that begin with zeros which they do not need."""
        if self._format.has_types or not self._format.has_leading_zeros:
            return
        types = self._frame.dtypes
        names = [str(name) for name in types.index[[is_numeric(dtype) for dtype in types]]]
        text = self._format.text_of(names, None) if names else pd.DataFrame()
        for name in names:
            has_zeros = text[name].str.match(_LEADING_ZERO, na=False).to_numpy(dtype=bool)
            if has_zeros.any() and name not in self._result.cells:
                row = int(np.argmax(has_zeros))
                detail = f"{text[name].iloc[row].strip()!r} in {self._row_name(row)}"
                detail += f" is {self._frame[name].iloc[row]:.12g}"
                self._result.notes.append(Note(Kind.LEADING_ZEROS, name, int(has_zeros.sum()), detail))

    def _note_conversions(self, name: str, column: _Column, reading: Numbers) -> None:
        """Note signs, separators of thousands and decimal commas, and numbers in columns of text by type."""
        cells = column.cells
        is_used = reading.is_number
        for kind, texts in (
            (Kind.SIGNS, column.texts.has_signs & is_used),
            (Kind.THOUSANDS, reading.thousands),
            (Kind.LEADING_ZEROS, column.texts.leading_zeros() & is_used),
        ):
            if texts.any():
                row = cells.first(texts)
                code = cells.codes[row]
                detail = f"{cells.texts[code]!r} in {self._row_name(row)} is {reading.values[code]:.12g}"
                self._result.notes.append(Note(kind, name, int(cells.counts()[texts].sum()), detail))
        has_commas = any("," in text for text in cells.texts)
        if reading.decimal == "comma" and has_commas:
            self._result.notes.append(Note(Kind.DECIMAL_COMMA, name))
        elif self._format.has_types:
            self._result.notes.append(Note(Kind.NUMBERS_AS_TEXT, name))

    def _add(self, name: str, column: _Column, reading: Numbers) -> None:
        """Add a column of numbers, with a note on the cells that are none."""
        cells = column.cells
        odd = ~reading.is_number & ~cells.is_marker
        if odd.any():
            self._note(Kind.ODD_CELLS, name, cells, odd)
        values = np.append(np.where(cells.is_marker, np.nan, reading.values), np.nan)[cells.codes]
        whole = None  # code −1 is the last value
        if (np.abs(values) > LARGEST_WHOLE).any() and (exact := column.texts.whole_numbers(reading)):
            whole = np.array([*exact, None], dtype=object)[cells.codes]
        self._result.cells[name] = NumberCells(values, whole)
        decimal = reading.decimal or self._format.decimal or ""
        self._result.forms[name] = WrittenForm(decimal, column.texts.currency)

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


def _plain_column(column: "pd.Series[str]") -> _Column:
    """Return a column whose cells are all numbers as pandas reads them."""
    cells = text_cells(column)
    texts = NumberTexts(cells.texts)
    return _Column(cells, texts, [texts.plain])
