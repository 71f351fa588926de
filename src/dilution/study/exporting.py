"""Tables of results as files: CSV, Parquet, JSON lines."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd

from dilution.errors import unknown
from dilution.utils.atomic import write_whole


def _csv(table: pd.DataFrame) -> bytes:
    content: str = table.to_csv(index=False)
    return content.encode()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    # A transition matrix is a nested tuple in some rows and missing in others: text serves both.
    table.assign(matrix=table["matrix"].map(lambda m: None if m is None else str(m))).to_parquet(buffer)
    return buffer.getvalue()


def _json_lines(table: pd.DataFrame) -> bytes:
    # Not DataFrame.to_json: it rounds to at most 15 decimals, and a table must come back as it was.
    records = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


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
