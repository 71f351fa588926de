"""CSV files that spreadsheets open: a text that would be a formula there gets an apostrophe."""

import csv
import re

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, UTF-8, without its index.

    A spreadsheet computes a cell that begins with ``=``, ``+``, ``-`` or ``@``, and names of classes, files
    and data sets come from strangers. Such a text, unless it is a number, gets an apostrophe in front, which
    :func:`restore_text` takes off.
    """
    safe = table.rename(columns=lambda name: neutralise_text(name) if isinstance(name, str) else name)
    returns = any("\r" in str(name) for name in safe.columns)
    for position, dtype in enumerate(safe.dtypes):
        if pd.api.types.is_numeric_dtype(dtype):
            continue
        column = safe.iloc[:, position].astype(object)
        texts = {cell for cell in column if isinstance(cell, str)}
        if any(map(_FORMULA.match, texts)):
            safe.isetitem(position, column.map(neutralise_text, na_action="ignore"))
        returns = returns or any("\r" in text for text in texts)
    # Python before 3.13 leaves a carriage return without quotes, and a reader takes it for the end of a row.
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    content: str = safe.to_csv(index=False, quoting=quoting)
    return content.encode()


def neutralise_text(cell: object) -> object:
    """Return a cell with an apostrophe in front if it is a text that a spreadsheet would compute."""
    if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def restore_text(cell: str) -> str:
    """Return a cell as it was before :func:`neutralise_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
