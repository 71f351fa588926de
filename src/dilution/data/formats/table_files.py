"""Tables in CSV and Parquet files: names of the columns, and rows with their numbers."""

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import DataError, InputError

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+(,\d+)?\s*")


@dataclass(frozen=True)
class TableRows:
    """Rows of a table.

    Parameters
    ----------
    frame
        The columns by name.
    lines
        Number of each row as a user counts them, int64: lines of a spreadsheet for a CSV file, where the
        header is line 1; from 0, as pandas counts, for a Parquet file.
    notes
        Conversions made when the file was read.
    """

    frame: pd.DataFrame
    lines: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def name(self, row: int) -> str:
        """Return the name of a row: ``"row 17"``."""
        return f"row {self.lines[row]}"


class CsvTable:
    """A CSV file: UTF-8 text, a header, cells separated by commas, semicolons or tabs.

    Raises
    ------
    DataError
        If the file cannot be read or is empty.
    InputError
        If two columns have one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _, header = next(self._records(","), (0, []))
        if not header:
            raise DataError(f"{path} is empty; it must hold a header, which names the columns, and rows.")
        headers = {separator: next(self._records(separator))[1] for separator in _SEPARATORS}
        self._separator = max(headers, key=lambda separator: len(headers[separator]))
        header = headers[self._separator]
        self.columns = tuple(name.strip() or f"Unnamed: {number}" for number, name in enumerate(header))
        """Names of the columns; ``"Unnamed: "`` and its number for a column without one, as in pandas."""
        _check_names(path, self.columns)

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows; cells of `text_columns` are not converted to numbers.

        Raises
        ------
        DataError
            If a row has more or fewer cells than the header, or the text is damaged.
        """
        lines = self._row_numbers()
        try:
            frame = pd.read_csv(
                self._path,
                sep=self._separator,
                encoding="utf-8-sig",
                header=0,
                names=list(self.columns),
                index_col=False,
                dtype=dict.fromkeys(text_columns, "str"),
                low_memory=False,
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path} cannot be read: {error}. Write it again as CSV.") from error
        if len(frame) != len(lines):
            raise DataError(
                f"{self._path} has {len(lines):,} rows or {len(frame):,}, depending on how line ends and "
                "quotes are read. Write it again as CSV, from a spreadsheet or with pandas."
            )
        notes = self._convert_decimal_commas(frame, text_columns)
        return TableRows(frame, np.array(lines, dtype=np.int64), tuple(notes))

    def _convert_decimal_commas(self, frame: pd.DataFrame, text_columns: Collection[str]) -> Iterator[str]:
        """Convert columns of numbers such as 3,5 in place; yield one note per column."""
        if self._separator == ",":
            return
        for name in frame.columns.difference(list(text_columns), sort=False):
            cells = frame[name].dropna()
            if not len(cells) or not all(
                isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell) for cell in cells
            ):
                continue
            frame[name] = pd.to_numeric(frame[name].str.replace(",", "."))
            yield f"column {name!r} has decimal commas, which are read as decimal points"

    def _row_numbers(self) -> list[int]:
        """Return the number of each row that is not blank; raise DataError unless all fit the header."""
        width, lines = len(self.columns), []
        records = self._records(self._separator)
        next(records)
        for line, cells in records:
            if len(cells) != width:
                raise DataError(
                    f"row {line} of {self._path} has {len(cells)} cells and the header {width}; all rows "
                    "must have as many cells as the header. Cells are separated by the "
                    f"{_SEPARATORS[self._separator]}; put a cell that contains one in double quotes."
                )
            lines.append(line)
        return lines

    def _records(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the records that are not blank with their numbers from 1."""
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                for number, cells in enumerate(csv.reader(file, delimiter=separator), start=1):
                    if len(cells) > 1 or any(cell.strip() for cell in cells):
                        yield number, cells
        except FileNotFoundError as error:
            raise DataError(f"{self._path} does not exist; name a file that does.") from error
        except OSError as error:
            raise DataError(
                f"{self._path} cannot be read ({error.strerror}). Check its permissions."
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._path} is no UTF-8 text (byte {error.object[error.start]:#04x}); save it in the "
                "encoding UTF-8, which spreadsheets call 'CSV UTF-8'."
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{self._path} is no valid CSV ({error}); often a double quote is not closed. Correct it, or "
                "write it again."
            ) from error


class ParquetTable:
    """A Parquet file.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If two columns have one name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.columns = tuple(str(name) for name in self._frame.columns)
        """Names of the columns."""
        _check_names(path, self.columns)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        try:
            with self._path.open("rb") as file:
                return pd.read_parquet(file)
        except FileNotFoundError as error:
            raise DataError(f"{self._path} does not exist; name a file that does.") from error
        except (OSError, ValueError) as error:  # those of pyarrow are ValueErrors
            raise DataError(
                f"{self._path} cannot be read; it must be a whole Parquet file. DataFrame.to_parquet writes "
                "one."
            ) from error

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows; `text_columns` is ignored, since the file has the types of its columns."""
        del text_columns
        frame = self._frame.set_axis(list(self.columns), axis=1).reset_index(drop=True)
        return TableRows(frame, np.arange(len(frame), dtype=np.int64))


def open_table(path: Path) -> CsvTable | ParquetTable:
    """Return the table in a file, whose suffix tells its format."""
    return ParquetTable(path) if path.suffix.lower() == ".parquet" else CsvTable(path)


def _check_names(path: Path, columns: tuple[str, ...]) -> None:
    for name in sorted(columns):
        if columns.count(name) > 1:
            raise InputError(
                f"{path} has {columns.count(name)} columns called {name!r}; each name must occur once. "
                "Rename them."
            )
