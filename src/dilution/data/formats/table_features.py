"""Encoding of table columns as numeric features: text one-hot, missing numbers filled with the median.

scikit-learn's ``SimpleImputer`` and ``OneHotEncoder`` give the same columns. They would save few lines, since
notes and messages stay, and every worker process would import scikit-learn, which takes a second.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.class_names import show_similar, similar_names
from dilution.data.formats.table_cells import (
    LARGEST_WHOLE,
    NumberCells,
    TextCells,
    check_finite,
    is_index,
    is_numeric,
    read_cells,
)
from dilution.data.formats.table_dates import other_form
from dilution.data.formats.table_encoding import ColumnEncoding, DecimalMark, NumberEncoding, TextEncoding
from dilution.data.formats.table_notes import Kind, Note, write_notes
from dilution.data.formats.table_number_format import NumberFormat, WrittenForm
from dilution.data.formats.table_numbers import whole_numbers
from dilution.data.formats.table_precision import Rounding, lost_digits, round_numbers
from dilution.data.formats.text_numbers import NumberFinder
from dilution.errors import InputError, short_repr

_MAX_VALUES = 50  # of a text column: one with more is taken for an identifier or free text
_MAX_LISTED = 10  # columns whose problems a message has
_MAX_DROPPED = 100  # columns that a message drops: more are too long for a command


@dataclass(frozen=True)
class FeatureColumns:
    """Columns of a table that are features.

    Parameters
    ----------
    frame
        The columns, n rows.
    fitted
        Rows that determine medians, values of text and which columns are numbers, int64: those of the train
        split.
    row_name
        Function of a row number that returns its name in messages.
    name_without
        Function of columns that returns the name of the data set without them, for messages.
    number_format
        How numbers in text are written.
    """

    frame: pd.DataFrame
    fitted: NDArray[np.int64]
    row_name: Callable[[int], str]
    name_without: Callable[[Sequence[str]], str]
    number_format: NumberFormat


class UnusableColumnsError(InputError):
    """Columns cannot be encoded as features.

    Parameters
    ----------
    message
        The message.
    columns
        Names of the columns.
    problems
        What is wrong with each of the first columns, and how many follow, without full stops.
    mended
        Name of the data without the columns; empty if it would be too long.
    """

    def __init__(
        self, message: str, columns: Sequence[str], problems: Sequence[str] = (), mended: str = ""
    ) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        self.mended = mended
        self.columns = tuple(columns)


def numbered_problems(problems: Sequence[str]) -> str:
    """Return problems as sentences with numbers; a message has one line."""
    return " ".join(f"({number}) {problem}." for number, problem in enumerate(problems, start=1))


@dataclass(frozen=True)
class EncodedColumns:
    """Features of a table.

    Parameters
    ----------
    features
        float32 of shape (n, features, 1, 1).
    encodings
        How each column became features.
    notes
        One note per kind of conversion.
    """

    features: NDArray[np.float32]
    encodings: tuple[ColumnEncoding, ...]
    notes: tuple[str, ...]


def encode_columns(columns: FeatureColumns) -> EncodedColumns:
    """Return the features of the rows, and how the columns became features.

    Raises
    ------
    InputError
        If a column holds infinite or too large numbers, dates, lists or the like, or text of more than 50
        values; if a comma may be a decimal mark or not; or if no column is left.
    """
    return _Encoder(columns).encode()


class _Encoder:
    """Collects features, notes and errors column by column."""

    def __init__(self, columns: FeatureColumns) -> None:
        self._table = columns
        self._features: list[NDArray[np.float32]] = []
        self._encodings: dict[str, ColumnEncoding] = {}
        self._notes: list[Note] = []
        self._errors: dict[str, str] = {}
        self._rounded: dict[str, tuple[int, Rounding]] = {}
        self._refusals: dict[str, str] = {}
        self._text_cells: dict[str, NumberCells | TextCells] = {}
        self._forms: dict[str, WrittenForm] = {}
        self._text_with_gaps: dict[str, NDArray[np.bool_]] = {}

    def encode(self) -> EncodedColumns:
        """Return features, encodings and notes; a second call is an error of the program."""
        table = self._table
        self._text_cells = self._read_text_columns()
        for name, column in table.frame.items():
            if name in self._errors:
                continue
            try:
                self._add(str(name), self._cells(column))
            except InputError as error:
                self._errors[str(name)] = str(error)
        if self._errors:
            raise self._explain_errors()
        if not self._features:
            dropped = [note.column for note in self._notes if note.kind is Kind.INDEX]
            index = f" Column {dropped[0]!r} is left out like an index." if dropped else ""
            raise InputError(
                f"there is no column of features beside the label; at least one must hold values.{index} Add "
                "one."
            )
        self._note_markers()
        features = np.stack(self._features, axis=1)
        if rests := lost_digits(features, self._rounded, self._numbers):
            features = self._with_rests(features, rests)
        features = np.ascontiguousarray(features[:, :, None, None])
        return EncodedColumns(features, tuple(self._encodings.values()), write_notes(self._notes))

    def _with_rests(
        self, features: NDArray[np.float32], rests: Mapping[str, list[NDArray[np.float32]]]
    ) -> NDArray[np.float32]:
        """Return the features with the rests of rounded numbers behind them."""
        places = [self._rounded[name][0] + 1 for name, parts in rests.items() for _ in parts]
        parts = [part for parts in rests.values() for part in parts]
        self._notes = [
            note for note in self._notes if note.kind is not Kind.MERGED_NUMBERS or note.column not in rests
        ]
        self._notes += [Note(Kind.RESTS, name, 1 + len(parts)) for name, parts in rests.items()]
        for name, of_column in rests.items():
            encoding = self._encodings[name]
            assert isinstance(encoding, NumberEncoding)
            self._encodings[name] = replace(encoding, n_rests=len(of_column))
        return np.insert(features, places, np.stack(parts, axis=1), axis=1)

    def _read_text_columns(self) -> dict[str, NumberCells | TextCells]:
        """Return the cells of all columns whose type is not that of numbers."""
        table, cells_of = self._table, dict[str, NumberCells | TextCells]()
        types = table.frame.dtypes
        for name in types.index[[not is_numeric(dtype) for dtype in types]]:
            try:
                cells_of[str(name)] = read_cells(table.frame[name], table.row_name)
            except InputError as error:
                self._errors[str(name)] = str(error)
        text = {name: cells for name, cells in cells_of.items() if isinstance(cells, TextCells)}
        finder = NumberFinder(table.frame, table.fitted, table.row_name, table.number_format)
        numbers = finder.find(text)
        self._notes += numbers.notes
        self._refusals, self._forms = numbers.refusals, numbers.forms
        for name, cells in numbers.cells.items():
            if isinstance(cells, NumberCells):
                try:
                    check_finite(cells, table.row_name)
                except InputError as error:
                    self._errors[name] = str(error)
        return {**cells_of, **numbers.cells}

    def _cells(self, column: "pd.Series[Any]") -> NumberCells | TextCells:
        """Return the cells of a column."""
        if (text := self._text_cells.get(str(column.name))) is not None:
            return text
        cells = read_cells(column, self._table.row_name)
        # pandas makes floats of whole numbers beside empty cells, and loses digits beyond 2⁵³.
        if (
            isinstance(cells, NumberCells)
            and column.dtype.kind == "f"
            and cells.largest >= LARGEST_WHOLE
            and not self._table.number_format.has_types
        ):
            text = self._table.number_format.text_of([str(column.name)], None)[str(column.name)]
            return replace(cells, whole=whole_numbers(text, cells.is_missing))
        return cells

    def _add(self, name: str, cells: NumberCells | TextCells) -> None:
        """Add the features of one column."""
        if cells.is_missing[self._table.fitted].all():
            self._notes.append(Note(Kind.EMPTY, name))
        elif isinstance(cells, TextCells):
            self._add_text(name, cells)
        elif is_index(name, cells):
            self._notes.append(Note(Kind.INDEX, name))
        else:
            self._add_numbers(name, cells)

    def _add_numbers(self, name: str, cells: NumberCells) -> None:
        """Add the numbers, missing ones filled with the median, and a missing-value indicator if needed."""
        fitted, missing = self._table.fitted, cells.is_missing
        known = cells.values[fitted][~missing[fitted]]
        median = float(np.median(known))
        rounded = round_numbers(cells, median, float(known.std()))
        self._rounded[name] = len(self._features), rounded
        needs_indicator = bool(missing[fitted].any())
        form = self._forms.get(name) or WrittenForm(self._table.number_format.decimal or "")
        encoding = NumberEncoding(
            name, median, rounded.offset, 0, needs_indicator, cast("DecimalMark", form.decimal), form.currency
        )
        self._encodings[name] = encoding
        self._features += encoding.features(cells)
        if count := int(missing.sum()):
            self._notes.append(Note(Kind.MISSING, name, count, f"{median:g}", int(needs_indicator)))
        if rounded.offset:
            offset = rounded.offset
            text = str(offset) if isinstance(offset, int) else f"{offset:.12g}"
            self._notes.append(Note(Kind.OFFSET, name, detail=text))
        if rounded.n_merged:
            self._notes.append(Note(Kind.MERGED_NUMBERS, name, rounded.n_merged, rounded.example))

    def _numbers(self, name: str) -> NDArray[Any]:
        """Return the numbers of a column as they were before they became float32."""
        cells = self._cells(self._table.frame[name])
        assert isinstance(cells, NumberCells)
        return self._rounded[name][1].numbers(cells)

    def _add_text(self, name: str, cells: TextCells) -> None:
        """Add one column of 0 and 1 per value of the fitted rows; a missing value is a value too."""
        fitted = self._table.fitted
        is_level = cells.counts(fitted) > 0
        if is_level.sum() > _MAX_VALUES:
            raise self._too_many_values(name, int(is_level.sum()))
        levels = sorted(np.flatnonzero(is_level), key=lambda number: cells.texts[number])
        missing = cells.is_missing
        encoding = TextEncoding(
            name, tuple(cells.texts[number] for number in levels), bool(missing[fitted].any())
        )
        detail = ", a missing one included" if encoding.has_missing_level else ""
        self._encodings[name] = encoding
        self._features += encoding.features(cells)
        self._notes.append(Note(Kind.TEXT, name, encoding.n_features, detail))
        unseen = int(cells.counts()[~is_level].sum())
        unseen += 0 if detail else int(missing.sum())
        if unseen:
            self._notes.append(Note(Kind.UNSEEN, name, unseen))
        if similar := similar_names(cells.texts[number] for number in levels):
            count = sum(map(len, similar))
            self._notes.append(Note(Kind.SIMILAR, name, count, show_similar(similar[0])))
        if cells.merged:
            self._notes.append(Note(Kind.BLANKS, name, detail=cells.merged))
        if cells.merged_forms:
            self._notes.append(Note(Kind.SPELLINGS, name, detail=cells.merged_forms))
        if missing.any():
            self._text_with_gaps[name] = missing

    def _note_markers(self) -> None:
        """Note cells of text such as ``NA``, which pandas reads as missing."""
        if self._table.number_format.has_types or not self._text_with_gaps:
            return
        texts = self._table.number_format.text_of(list(self._text_with_gaps), None)
        for name, missing in self._text_with_gaps.items():
            column = texts[name][missing].dropna().str.strip()
            markers = column[column != ""]
            if len(markers):
                example = f"{short_repr(markers.iloc[0])} in {self._table.row_name(int(markers.index[0]))}"
                self._notes.append(Note(Kind.MARKERS, name, len(markers), example))

    def _too_many_values(self, name: str, count: int) -> InputError:
        if date := other_form(self._table.frame[name]):
            return InputError(
                f"holds text like dates such as {date!r}, which may be day or month first; dates such as "
                "2024-05-31 are understood. Write them so"
            )
        return InputError(
            self._refusals.get(name)
            or f"holds text of {count:,} different values; a feature may have {_MAX_VALUES}, since more look "
            "like an identifier (name it with --ids) or free text. Group them"
        )

    def _explain_errors(self) -> InputError:
        """Return the error for all columns that cannot be encoded; the remedy is a name without them."""
        names = list(self._errors)
        problems = [f"column {name!r} {self._errors[name]}" for name in names[:_MAX_LISTED]]
        if len(names) > _MAX_LISTED:
            problems.append(f"{len(names) - _MAX_LISTED:,} more columns, the first is {names[_MAX_LISTED]!r}")
        if len(names) == 1:
            message = f"{problems[0]}, or drop the column"
        else:
            numbered = numbered_problems(problems)
            message = f"{len(names):,} columns cannot be features: {numbered} Change them, or drop them"
        if len(names) > _MAX_DROPPED:
            message = f"{message}: DataFrame.drop of pandas drops columns."
            return UnusableColumnsError(message, names, problems)
        mended = self._table.name_without(names)
        return UnusableColumnsError(f"{message}: {mended}.", names, problems, mended)
