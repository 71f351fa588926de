"""Tables in CSV files."""

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.csv_dialect import detect_dialect
from dilution.data.formats.csv_encoding import describe_utf8_lines, explain_encoding
from dilution.data.formats.csv_leading_zeros import may_have_leading_zeros
from dilution.data.formats.csv_line_breaks import check_line_breaks
from dilution.data.formats.csv_preamble import is_blank
from dilution.data.formats.csv_records import CsvRecords, read_csv_records
from dilution.data.formats.csv_truth_values import describe_truth_values
from dilution.data.formats.table_dates import with_days
from dilution.data.formats.table_options import parse_words, shown_path
from dilution.data.formats.table_rows import TableRows, check_names
from dilution.errors import DataError, short_repr

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_MAX_LISTED = 10  # rows that a message names
_MIN_SERIES = 5  # increasing numbers that are names: fewer may be the cells of a row
_USUAL_DECIMAL = {
    ",": "point",  # a comma in a cell, which is in quotes, separates thousands
    ";": "comma",  # cells are separated by semicolons where the comma is the decimal mark
}
_QUOTED_AFTER_BLANK = re.compile(r"\s+\"")


class CsvTable:
    """A CSV file: a header, and cells separated by commas, semicolons, tabs or pipes.

    Parameters
    ----------
    path
        The file, in UTF-8, or in the encoding that its byte order mark or the options name.
    options
        Options of the table, of which those that name no columns are used.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or is damaged.
    InputError
        If two columns have one name, or an encoding or separator is unknown.
    """

    index = ()
    has_types = False

    def __init__(self, path: Path, options: str) -> None:
        self._path, self._options = path, options
        _check_is_text(path)
        words = parse_words(options)
        self._named_encoding = words.encoding
        try:
            self._dialect = detect_dialect(path, words.encoding, words.separator)
            records = (cells for cells in self._dialect.records(path) if not is_blank(cells))
            header, first_row = next(records, []), next(records, None)
        except (OSError, UnicodeError, csv.Error) as error:
            raise self._explain(error) from error
        if not header:
            raise DataError(f"{path} is empty; it must hold a header, which names the columns, and rows.")
        self._header = header
        names = [name.strip().strip("\ufeff").strip() for name in header]
        self.columns = tuple(name or f"Unnamed: {number}" for number, name in enumerate(names))
        """Names of the columns; ``"Unnamed: "`` and its number for a column without one, as in pandas."""
        self._blanks = [
            cell for cell, name in zip(header, names, strict=True) if cell.strip("\ufeff") != name
        ]
        check_names(self.columns, " without the blanks around it" if self._blanks else "")
        if first_row is not None and len(first_row) != len(header):
            self._row_numbers()  # raises the error before one about names that are in another line
        self._line_break_notes: tuple[str, ...] = ()
        self.default_decimal = _USUAL_DECIMAL.get(self._dialect.separator)

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows; cells of `text_columns` stay text, and only empty ones of them are missing.

        Raises
        ------
        DataError
            If a row has more or fewer cells than the header, or the text is damaged.
        """
        try:
            lines = self._row_numbers()
        except (OSError, UnicodeError, csv.Error) as error:
            raise self._explain(error) from error
        frame = self._read_csv(dtype=dict.fromkeys(text_columns, "str"))
        if len(frame) != len(lines):
            raise DataError(
                f"{self._path} has {len(lines):,} rows or {len(frame):,}, depending on how line ends and "
                "quotes are read. Write it again as CSV, from a spreadsheet or with pandas."
            )
        if incomplete := [name for name in text_columns if frame[name].hasnans]:
            for name, column in self.read_text(incomplete).items():
                frame[name] = column
        truth_values = describe_truth_values(frame, self.read_text, self._path, self._dialect.encoding)
        return with_days(TableRows(frame, lines, (*self._notes(), *truth_values)), text_columns)

    def read_text(self, columns: Sequence[str], n_rows: int | None = None) -> pd.DataFrame:
        """Return the first or all rows of columns as they are in the file, missing where a cell is empty."""
        return self._read_csv(
            dtype="str", usecols=list(columns), keep_default_na=False, na_values=[""], nrows=n_rows
        )

    @cached_property
    def has_leading_zeros(self) -> bool:
        """Whether numbers may have zeros that they do not need, as 007."""
        return may_have_leading_zeros(self._path, self._dialect.encoding, self._dialect.separator)

    def read_records(self) -> CsvRecords:
        """Return the text of the file by records.

        Raises
        ------
        DataError
            As of :meth:`read`.
        """
        try:
            self._row_numbers()  # it may find that blanks before quotes are left out
        except (OSError, UnicodeError, csv.Error) as error:
            raise self._explain(error) from error
        return read_csv_records(self._path, self._dialect)

    def _read_csv(self, **settings: Any) -> pd.DataFrame:
        try:
            return pd.read_csv(
                self._path,
                sep=self._dialect.separator,
                encoding=self._dialect.encoding,
                skiprows=self._dialect.lines_above,
                skipinitialspace=self._dialect.skips_blanks,
                header=0,
                names=list(self.columns),
                index_col=False,
                low_memory=False,
                **settings,
            )
        except (OSError, ValueError) as error:
            if "EOF inside string" in str(error):
                raise DataError(
                    f"{self._path} has a double quote that is not closed, so that its last cell holds the "
                    "rest of the file. Close it, or write a quote inside of a cell twice."
                ) from error
            raise DataError(f"{self._path} cannot be read: {error}. Write it again as CSV.") from error

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self._named_encoding is not None:
            notes.append(f"the text is read as {self._named_encoding}, as requested")
            notes.extend(describe_utf8_lines(self._path, self._named_encoding))
        if above := [line for line in self._dialect.above if line.strip()]:
            subject = (
                "1 row above the header is" if len(above) == 1 else f"{len(above)} rows above the header are"
            )
            notes.append(f"{subject} left out, the first is {short_repr(above[0])}")
        if blanks := self._blanks:
            subject = "1 name of a column is" if len(blanks) == 1 else f"{len(blanks):,} names of columns are"
            notes.append(f"{subject} used without the blanks around it, the first is {short_repr(blanks[0])}")
        if other := self._dialect.alternative:
            notes.append(
                f"cells are separated by the {self._dialect.separator_name}, though the {other} fits as "
                f"well; for that, add separator={other} behind the #"
            )
        if name := _number_as_name(self.columns):
            notes.append(
                f"the first row names the columns, one of them {name!r}; if that row is an example, the "
                "header is missing: add it"
            )
        return (*notes, *self._line_break_notes)

    def _row_numbers(self) -> NDArray[np.int64]:
        """Return the number of each row that is not blank; raise DataError unless all fit the header."""
        first = len(self._dialect.above) + 1
        width, number, blank = len(self.columns), first - 1, []
        ahead, broken = first - 1, []  # how far the number of a record is ahead of its last line
        with self._dialect.open_records(self._path) as records:
            for number, cells in enumerate(records, start=first):
                if number - records.line_num != ahead:
                    n_lines = ahead - number + records.line_num + 1
                    start = self._dialect.lines_above + records.line_num - n_lines
                    broken.append((number, start, n_lines))
                    ahead = number - records.line_num
                if len(cells) == width > 1:
                    if (
                        number > first
                        and cells[0] == self._header[0]
                        and cells == self._header
                        and not is_blank(cells)
                    ):
                        self._check_repeated(number)
                    continue
                if is_blank(cells):
                    blank.append(number)
                elif len(cells) != width:
                    if not self._dialect.skips_blanks and any(map(_QUOTED_AFTER_BLANK.match, cells)):
                        self._dialect = replace(self._dialect, skips_blanks=True)
                        return self._row_numbers()
                    is_first = number == first + 1 + len(blank)
                    others = [
                        (line, len(other))
                        for line, other in enumerate(records, number + 1)
                        if not is_blank(other)
                    ]
                    wrong = [line for line, n_cells in others if n_cells != width]
                    hint = self._width_hint(number, cells, is_first=is_first, is_last=not others)
                    raise self._wrong_width(number, cells, hint, wrong, len(others))
        self._line_break_notes = check_line_breaks(self._path, self._dialect, broken, width) if broken else ()
        lines = np.arange(first, number + 1)
        lines = np.setdiff1d(lines, blank) if blank else lines
        return lines[1:]

    def _check_repeated(self, line: int) -> None:
        """Refuse a second header, unless it is the first one, after blank lines."""
        records = enumerate(self._dialect.records(self._path), start=len(self._dialect.above) + 1)
        first = next(number for number, cells in records if not is_blank(cells))
        if line != first:
            raise DataError(
                f"row {line} of {self._path} repeats the header, as in joined files. Delete that row: "
                "its names would count as values and as a class."
            )

    def _wrong_width(
        self, line: int, cells: list[str], hint: str, wrong: list[int], n_others: int
    ) -> DataError:
        """Return the error for the first row of a wrong width; `wrong` are the others, of those below."""
        name = self._dialect.separator_name
        n_cells = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        too = ""
        if wrong and len(wrong) == n_others:
            too = " All rows below have another number of cells too."
        elif wrong:
            shown = ", ".join(map(str, wrong[:_MAX_LISTED]))
            more = f" and {len(wrong) - _MAX_LISTED:,} more" if len(wrong) > _MAX_LISTED else ""
            too = f" Other rows do not fit either: row{'s' if len(wrong) > 1 else ''} {shown}{more}."
        return DataError(
            f"row {line} of {self._path} has {n_cells} and the header {len(self.columns)}; all rows "
            f"must have as many cells as the header.{too}{hint} Cells are separated by the {name}; put a "
            "cell that contains one in double quotes."
        )

    def _width_hint(self, line: int, cells: list[str], *, is_first: bool, is_last: bool) -> str:
        """Return what may be wrong with a row of a wrong width, as sentences after a space."""
        hint = ""
        if is_last and any(set("\r\n") & set(cell) for cell in cells):
            hint = " One of its cells has line breaks: is a double quote not closed?"
        elif is_last and not is_first:
            hint = " It is the last row: if it is a footer, delete it."
        elif len(cells) == len(self.columns) + 1 and not cells[-1].strip():
            hint = " It ends with a separator: end the header with one too, or delete those of the rows."
        elif is_first:
            if len(cells) == len(self.columns) + 1:
                hint = " If the first column has no name, begin the header with a separator."
            other = shown_path(self._path.with_name(f"{self._path.stem}-from-row-{line}{self._path.suffix}"))
            hint += (
                f" If the header is row {line}, delete what is above it: `tail -n +{line} "
                f"{shown_path(self._path)} > {other}`."
            )
        return hint

    def _explain(self, error: OSError | UnicodeError | csv.Error) -> DataError:
        """Return the error for the user."""
        if isinstance(error, FileNotFoundError):
            return DataError(f"{self._path} does not exist; name a file that does.")
        if isinstance(error, OSError):
            return DataError(f"{self._path} cannot be read ({error.strerror}). Check its permissions.")
        if isinstance(error, csv.Error):
            return DataError(
                f"{self._path} is no valid CSV ({error}); often a double quote is not closed. Correct it, or "
                "write it again."
            )
        return explain_encoding(self._path, self._named_encoding, self._options, error)


_FORMATS = {
    b"PK\x03\x04": "an Excel or ZIP file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "a Parquet file, whose name must end in .parquet",
    b"SQLite format 3": "an SQLite file",
}
"""First bytes of files that are often named .csv."""


def _check_is_text(path: Path) -> None:
    """Raise DataError if the first bytes are those of another format; others report a missing file."""
    try:
        with path.open("rb") as opened:
            start = opened.read(16)
    except OSError:
        return
    for magic, kind in _FORMATS.items():
        if start.startswith(magic):
            raise DataError(f"{path} is {kind} and no CSV. Unpack it, or save it as CSV from its program.")


def _number_as_name(columns: Sequence[str]) -> str:
    """Return the first name that is a number, unless the numbers are those of a series; empty without one.

    Columns without names of their own are numbered from 0 or 1, and spectra have increasing wavelengths.
    """
    numbers = {name: float(name) for name in columns if _NUMBER.fullmatch(name)}
    steps = np.diff(list(numbers.values()))
    is_series = bool((steps == 1).all()) if len(numbers) < _MIN_SERIES else bool((steps > 0).all())
    return "" if not numbers or (is_series and len(numbers) > 1) else next(iter(numbers))
