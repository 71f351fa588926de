"""New rows of a table under an encoding that other rows determined: the same cells give the same features."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.class_names import without_fraction
from dilution.data.formats.table_cells import (
    LARGEST_WHOLE,
    NumberCells,
    TextCells,
    check_finite,
    is_numeric,
    read_cells,
    text_cells,
)
from dilution.data.formats.table_encoding import NumberEncoding, TableEncoding, TextEncoding
from dilution.data.formats.table_files import TableFile
from dilution.data.formats.table_notes import Kind, Note, write_notes
from dilution.data.formats.table_number_format import NumberFormat
from dilution.data.formats.table_numbers import NUMERIC_SHARE, Numbers, NumberTexts, whole_numbers
from dilution.data.formats.table_options import list_columns
from dilution.data.formats.table_rows import TableRows
from dilution.data.formats.text_numbers import NumberFinder
from dilution.errors import InputError, short_repr

_TRUTH_VALUES = {"true": "True", "false": "False"}
_MAX_FAULTS = 10  # columns that a message explains


@dataclass(frozen=True)
class NewRows:
    """Features of new rows.

    Parameters
    ----------
    features
        float32 of shape (n, features, 1, 1).
    notes
        What was converted, filled or ignored, one sentence per kind.
    rows
        The rows.
    """

    features: NDArray[np.float32]
    notes: tuple[str, ...]
    rows: TableRows


def read_new_rows(
    encoding: TableEncoding,
    table: TableFile,
    *,
    roles: tuple[str, ...] = (),
    decimal: str | None = None,
    name_with_decimal: Callable[[str], str],
) -> NewRows:
    """Return the features of the rows of a table under an encoding.

    Columns may be in any order. Those that the encoding does not know are ignored with a note.

    Parameters
    ----------
    encoding
        The encoding.
    table
        The table.
    roles
        Columns that are no features, such as the label; they are read as text where the file has no types.
    decimal
        The decimal mark that the user names, ``"point"`` or ``"comma"``. None: that of the encoding.
    name_with_decimal
        Function of a decimal mark that returns the name of the table with it, for messages.

    Raises
    ------
    InputError
        If columns are missing, hold something else than the encoded rows did, or numbers that are infinite:
        one message names them all.
    """
    names = [column.name for column in encoding.columns]
    faults = {name: "is missing" for name in names if name not in table.columns}
    text_columns = [column.name for column in encoding.columns if isinstance(column, TextEncoding)]
    present = [name for name in text_columns if name not in faults]
    rows = table.read(text_columns=[*present, *(name for name in roles if name in table.columns)])
    reader = _Reader(encoding, table, rows, decimal, name_with_decimal)
    cells: dict[str, NumberCells | TextCells] = {}
    for column in encoding.columns:
        if column.name in faults:
            continue
        try:
            cells[column.name] = reader.read(column)
        except InputError as error:
            faults[column.name] = str(error)
    if faults:
        raise _explain(faults, table.columns)
    ignored = {*names, *roles, *encoding.ignored, encoding.label}
    reader.notes += [Note(Kind.IGNORED, name) for name in table.columns if name not in ignored]
    features = encoding.features(cells)[:, :, None, None]
    return NewRows(np.ascontiguousarray(features), (*rows.notes, *write_notes(reader.notes)), rows)


class _Reader:
    """Reads the cells of columns, and collects notes."""

    def __init__(
        self,
        encoding: TableEncoding,
        table: TableFile,
        rows: TableRows,
        decimal: str | None,
        name_with_decimal: Callable[[str], str],
    ) -> None:
        self._table, self._rows, self._decimal = table, rows, decimal
        self._name_with_decimal = name_with_decimal
        marks = {column.decimal for column in encoding.columns if isinstance(column, NumberEncoding)} - {""}
        self._usual = marks.pop() if len(marks) == 1 else None
        self._format = NumberFormat(
            decimal, table.default_decimal, table.has_types, False, table.read_text, name_with_decimal
        )
        self.notes: list[Note] = []

    def read(self, column: NumberEncoding | TextEncoding) -> NumberCells | TextCells:
        """Return the cells of a column; the message of an InputError has no subject, which is the column."""
        if isinstance(column, TextEncoding):
            return self._read_text(column)
        cells = self._read_numbers(column)
        if count := int(cells.is_missing.sum()):
            self.notes.append(Note(Kind.MISSING, column.name, count, f"{column.fill:g}"))
        return cells

    def _read_text(self, column: TextEncoding) -> TextCells:
        series = self._rows.frame[column.name]
        if is_numeric(series.dtype):
            texts = series.astype(object).map(lambda cell: without_fraction(str(cell)), na_action="ignore")
            cells = text_cells(texts)
        else:
            read = read_cells(series, self._rows.name)
            cells = read if isinstance(read, TextCells) else text_cells(series.astype(str))
        levels = set(column.levels)
        number_of: dict[str, int] = {}
        new_numbers = np.full(len(cells.texts) + 1, -1, dtype=np.int32)  # the last is that of −1
        is_truth = levels <= set(_TRUTH_VALUES.values())
        markers = np.zeros(len(cells.texts), dtype=bool)
        for number, text in enumerate(cells.texts):
            level = _TRUTH_VALUES.get(text.lower(), text) if is_truth else text
            if level not in levels and cells.is_marker[number]:
                markers[number] = True
                continue
            new_numbers[number] = number_of.setdefault(level, len(number_of))
        if markers.any():
            count = int(cells.counts()[markers].sum())
            example = cells.example(markers, self._rows.name)
            self.notes.append(Note(Kind.MARKERS, column.name, count, example))
        cells = TextCells(new_numbers[cells.codes], tuple(number_of), cells.merged, cells.merged_forms)
        unseen = column.is_unseen(cells)
        if count := int(unseen.sum()):
            row = int(np.argmax(unseen))
            shown = short_repr(series.iloc[row]) if cells.codes[row] >= 0 else "a missing value"
            detail = f"{shown} in {self._rows.name(row)}"
            self.notes.append(Note(Kind.NEW_VALUES, column.name, count, detail))
        return cells

    def _read_numbers(self, column: NumberEncoding) -> NumberCells:
        series, has_types = self._rows.frame[column.name], self._table.has_types
        mark = self._decimal or column.decimal or None
        if pd.api.types.is_bool_dtype(series.dtype):
            raise InputError("holds truth values, and held numbers in the data that the model was fitted to")
        cells = read_cells(series, self._rows.name)
        if isinstance(cells, TextCells):
            return self._parse(column, cells, mark)
        if has_types or series.dtype.kind != "f":
            return cells
        needs_text = mark == "comma" or cells.largest >= LARGEST_WHOLE
        text = self._table.read_text([column.name])[column.name] if needs_text else pd.Series(dtype=str)
        if mark == "comma" and text.str.contains(".", regex=False).any():
            return self._parse(column, text_cells(text), mark)
        if cells.largest >= LARGEST_WHOLE:
            return replace(cells, whole=whole_numbers(text, cells.is_missing))
        return cells

    def _parse(self, column: NumberEncoding, cells: TextCells, mark: str | None) -> NumberCells:
        """Return the numbers in a column of text."""
        texts = NumberTexts(cells.texts)
        counts = np.where(cells.is_marker, 0, cells.counts())
        readings = texts.readings(counts, mark)
        if len(readings) > 1 and self._usual is not None:
            readings = texts.readings(counts, self._usual)
        if len(readings) > 1:
            point, comma = (self._name_with_decimal(name) for name in ("point", "comma"))
            odd = cells.example(readings[0].values != readings[1].values, self._rows.name)
            raise InputError(
                f"holds {odd}, whose decimal mark may be a point or a comma: name {point} or {comma}"
            )
        reading = readings[0]
        odd_texts = ~reading.is_number & ~cells.is_marker
        n_odd, total = int(counts[odd_texts].sum()), int(counts.sum())
        if n_odd > max(1, (1 - NUMERIC_SHARE) * total) or n_odd == total > 0:
            raise self._no_numbers(cells, texts, counts, reading, odd_texts)
        if texts.currency and column.currency and texts.currency != column.currency:
            odd = cells.example(texts.has_signs, self._rows.name)
            raise InputError(f"holds {odd}, and the model was fitted to amounts in {column.currency}")
        finder = NumberFinder(self._rows.frame, np.empty(0, np.int64), self._rows.name, self._format)
        numbers = finder.read(column.name, cells, texts, reading)
        self.notes += numbers.notes
        result = numbers.cells[column.name]
        assert isinstance(result, NumberCells)
        check_finite(result, self._rows.name)
        return result

    def _no_numbers(
        self,
        cells: TextCells,
        texts: NumberTexts,
        counts: NDArray[np.int64],
        reading: Numbers,
        odd: NDArray[np.bool_],
    ) -> InputError:
        """Return the error for a column of text, which proposes a decimal mark if that makes it numbers."""
        hint = ""
        for mark, other in (("point", texts.with_points()), ("comma", texts.with_commas())):
            if counts[other.is_number].sum() > counts[reading.is_number].sum():
                hint = f"; if the decimal mark is a {mark} there, name {self._name_with_decimal(mark)}"
        count, total = int(counts[odd].sum()), int(counts.sum())
        example = cells.example(odd, self._rows.name)
        return InputError(
            f"held numbers in the data that the model was fitted to, and holds none in {count:,} of "
            f"{total:,} cells, the first is {example}{hint}"
        )


def _explain(faults: dict[str, str], columns: Any) -> InputError:
    """Return one error for all columns that cannot be encoded."""
    missing = [name for name, fault in faults.items() if fault == "is missing"]
    others = [f"column {name!r} {fault}" for name, fault in faults.items() if name not in missing]
    parts = others[:_MAX_FAULTS]
    if len(others) > _MAX_FAULTS:
        parts.append(f"and {len(others) - _MAX_FAULTS:,} other columns cannot be used either")
    if missing:
        noun, verb = ("column", "is") if len(missing) == 1 else ("columns", "are")
        parts.insert(
            0, f"the {noun} {list_columns(missing)} {verb} missing; there are {list_columns(columns)}"
        )
    return InputError(
        f"{'; '.join(parts)}. The model needs the columns that it was fitted to, of the same kinds, in any "
        "order: add or correct them."
    )
