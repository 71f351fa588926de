"""Export of tables of results: CSV, Parquet, JSON lines."""

import csv
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dilution.errors import InputError, unknown
from dilution.utils.atomic import check_replaceable, write_atomic
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.strict_json import parse_json


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    # a transition matrix is a nested tuple in some rows and missing in others: text holds both
    table.assign(matrix=table["matrix"].map(lambda m: None if m is None else str(m))).to_parquet(buffer)
    return buffer.getvalue()


def _json_lines(table: pd.DataFrame) -> bytes:
    # DataFrame.to_json rounds to 15 decimals at most, and a table must be imported as it was
    records = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


_MAX_HEADER = 1 << 20  # bytes
_FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": csv_bytes,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
}


def export_table(table: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a table of results to a file, in the format of its suffix.

    Parameters
    ----------
    table
        One row per run.
    path
        The file. An exported table of before is replaced.
    overwrite
        Whether another file is replaced too.

    Raises
    ------
    InputError
        If the suffix is none of .csv, .parquet, .jsonl, or the file exists and is no exported table, or one
        of other columns.
    DilutionError
        If the file cannot be written; there is no partly written file then.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise unknown("format to export to", path.suffix or path.name, _FORMATS)
    content = _FORMATS[path.suffix](table)
    if not overwrite and os.path.lexists(path) and not _is_exported(path, table.columns):
        check_replaceable(path)
        raise InputError(
            f"{path} exists and is no exported table of runs, or has other columns than this one. "
            "Choose another name, or --overwrite (overwrite=True) to replace it."
        )
    return write_atomic(path, content)


def _is_exported(path: Path, columns: "pd.Index[str]") -> bool:
    """Return whether a file is an exported table of runs: it has exactly these columns."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        if path.suffix == ".parquet":
            names = pq.read_schema(path).names
        else:
            with path.open("rb") as file:
                first = file.readline(_MAX_HEADER).decode()
            names = _names_in_json(first) if path.suffix == ".jsonl" else next(csv.reader([first]), [])
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        return False
    return list(names) == list(columns)


def _names_in_json(line: str) -> list[str]:
    record = parse_json(line)
    return list(record) if isinstance(record, dict) else []
