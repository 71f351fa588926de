"""The size of a Parquet file in memory, by its metadata, before anything of it is unpacked."""

from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

from dilution.errors import DataError
from dilution.utils.available_memory import available_memory

_CELL_BYTES = 8  # of a number
_COPIES = 2  # of a table while it is read


def check_fits(path: Path, file: BinaryIO, cell_bytes: int = _CELL_BYTES) -> None:
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
    n_bytes = _COPIES * cell_bytes * metadata.num_rows * metadata.num_columns
    available = available_memory()
    if available is not None and n_bytes > available:
        raise DataError(
            f"{path} has {metadata.num_rows:,} rows and {metadata.num_columns:,} columns, which take "
            f"{n_bytes / 1e9:,.1f} GB while they are read; {available / 1e9:,.1f} GB of memory are free. "
            "Write fewer rows or columns to it, or free memory."
        )
