"""Tables of results as files: CSV, Parquet, JSON lines."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd

from dilution.errors import unknown
from dilution.files import write_whole


def _csv(table: pd.DataFrame) -> bytes:
    content: str = table.to_csv(index=False)
    return content.encode()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    # A transition matrix is a nested tuple in some rows and missing in others: text serves both.
    table.assign(matrix=table["matrix"].map(lambda m: None if m is None else str(m))).to_parquet(buffer)
    return buffer.getvalue()


def _json_lines(table: pd.DataFrame) -> bytes:
    content: str = table.to_json(orient="records", lines=True)
    return content.encode()


FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}


def export_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write a table to a file whose ending names the format.

    Raises
    ------
    InputError
        If the ending is none of .csv, .parquet, .jsonl.
    DilutionError
        If the file cannot be written; no half-written file is left.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise unknown("format to export to", path.suffix or path.name, FORMATS)
    return write_whole(path, FORMATS[path.suffix](table))
