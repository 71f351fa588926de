"""How a CSV file is written: encoding, separator, a first line ``sep=;``, and lines above the header."""

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from dilution.data.formats.csv_encoding import choose_encoding, refuse_nul
from dilution.data.formats.csv_preamble import count_above, is_blank
from dilution.data.formats.table_options import SEPARATORS
from dilution.errors import InputError

_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)  # the first line, for spreadsheets
_BLANKS_AND_QUOTE = re.compile(r"\s+\"")
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
    above
        Lines above the header, such as a title, without a line ``sep=;``.
    """

    encoding: str
    separator: str
    has_separator_line: bool = False
    skips_blanks: bool = False
    alternative: str = ""
    above: tuple[str, ...] = ()

    @property
    def separator_name(self) -> str:
        """Name of the separator: ``"comma"``."""
        return {mark: name for name, mark in SEPARATORS.items()}[self.separator]

    @property
    def lines_above(self) -> int:
        """Number of lines above the header."""
        return self.has_separator_line + len(self.above)

    def records(self, path: Path) -> Iterator[list[str]]:
        """Yield the cells of each record of a file from its header on, blank ones included.

        Errors are those of :meth:`open_records`.
        """
        with self.open_records(path) as reader:
            yield from reader

    @contextmanager
    def open_records(self, path: Path) -> Iterator[Any]:
        """Open a file as a reader of the module csv at its header; ``line_num`` counts lines from there.

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
            for _ in range(self.lines_above):
                file.readline()
            yield self.reader(file)

    def reader(self, file: Iterable[str]) -> Any:
        """Return a reader of the records in an open file."""
        return csv.reader(file, delimiter=self.separator, skipinitialspace=self.skips_blanks)


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
    scores: dict[str, tuple[bool, float, bool, int]] = {}
    dialects: dict[str, Dialect] = {}
    error: csv.Error | None = None
    for separator in candidates:
        tried = replace(dialect, separator=separator)
        try:
            sample = _sample(path, tried)
            if any(_BLANKS_AND_QUOTE.match(cell) for record in sample for cell in record.cells):
                tried = replace(tried, skips_blanks=True)
                sample = _sample(path, tried)
        except csv.Error as damage:  # mostly the whole of a wide header as one cell
            error = error or damage
            continue
        if n_above := count_above([record.cells for record in sample]):
            tried = replace(tried, above=_read_lines(path, tried, sample[n_above].n_lines_above))
        widths = [len(record.cells) for record in sample[n_above:]]
        width = widths[0] if widths else 0
        share = widths.count(width) / max(len(widths), 1)
        scores[separator] = (width > 1, share, not n_above, width)
        dialects[separator] = tried
    if not scores:
        assert error is not None  # a candidate fails by an error only
        raise error
    best = max(scores, key=lambda separator: scores[separator])
    names = {mark: name for name, mark in SEPARATORS.items()}
    others = [names[mark] for mark, score in scores.items() if mark != best and score[:3] == (True, 1, True)]
    return replace(dialects[best], alternative=others[0] if others and scores[best][1] == 1 else "")


@dataclass(frozen=True)
class _Record:
    """A record, and the number of lines above it."""

    cells: list[str]
    n_lines_above: int


def _sample(path: Path, dialect: Dialect) -> list[_Record]:
    """Return the first records that are not blank."""
    records: list[_Record] = []
    with path.open(encoding=dialect.encoding, newline="") as file:
        for _ in range(dialect.lines_above):
            file.readline()
        reader, n_lines = dialect.reader(file), 0
        for cells in reader:
            if not is_blank(cells):
                records.append(_Record(cells, n_lines))
            if len(records) == _SAMPLED:
                break
            n_lines = reader.line_num
    return records


def _read_lines(path: Path, dialect: Dialect, count: int) -> tuple[str, ...]:
    with path.open(encoding=dialect.encoding, newline="") as file:
        lines = islice(file, dialect.lines_above, dialect.lines_above + count)
        return tuple(line.rstrip("\r\n") for line in lines)
