"""Tables in files, CSV or Parquet: what columns there are, and their content with the number of each row."""

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

_SEPARATORS = ",;\t"
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab"}
_COMMA = re.compile(r"\s*[+-]?\d+(,\d+)?\s*")


@dataclass(frozen=True)
class Content:
    """The rows of a table.

    Parameters
    ----------
    frame
        The columns by their names.
    lines
        The number of each row as who made the table sees it, int64: in a CSV file the lines of a
        spreadsheet, of which the header is 1; in a Parquet file from 0, as pandas counts.
    notes
        What was done to read it.
    """

    frame: pd.DataFrame
    lines: NDArray[np.int64]
    notes: tuple[str, ...] = ()


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
        self._separator = max(_SEPARATORS, key=lambda each: len(next(self._records(each))[1]))
        _, header = next(self._records(self._separator))
        self.columns = tuple(name.strip() or f"Unnamed: {place}" for place, name in enumerate(header))
        """Names of the columns; of one without a name ``"Unnamed: "`` and its place, as pandas says."""
        _check_names(path, self.columns)

    def read(self, text: Collection[str]) -> Content:
        """Return the rows; the columns in `text` stay text.

        Raises
        ------
        DataError
            If a row has more or fewer cells than the header, or the text is damaged.
        """
        lines = self._lines()
        try:
            frame = pd.read_csv(
                self._path,
                sep=self._separator,
                encoding="utf-8-sig",
                header=0,
                names=list(self.columns),
                index_col=False,
                dtype=dict.fromkeys(text, "str"),
                low_memory=False,
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path} cannot be read: {error}. Write it anew as CSV.") from error
        if len(frame) != len(lines):
            raise DataError(
                f"{self._path} has {len(lines):,} rows or {len(frame):,}, by how its line ends and quotes "
                "are read. Write it anew as CSV, from a spreadsheet or with pandas."
            )
        return Content(frame, np.array(lines, dtype=np.int64), tuple(self._decimal_commas(frame, text)))

    def _decimal_commas(self, frame: pd.DataFrame, text: Collection[str]) -> Iterator[str]:
        """Turn columns of numbers such as 3,5 into numbers; yield what was done."""
        if self._separator == ",":
            return
        for name in frame.columns.difference(list(text), sort=False):
            cells = frame[name].dropna()
            if not len(cells) or not all(isinstance(cell, str) and _COMMA.fullmatch(cell) for cell in cells):
                continue
            frame[name] = pd.to_numeric(frame[name].str.replace(",", "."))
            yield f"column {name!r} has commas for decimal points and is read so"

    def _lines(self) -> list[int]:
        """Return the number of each row that is not blank, once all are known to fit the header."""
        width, lines = len(self.columns), []
        records = self._records(self._separator)
        next(records)
        for line, cells in records:
            if len(cells) != width:
                raise DataError(
                    f"row {line} of {self._path} has {len(cells)} cells and the header {width}; all rows "
                    f"must have as many as the header. Cells are separated by the {_NAMES[self._separator]} "
                    "here; put a cell that contains one in double quotes."
                )
            lines.append(line)
        return lines

    def _records(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the records that are not blank, each with its number from 1."""
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
                "encoding UTF-8: a spreadsheet calls it 'CSV UTF-8'."
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{self._path} is no valid CSV ({error}); often a double quote has no counterpart. Mend it, "
                "or write it anew."
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

    def read(self, text: Collection[str]) -> Content:
        """Return the rows; the file knows the types of its columns, and `text` changes none."""
        del text
        frame = self._frame.set_axis(list(self.columns), axis=1).reset_index(drop=True)
        return Content(frame, np.arange(len(frame), dtype=np.int64))


def open_table(path: Path) -> CsvTable | ParquetTable:
    """Return the table in a file, by the ending of its name."""
    return ParquetTable(path) if path.suffix.lower() == ".parquet" else CsvTable(path)


def _check_names(path: Path, columns: tuple[str, ...]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(
            f"{path} has {columns.count(twice[0])} columns called {twice[0]!r}; each name must occur once. "
            "Rename them."
        )
