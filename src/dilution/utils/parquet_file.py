"""Parquet files of strangers as data frames: whatever is wrong with one is a DataError."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from dilution.errors import DataError, DilutionError
from dilution.utils.parquet_size import CELL_BYTES, check_fits


def read_frame(path: Path, remedy: str, *, cell_bytes: int = CELL_BYTES) -> pd.DataFrame:
    """Return the table in a Parquet file, with the index that pandas wrote.

    Parameters
    ----------
    path
        The file.
    remedy
        Sentence at the end of the message on a damaged file: how to write a whole one.
    cell_bytes
        Bytes that a cell takes in memory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If it is no whole Parquet file, its metadata contradict it, or its cells do not fit into memory.
    """
    try:
        with path.open("rb") as file:
            check_fits(path, file, cell_bytes)
            frame = pd.read_parquet(file, page_checksum_verification=True)
    except (FileNotFoundError, DilutionError, MemoryError):
        raise
    except Exception as error:  # pandas trusts the metadata, and raises whatever damaged ones lead to
        raise DataError(f"{path} cannot be read; it must be a whole Parquet file. {remedy}") from error
    # The converted table is freed, but pyarrow keeps its memory: as much as the frame takes.
    pa.default_memory_pool().release_unused()
    return frame
