"""Tables in CSV and Parquet files: names of the columns, and rows with their numbers."""

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dilution.data.formats.csv_table import CsvTable
from dilution.data.formats.table_cells import LARGEST_WHOLE
from dilution.data.formats.table_dates import with_days
from dilution.data.formats.table_options import parse_words
from dilution.data.formats.table_rows import TableRows, check_names
from dilution.errors import DataError, InputError, short_repr
from dilution.utils.parquet_file import read_frame
from dilution.utils.regular_file import check_regular

_INDEX_NOTE = "the index has no name and is left out; rows are counted from 0"


class TableFile(Protocol):
    """A table in a file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, each once."""

    @property
    def index(self) -> tuple[str, ...]:
        """Those of the columns that are levels of an index."""

    @property
    def default_decimal(self) -> str | None:
        """The decimal mark that is usual in such files, ``"point"`` or ``"comma"``; None if neither is."""

    @property
    def has_types(self) -> bool:
        """Whether the file says which columns are text."""

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows; cells of `text_columns` stay text, and only empty ones of them are missing."""

    @property
    def has_leading_zeros(self) -> bool:
        """Whether numbers may have zeros that they do not need, as 007."""

    def read_text(self, columns: Sequence[str], n_rows: int | None = None) -> pd.DataFrame:
        """Return the first or all rows of columns as they are in the file, missing where a cell is empty."""


class ParquetTable:
    """A Parquet file. Levels of an index that pandas wrote are columns if they have names.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If two columns have one name, or options are only for CSV files.
    """

    default_decimal = None
    has_types = True
    has_leading_zeros = False

    def __init__(self, path: Path, options: str) -> None:
        self._path = path
        words = parse_words(options)
        if words.encoding is not None or words.separator is not None:
            raise InputError(
                "the table is a Parquet file, and an encoding or separator is named, which only CSV files "
                "have. Leave it out."
            )
        self.columns = tuple(str(name) for name in self._frame.columns)
        if shared := [name for name in self.index if self.columns.count(name) > 1]:
            raise InputError(
                f"the index and a column are called {short_repr(shared[0])}; each name must occur once. With "
                "pandas, frame.reset_index(drop=True) leaves the index out; write the file again."
            )
        check_names(self.columns)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        try:
            frame = read_frame(self._path, "DataFrame.to_parquet writes one.")
        except FileNotFoundError as error:
            raise DataError(f"{self._path} does not exist; name a file that does.") from error
        levels = [level for level, name in enumerate(frame.index.names) if name is not None]
        index = [frame.index.get_level_values(level).to_frame(index=False) for level in levels]
        is_counter = frame.index.equals(pd.RangeIndex(len(frame)))
        self._notes = () if levels or is_counter else (_INDEX_NOTE,)
        self.index = tuple(str(frame.index.names[level]) for level in levels)
        return pd.concat([*index, frame.reset_index(drop=True)], axis=1) if index else frame

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows; of `text_columns`, those of whole numbers stay so where a number is missing."""
        return with_days(self._read(text_columns), text_columns)

    def _read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows, dates as they are in the file."""
        frame = self._frame.set_axis(list(self.columns), axis=1).reset_index(drop=True)
        del self._frame  # frees memory; another call reads the file again
        floats = frame.columns[[dtype.kind == "f" for dtype in frame.dtypes]]
        for name in floats:
            is_needed = name in text_columns or np.fmax.reduce(np.abs(frame[name])) >= LARGEST_WHOLE
            if is_needed and (whole := self._whole_numbers(name)) is not None:
                frame[name] = whole
        return TableRows(frame, np.arange(len(frame), dtype=np.int64), self._notes)

    def _whole_numbers(self, name: str) -> "pd.Series[Any] | None":
        """Return a column of whole numbers as it is in the file; pandas makes floats of those with gaps."""
        with pq.ParquetFile(self._path) as file:
            schema = file.schema_arrow
            if name not in schema.names or not pa.types.is_integer(schema.field(name).type):
                return None
            column = file.read(columns=[name]).column(name)
        return pd.Series(pd.arrays.ArrowExtensionArray(column))

    def read_text(self, columns: Sequence[str], n_rows: int | None = None) -> pd.DataFrame:
        """Return the first or all rows of some columns, which have their types in the file."""
        return self._read(()).frame[list(columns)].iloc[:n_rows]


def open_table(path: Path, options: str) -> TableFile:
    """Return the table in a file, whose suffix tells its format.

    Parameters
    ----------
    path
        A ``.parquet`` file, or a CSV file with any other suffix.
    options
        Options of the table, as :mod:`dilution.data.formats.table_options` describes them.
    """
    check_regular(path)
    if path.suffix.lower() == ".parquet":
        return ParquetTable(path, options)
    return CsvTable(path, options)
