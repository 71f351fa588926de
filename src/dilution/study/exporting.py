"""Export of tables of results: CSV, Parquet, JSON lines."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd

from dilution.errors import unknown
from dilution.utils.atomic import write_atomic
from dilution.utils.csv_cells import csv_bytes


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    # a transition matrix is a nested tuple in some rows and missing in others: text holds both
    table.assign(matrix=table["matrix"].map(lambda m: None if m is None else str(m))).to_parquet(buffer)
    return buffer.getvalue()


def _json_lines(table: pd.DataFrame) -> bytes:
    # DataFrame.to_json rounds to 15 decimals at most, and a table must be imported as it was
    records = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


_FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": csv_bytes,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}


def export_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write a table of results to a file, in the format of its suffix.

    Raises
    ------
    InputError
        If the suffix is none of .csv, .parquet, .jsonl.
    DilutionError
        If the file cannot be written; there is no partly written file then.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise unknown("format to export to", path.suffix or path.name, _FORMATS)
    return write_atomic(path, _FORMATS[path.suffix](table))
