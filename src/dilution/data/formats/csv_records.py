"""The text of a CSV file by records, to write the file again with some records or cells changed."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from dilution.data.formats.csv_dialect import Dialect
from dilution.data.formats.csv_preamble import is_blank
from dilution.errors import DataError
from dilution.utils.byte_order_mark import marked_encoding

_LINE_ENDS = "\r\n"
_MARKS = {
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
    "utf-8-sig": ((codecs.BOM_UTF8, "utf-8"),),
}
"""Byte order marks by the name of the encoding that they mark, and encodings that write none."""


@dataclass(frozen=True)
class CsvRecords:
    """The text of a CSV file by records.

    Parameters
    ----------
    dialect
        How it is written.
    mark
        Its byte order mark, empty if there is none.
    encoding
        Encoding of what follows the mark.
    above
        Text above the header.
    header
        Text of the header, with its line end and blank lines behind it.
    rows
        Text of each row, with its line end.
    blanks
        Text of the blank lines behind each row.
    """

    dialect: Dialect
    mark: bytes
    encoding: str
    above: str
    header: str
    rows: tuple[str, ...]
    blanks: tuple[str, ...]

    def encode(self, header: str, rows: Iterable[str]) -> bytes:
        """Return a file with another header and other rows, in the encoding of this one."""
        return self.mark + "".join((self.above, header, *rows)).encode(self.encoding)

    def cell_spans(self, record: str) -> list[tuple[int, int]]:
        """Return the first character of each cell of a record, and the one behind it; quotes are included."""
        if '"' not in record:
            ends = list(
                accumulate(len(cell) + 1 for cell in self._body(record).split(self.dialect.separator))
            )
            return [(start, end - 1) for start, end in zip([0, *ends], ends, strict=False)]
        spans, start = [], 0
        while True:
            end, is_last = self._cell_end(record, start)
            spans.append((start, end))
            if is_last:
                return spans
            start = end + 1

    def cell(self, record: str, column: int) -> str:
        """Return the text of a cell as it is written, with its quotes and blanks."""
        start, end = self.cell_spans(record)[column]
        return record[start:end]

    def with_cell(self, record: str, column: int, text: str) -> str:
        """Return a record with another text, written as in the file, in place of a cell."""
        start, end = self.cell_spans(record)[column]
        return record[:start] + text + record[end:]

    def with_last_cell(self, record: str, text: str) -> str:
        """Return a record with one more cell, whose text is written as in the file."""
        end = len(self._body(record))
        return record[:end] + self.dialect.separator + text + record[end:]

    def quoted(self, text: str) -> str:
        """Return a text as a cell, in quotes if it needs them."""
        if (
            any(letter in text for letter in (self.dialect.separator, '"', *_LINE_ENDS))
            or text != text.strip()
        ):
            return '"' + text.replace('"', '""') + '"'
        return text

    @staticmethod
    def _body(record: str) -> str:
        return record.rstrip(_LINE_ENDS)

    def _cell_end(self, record: str, start: int) -> tuple[int, bool]:
        """Return where the cell that starts here ends, and whether it is the last one.

        The rules are those of the module csv: a quote begins a quoted cell only at its start, and text may
        follow the closing quote.
        """
        place, is_quoted = start, False
        if self.dialect.skips_blanks:
            while record[place : place + 1] == " ":
                place += 1
        if record[place : place + 1] == '"':
            place, is_quoted = place + 1, True
        while place < len(record):
            letter = record[place]
            if is_quoted:
                if letter == '"':
                    is_quoted = record[place + 1 : place + 2] == '"'
                    place += is_quoted
            elif letter == self.dialect.separator:
                return place, False
            elif letter in _LINE_ENDS:
                return place, True
            place += 1
        return place, True


def read_csv_records(path: Path, dialect: Dialect) -> CsvRecords:
    """Return the text of a CSV file by records.

    Parameters
    ----------
    path
        The file.
    dialect
        How it is written.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
    mark, encoding = b"", dialect.encoding
    for start, plain in _MARKS.get(marked_encoding(content[:4]) or "", ()):
        if content.startswith(start):
            mark, encoding = start, plain
    lines = list(io.StringIO(content[len(mark) :].decode(encoding), newline=""))
    records = list(_records(lines[dialect.lines_above :], dialect))
    first = next(number for number, (_, blank) in enumerate(records) if not blank)
    above = "".join([*lines[: dialect.lines_above], *(text for text, _ in records[:first])])
    texts: list[str] = []
    blanks: list[str] = []
    for text, blank in records[first:]:
        if blank:
            blanks[-1] += text
        else:
            texts.append(text)
            blanks.append("")
    header = texts[0] + blanks[0]
    return CsvRecords(dialect, mark, encoding, above, header, tuple(texts[1:]), tuple(blanks[1:]))


def _records(lines: list[str], dialect: Dialect) -> Iterator[tuple[str, bool]]:
    """Yield the text of each record, and whether it is a blank line."""
    place = 0
    reader = dialect.reader(lines)
    try:
        for cells in reader:
            yield "".join(lines[place : reader.line_num]), is_blank(cells)
            place = reader.line_num
    except csv.Error as error:  # the file was read before, so it has changed
        raise DataError(f"the CSV file was changed while it was read ({error}). Read it again.") from error
