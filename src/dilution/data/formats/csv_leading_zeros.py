"""Search of a CSV file for numbers with leading zeros, such as 007, which pandas reads as 7."""

import re
from pathlib import Path

import numpy as np

from dilution.data.formats.csv_encoding import is_wide

_BLOCK = 1 << 18  # bytes that are looked at together; they fit the cache
_OVERLAP = 64  # bytes of a block that are looked at again with the next one
_ZERO = ord("0")


def may_have_leading_zeros(path: Path, encoding: str, separator: str) -> bool:
    """Return whether a cell may begin with a zero that its number does not need.

    Parameters
    ----------
    path
        The file.
    encoding
        Its encoding. Files in encodings of several bytes per character are not searched: they may.
    separator
        What separates the cells.
    """
    if is_wide(encoding):
        return True
    mark = re.escape(separator.encode())
    start, end = rb"[\r\n\" " + mark + rb"]", rb"[ \"]*[\r\n" + mark + rb"]"
    number = re.compile(start + rb"[+-]?0[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?" + end)
    previous = b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            block = previous + block + (b"\n" if len(block) < _BLOCK else b"")
            if _has_candidate(block, ord(separator)) and number.search(block):
                return True
            previous = block[-_OVERLAP:]
    return False


def _has_candidate(block: bytes, separator: int) -> bool:
    """Return whether a zero and a digit follow a separator, a line end, a blank, a quote or a sign.

    This takes a hundredth of the time of a regular expression.
    """
    content = np.frombuffer(block, dtype=np.uint8)
    before, zero, after = content[:-2], content[1:-1], content[2:]
    is_start = (before <= ord("-")) | (before == separator)
    return bool(((zero == _ZERO) & (after - _ZERO < 10) & is_start).any())
