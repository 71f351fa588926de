"""Parquet files and DataFrames that were diagnosed: columns as text, and the table with clean labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dilution.data.formats.frame_table import FrameTable
from dilution.data.label_values import is_missing
from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.clean_labels import CleanLabels
from dilution.diagnosis.table_origin import FileOrigin, TableOrigin, first_rows
from dilution.errors import InputError


class ParquetOrigin(FileOrigin):
    """A Parquet file, whose columns keep their types and the file its metadata."""

    cleaned_name = "cleaned.parquet"

    @property
    def _n_rows(self) -> int:
        with pq.ParquetFile(self._path) as file:
            return int(file.metadata.num_rows)

    def read_text(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of all rows as text; empty where a cell is."""
        self._check_unchanged()
        table = pq.read_table(self._path, columns=list(columns))
        return pd.DataFrame({name: _texts(table.column(name).to_pylist()) for name in columns})

    def cleaned(self, clean: CleanLabels, folder: Path) -> bytes:
        """Return the file with clean labels."""
        del folder
        self._check_unchanged()
        table = pq.read_table(self._path)
        edits = self._edits(clean, first_rows(clean))
        place = table.schema.get_field_index(self._label)
        column = table.column(place).combine_chunks()
        labels = column.take(pa.array(np.maximum(edits.sources, 0)))
        if edits.names:
            cells = labels.to_pylist()
            for row, name in edits.names.items():
                cells[row] = _typed(name, self._label, lambda text: pa.scalar(text).cast(column.type).as_py())
            labels = pa.array(cells, type=column.type)
        table = table.set_column(place, table.schema.field(place), labels)
        if clean.has_weights:
            table = table.append_column(WEIGHT_COLUMN, pa.array(edits.weights))
        buffer = io.BytesIO()
        pq.write_table(table.filter(pa.array(edits.keep)), buffer)
        return buffer.getvalue()


class FrameOrigin(TableOrigin):
    """A DataFrame of pandas."""

    cleaned_name = "cleaned.parquet"

    def __init__(self, frame: pd.DataFrame, table: FrameTable, label: str) -> None:
        super().__init__(table, label, "the DataFrame")
        self._frame = frame.copy()  # the user may change theirs

    @property
    def _n_rows(self) -> int:
        return len(self._frame)

    def read_text(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of all rows as text; empty where a cell is missing."""
        frame = self._frame.set_axis(list(self._table.columns), axis=1)
        return pd.DataFrame({name: _texts(frame[name].astype(object).tolist()) for name in columns})

    def with_table(self, clean: CleanLabels) -> CleanLabels:
        """Return clean labels with the cleaned DataFrame, which keeps index and types."""
        clean = super().with_table(clean)
        self.check_cleaning(has_weights=clean.has_weights)
        edits = self._edits(clean, first_rows(clean))
        place = self._table.columns.index(self._label)
        labels = self._frame.iloc[:, place].take(np.maximum(edits.sources, 0)).set_axis(self._frame.index)
        for row, name in edits.names.items():
            labels.iloc[row] = _typed(name, self._label, lambda text: labels.dtype.type(text))
        table = self._frame.copy()
        table.isetitem(place, labels)
        if clean.has_weights:
            table[WEIGHT_COLUMN] = edits.weights
        return replace(clean, table=table[edits.keep])

    def cleaned(self, clean: CleanLabels, folder: Path) -> bytes:
        """Return the cleaned DataFrame as a Parquet file."""
        del folder
        table = clean.table if clean.table is not None else self.with_table(clean).table
        buffer = io.BytesIO()
        assert table is not None  # with_table has made one
        table.to_parquet(buffer)
        return buffer.getvalue()


def _typed(name: str, column: str, convert: Any) -> Any:
    """Return the name of a class that no label of a column has in the type of that column."""
    try:
        return convert(name)
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise InputError(
            f"no label in column {column!r} is {name!r}, and the type of the column has no such value. Use "
            "the "
            "policy drop."
        ) from error


def _texts(cells: list[Any]) -> list[str]:
    return ["" if is_missing(cell) else str(cell) for cell in cells]
