"""How a CSV file is written: encoding, separator of cells, and a first line ``sep=;``."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dilution.data.formats.csv_encoding import choose_encoding, refuse_nul
from dilution.data.formats.table_options import SEPARATORS
from dilution.errors import InputError

_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)  # the first line, for spreadsheets
_SAMPLED = 20  # records from which the separator is told
_MAX_LINE = 1 << 20  # characters of the first line


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Parameters
    ----------
    encoding
        Encoding of the text, without a byte order mark.
    separator
        Character between cells.
    has_separator_line
        Whether the first line names the separator and is no header.
    skips_blanks
        Whether blanks before a cell are left out, so that a quote may follow them.
    alternative
        Name of another separator that fits as well; empty if none does.
    """

    encoding: str
    separator: str
    has_separator_line: bool = False
    skips_blanks: bool = False
    alternative: str = ""

    @property
    def separator_name(self) -> str:
        """Name of the separator: ``"comma"``."""
        return {mark: name for name, mark in SEPARATORS.items()}[self.separator]

    def records(self, path: Path) -> Iterator[list[str]]:
        """Yield the cells of each record of a file, blank ones included.

        Raises
        ------
        OSError
            If the file cannot be read.
        UnicodeError
            If it is not in this encoding.
        csv.Error
            If a cell is longer than 131,072 characters, which mostly is a quote that is not closed.
        """
        with path.open(encoding=self.encoding, newline="") as file:
            if self.has_separator_line:
                file.readline()
            yield from csv.reader(file, delimiter=self.separator, skipinitialspace=self.skips_blanks)


def detect_dialect(path: Path, encoding: str | None, separator: str | None) -> Dialect:
    """Return how a CSV file is written.

    Parameters
    ----------
    path
        The file.
    encoding, separator
        What the user named, the separator by its name in ``SEPARATORS``; None: it is detected.

    Raises
    ------
    OSError
        If the file cannot be read.
    UnicodeError
        If it is not text in the encoding.
    DataError
        If it has NUL characters, or is damaged near its beginning.
    InputError
        If the encoding or the separator of a ``sep=`` line is unknown.
    """
    used = choose_encoding(path, encoding)
    refuse_nul(path, used)
    with path.open(encoding=used, newline="") as text:
        line = _SEPARATOR_LINE.fullmatch(text.readline(_MAX_LINE))
    if line and line[1] not in SEPARATORS.values():
        raise InputError(
            f"the first line is {line[0].strip()!r}; a separator must be one of {', '.join(SEPARATORS)}. "
            "Write the table again with one of them."
        )
    named = line[1] if line and separator is None else SEPARATORS.get(separator or "")
    dialect = Dialect(used, named or ",", has_separator_line=line is not None)
    candidates = [named] if named else list(SEPARATORS.values())
    return _best_separator(path, dialect, candidates)


def _best_separator(path: Path, dialect: Dialect, candidates: list[str]) -> Dialect:
    """Return the dialect with the separator under which most records are as wide as the header."""
    scores: dict[str, tuple[bool, float, int]] = {}
    dialects: dict[str, Dialect] = {}
    error: csv.Error | None = None
    for separator in candidates:
        tried = replace(dialect, separator=separator)
        try:
            sample = _sample(path, tried)
            if any(re.match(r"\s+\"", cell) for cells in sample for cell in cells):
                tried = replace(tried, skips_blanks=True)
                sample = _sample(path, tried)
        except csv.Error as damage:  # mostly the whole of a wide header as one cell
            error = error or damage
            continue
        width = len(sample[0]) if sample else 0
        share = sum(len(cells) == width for cells in sample) / max(len(sample), 1)
        scores[separator] = (width > 1, share, width)
        dialects[separator] = tried
    if not scores:
        assert error is not None  # a candidate fails by an error only
        raise error
    best = max(scores, key=lambda separator: scores[separator])
    names = {mark: name for name, mark in SEPARATORS.items()}
    others = [names[mark] for mark, score in scores.items() if mark != best and score[:2] == (True, 1)]
    return replace(dialects[best], alternative=others[0] if others and scores[best][1] == 1 else "")


def _sample(path: Path, dialect: Dialect) -> list[list[str]]:
    """Return the first records that are not blank."""
    records = (cells for cells in dialect.records(path) if not is_blank(cells))
    return list(islice(records, _SAMPLED))


def is_blank(cells: list[str]) -> bool:
    """Return whether a record is that of a blank line."""
    return len(cells) < 2 and not any(cell.strip() for cell in cells)
