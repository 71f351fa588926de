"""Encodings of CSV files: by byte order mark, by name, or UTF-8; and the error for other files."""

import codecs
import io
import itertools
from dataclasses import dataclass
from pathlib import Path

from dilution.data.formats.table_options import shown_path
from dilution.errors import DataError, InputError, unknown
from dilution.utils.byte_order_mark import marked_encoding

_BLOCK = 1 << 20  # bytes or characters that are read at a time
_COMMON = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "shift_jis", "gbk")
_NOT_IN_CP1252 = bytes.fromhex("81 8d 8f 90 9d")
_MIXED_SHARE = 0.2  # of lines with letters beyond ASCII that are UTF-8: by accident, as in GBK, few are
_SHOWN = 20  # bytes before and behind a wrong one in a message


def choose_encoding(path: Path, named: str | None) -> str:
    """Return the encoding that the byte order mark names, else the one that the user names, else UTF-8.

    Raises
    ------
    OSError
        If the file cannot be read.
    InputError
        If there is no encoding of this name, or another one is marked.
    """
    with path.open("rb") as file:
        marked = marked_encoding(file.read(4))
    if named is None:
        return marked or "utf-8"
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=named).close()
        same = marked is None or codecs.lookup(named).name == codecs.lookup(marked.removesuffix("-sig")).name
    except (LookupError, ValueError):
        raise unknown("encoding", named, _COMMON) from None
    if not same:
        raise InputError(
            f"the encoding is to be {named}, but the file begins with the byte order mark of {marked}. Leave "
            f"out encoding={named}."
        )
    return marked or named


def refuse_nul(path: Path, encoding: str) -> None:
    """Raise DataError if a text has NUL characters, at which pandas would cut a cell.

    Parameters
    ----------
    path
        The file.
    encoding
        Its encoding; a wrong one raises UnicodeError.
    """
    if is_wide(encoding):
        _refuse_nul_in_wide_text(path, encoding)
        return
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            position = block.find(b"\0")
            if position < 0:
                continue
            if block.count(b"\0") * 3 > len(block):
                order = "le" if position % 2 else "be"
                raise DataError(
                    f"{path} looks like UTF-16 text without a byte order mark; its encoding must be known. "
                    f"Add encoding=utf-16-{order} behind the #, or save it in the encoding UTF-8."
                )
            above = file.tell() - len(block) + position
            file.seek(0)
            raise _nul(path, 1 + file.read(above).count(b"\n"))


def is_wide(encoding: str) -> bool:
    """Return whether an encoding takes more than one byte for a comma."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _refuse_nul_in_wide_text(path: Path, encoding: str) -> None:
    n_lines = 1
    with path.open(encoding=encoding, newline="") as file:
        while block := file.read(_BLOCK):
            position = block.find("\0")
            if position >= 0:
                raise _nul(path, n_lines + block[:position].count("\n"))
            n_lines += block.count("\n")


def _nul(path: Path, line: int) -> DataError:
    return DataError(
        f"{path} has a NUL character in line {line:,}; text has none, so the file is damaged. "
        f"Write it again, or take them out: `tr -d '\\000' < {shown_path(path)} > "
        f"{shown_path(_unused(path))}`."
    )


def explain_encoding(path: Path, named: str | None, options: str, error: UnicodeError) -> DataError:
    """Return the error for a file that is no text in its encoding, with the line and a remedy.

    Parameters
    ----------
    path
        The file.
    named
        Encoding that the user named.
    options
        All options of the user, for the remedy.
    error
        What reading it raised.
    """
    save = "save it in the encoding UTF-8, which spreadsheets call 'CSV UTF-8'"
    encoding = choose_encoding(path, named)
    if named is not None or encoding != "utf-8":
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        return DataError(f"{path} is no {encoding} text ({reason}); name its true encoding, or {save}.")
    lines = _count_lines(path)
    line, number = lines.wrong_line, lines.first_wrong
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        start = wrong.start
    else:
        start = 0
    if lines.n_utf8:
        n_utf8, are = f"{lines.n_utf8:,} lines", "are"
        if lines.n_utf8 == 1:
            n_utf8, are = "1 line", "is"
        n_wrong = "1 line is" if lines.n_wrong == 1 else f"{lines.n_wrong:,} lines are"
        verb = "mixes" if lines.n_utf8 >= _MIXED_SHARE * (lines.n_utf8 + lines.n_wrong) else "may mix"
        return DataError(
            f"{path} {verb} encodings: {n_utf8} with letters beyond ASCII {are} UTF-8, the first is line "
            f"{lines.first_utf8:,}, and {n_wrong} not, the first is line {number:,} with the byte "
            f"{line[start]:#04x}; one encoding must hold for all, and a wrong one splits classes. Save each "
            "part as UTF-8 before the parts are joined."
        )
    excerpt = line[max(0, start - _SHOWN) : start + _SHOWN].strip()
    advice = ""
    if _may_be_cp1252(path):
        spec = f"{shown_path(path)}#{options}{',' if options else ''}encoding=cp1252"
        advice = f". If {excerpt.decode('cp1252')!r} in that line is right, its encoding is cp1252: {spec}"
    return DataError(
        f"{path} is no UTF-8 text: line {number:,} has the byte {line[start]:#04x}. Name its encoding behind "
        f"the #, or {save}{advice}."
    )


def describe_utf8_lines(path: Path, encoding: str) -> tuple[str, ...]:
    """Return a note if much text beyond ASCII is UTF-8, though another encoding is named; else none.

    Parameters
    ----------
    path
        The file.
    encoding
        The encoding that the user named.
    """
    if codecs.lookup(encoding).name.startswith("utf"):
        return ()
    lines = _count_lines(path)
    if not lines.n_utf8 or lines.n_utf8 < _MIXED_SHARE * (lines.n_utf8 + lines.n_wrong):
        return ()
    subject = "1 line" if lines.n_utf8 == 1 else f"{lines.n_utf8:,} lines"
    return (
        f"{subject} with letters beyond ASCII may be UTF-8 and are read as {encoding}, the first is line "
        f"{lines.first_utf8:,}",
    )


def _unused(path: Path) -> Path:
    """Return a path beside a file at which there is none."""
    names = (f"{path.stem}-without-nul{number or ''}{path.suffix}" for number in itertools.count())
    return next(other for other in map(path.with_name, names) if not other.exists())


@dataclass(frozen=True)
class _Lines:
    """Lines with bytes beyond ASCII: how many are UTF-8 and how many not, and the first of each, from 1."""

    n_utf8: int
    first_utf8: int
    n_wrong: int
    first_wrong: int
    wrong_line: bytes


def _count_lines(path: Path) -> _Lines:
    """Count the lines with bytes beyond ASCII."""
    n_utf8 = n_wrong = first_utf8 = first_wrong = 0
    wrong_line = b""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.isascii():
                continue
            try:
                line.decode()
            except UnicodeDecodeError:
                n_wrong += 1
                if n_wrong == 1:
                    first_wrong, wrong_line = number, line
            else:
                n_utf8 += 1
                first_utf8 = first_utf8 or number
    return _Lines(n_utf8, first_utf8, n_wrong, first_wrong, wrong_line)


def _may_be_cp1252(path: Path) -> bool:
    """Return whether all bytes are characters of Windows-1252, the encoding of Western Europe."""
    with path.open("rb") as file:
        return not any(set(_NOT_IN_CP1252) & set(block) for block in iter(lambda: file.read(_BLOCK), b""))
