"""Records of a CSV file with line breaks in their cells: text of several lines, or rows between stray quotes.

Two quotes that stand at the beginnings of cells by mistake, as in ``"abc``, make one cell of all that is
between them, and so one row of several.
"""

import csv
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from dilution.data.formats.csv_dialect import Dialect
from dilution.errors import DataError

_MIN_LINES = 3  # lines from which on it is no accident that all are like rows,
_MIN_WIDTH = 3  # if rows have so many cells: text of several lines often has one comma in each


def check_line_breaks(
    path: Path, dialect: Dialect, places: Iterable[tuple[int, int, int]], width: int
) -> tuple[str, ...]:
    """Return a note on records with line breaks in cells that may be several rows, if there are any.

    Parameters
    ----------
    path
        The file.
    dialect
        How it is written.
    places
        For each record with line breaks in cells: its number in messages, the number of its first line,
        from 0, and how many lines it has; in their order.
    width
        Number of cells in a row.

    Raises
    ------
    DataError
        If a quoted cell of several lines is followed by text, or the lines certainly are rows.
    """
    notes: list[tuple[int, int]] = []
    with path.open(encoding=dialect.encoding, newline="") as file:
        n_read = 0
        for number, start, n_lines in places:
            lines = list(islice(file, start - n_read, start - n_read + n_lines))
            n_read = start + n_lines
            error = _strict_error(lines, dialect)
            if "end of data" in error:  # a quote that is not closed, which pandas reports
                continue
            if error:
                raise _stray_quote(path, number, n_lines, "a cell goes on behind its closing quote")
            if any(line.count(dialect.separator) != width - 1 for line in lines):
                continue
            if n_lines >= _MIN_LINES and width >= _MIN_WIDTH:
                raise _stray_quote(path, number, n_lines, "each of them has the separators of a row")
            notes.append((number, n_lines))
    if not notes:
        return ()
    subject = "1 row has" if len(notes) == 1 else f"{len(notes):,} rows have"
    number, n_lines = notes[0]
    return (
        f"{subject} a quoted cell with line breaks, and in each line the separators of a row, the first is "
        f"row {number}, of {n_lines:,} lines; if its lines are rows, a double quote is there by mistake",
    )


def _strict_error(lines: list[str], dialect: Dialect) -> str:
    """Return why the lines of one record are no strict CSV, as the module csv says it; empty if they are."""
    reader = csv.reader(
        lines, delimiter=dialect.separator, skipinitialspace=dialect.skips_blanks, strict=True
    )
    try:
        next(reader)
    except csv.Error as error:
        return str(error)
    return ""


def _stray_quote(path: Path, number: int, n_lines: int, reason: str) -> DataError:
    return DataError(
        f"row {number} of {path} has a double quote that makes one row of {n_lines:,} lines, and {reason}; a "
        "quote inside of a cell must be written twice in a cell in quotes. Delete the stray quotes; if the "
        "cell is text of several lines, write blanks in place of its line breaks."
    )
