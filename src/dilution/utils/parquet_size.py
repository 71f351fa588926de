"""The size of a Parquet file in memory, by its metadata, before anything of it is unpacked."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dilution.errors import DataError
from dilution.utils.available_memory import available_memory

CELL_BYTES = 8
"""Bytes that a number takes in memory."""

_COPIES = 2  # of a table while it is read


def check_fits(path: Path, file: BinaryIO, cell_bytes: int = CELL_BYTES) -> None:
    """Check that the cells of a Parquet file can be in memory twice.

    A file may be a thousand times smaller than its cells: a column of one value takes a few bytes.

    Parameters
    ----------
    path
        The file, for the message.
    file
        The same file, open; afterwards it is at its start.
    cell_bytes
        Bytes that a cell takes in memory.

    Raises
    ------
    DataError
        If they take more than is free.
    ArrowException
        If the file is no Parquet file.
    """
    metadata = pq.read_metadata(file)
    file.seek(0)
    available = available_memory()
    if available is None:
        return
    n_cells, long_texts = _count_cells(metadata, available)
    if _COPIES * cell_bytes * n_cells > available:
        raise _too_large(path, metadata, _COPIES * cell_bytes * n_cells, available)
    if long_texts:
        n_bytes = _COPIES * (cell_bytes * n_cells + _text_bytes(file, long_texts))
        file.seek(0)
        if n_bytes > available:
            raise _too_large(path, metadata, n_bytes, available)


def _count_cells(metadata: pq.FileMetaData, available: int) -> tuple[int, list[str]]:
    """Return the number of values, those inside of lists too, and the columns whose texts may be too long.

    No text is longer than its column is in the file, but a text that is there once may be in every row.
    """
    n_cells, longest = 0, dict[str, int]()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            n_cells += max(column.num_values, group.num_rows)
            if column.physical_type == "BYTE_ARRAY":
                n_bytes = group.num_rows * column.total_uncompressed_size
                longest[column.path_in_schema] = longest.get(column.path_in_schema, 0) + n_bytes
    n_cells = max(n_cells, metadata.num_rows * metadata.num_columns)
    return n_cells, [name for name, n_bytes in longest.items() if _COPIES * n_bytes > available]


def _text_bytes(file: BinaryIO, names: list[str]) -> int:
    """Return the bytes of all texts of columns, of which only the different ones are unpacked."""
    total = 0
    for name in names:
        file.seek(0)
        opened = pq.ParquetFile(file, read_dictionary=[name])
        for group in range(opened.num_row_groups):
            for chunk in opened.read_row_group(group, columns=[name]).column(0).chunks:
                total += _chunk_bytes(chunk)
    return total


def _chunk_bytes(chunk: pa.Array) -> int:
    if not pa.types.is_dictionary(chunk.type):  # texts in lists; they are not written once for many rows
        return int(chunk.nbytes)
    lengths = pc.binary_length(chunk.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
    rows = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
    return int(np.bincount(rows, minlength=len(lengths)) @ lengths.astype(np.int64))


def _too_large(path: Path, metadata: pq.FileMetaData, n_bytes: int, available: int) -> DataError:
    return DataError(
        f"{path} has {metadata.num_rows:,} rows and {metadata.num_columns:,} columns, which take "
        f"{n_bytes / 1e9:,.1f} GB while they are read; {available / 1e9:,.1f} GB of memory are free. "
        "Write fewer rows or columns to it, or free memory."
    )
