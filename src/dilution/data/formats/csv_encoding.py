"""Encodings of CSV files: by byte order mark, by name, or UTF-8; and the error for other files."""

import codecs
import io
import itertools
from pathlib import Path

from dilution.data.formats.table_options import shown_path
from dilution.errors import DataError, InputError, unknown
from dilution.utils.byte_order_mark import marked_encoding

_BLOCK = 1 << 20  # bytes or characters that are read at a time
_COMMON = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "shift_jis", "gbk")
_NOT_IN_CP1252 = bytes.fromhex("81 8d 8f 90 9d")
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
    line, number = _first_wrong_line(path)
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        start = wrong.start
    else:
        start = 0
    excerpt = line[max(0, start - _SHOWN) : start + _SHOWN].strip()
    advice = ""
    if _may_be_cp1252(path):
        spec = f"{shown_path(path)}#{options}{',' if options else ''}encoding=cp1252"
        advice = f". If {excerpt.decode('cp1252')!r} in that line is right, its encoding is cp1252: {spec}"
    return DataError(
        f"{path} is no UTF-8 text: line {number:,} has the byte {line[start]:#04x}. Name its encoding behind "
        f"the #, or {save}{advice}."
    )


def _unused(path: Path) -> Path:
    """Return a path beside a file at which there is none."""
    names = (f"{path.stem}-without-nul{number or ''}{path.suffix}" for number in itertools.count())
    return next(other for other in map(path.with_name, names) if not other.exists())


def _first_wrong_line(path: Path) -> tuple[bytes, int]:
    """Return the first line that is not UTF-8, with its number from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return line, number
    raise AssertionError(f"{path} is UTF-8 by now")


def _may_be_cp1252(path: Path) -> bool:
    """Return whether all bytes are characters of Windows-1252, the encoding of Western Europe."""
    with path.open("rb") as file:
        return not any(set(_NOT_IN_CP1252) & set(block) for block in iter(lambda: file.read(_BLOCK), b""))
