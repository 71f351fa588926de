"""Reading TOML files of strangers: a byte order mark, and limits of size, depth, digits and keys."""

import re
import tomllib
from pathlib import Path
from typing import Any

from dilution.errors import InputError
from dilution.utils.byte_order_mark import decode_marked
from dilution.utils.whole_numbers import check_digits

MAX_BYTES = 10_000_000
"""Largest TOML file: a study of a million values takes about as much."""

MAX_KEY_PARTS = 100
"""Parts of a dotted key that is refused: tomllib takes time in proportion to the square of their number."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w.-])(?:{_PART}){{{MAX_KEY_PARTS - 1}}}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file in UTF-8, or in the encoding that its byte order mark names.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not UTF-8, not TOML, too large, or too deep, or a whole number or a key in it is too long;
        the text says which.
    """
    with path.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    text = decode_marked(content)
    if content and not text:
        raise ValueError("it has a byte order mark and no text")
    if _LONG_KEY.search(text):
        raise ValueError(f"it has a key of {MAX_KEY_PARTS} parts or more")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables or lists lie too deep in one another") from None
    try:
        check_digits("", table)  # Python limits the digits of decimal numbers, and not of others such as 0xff
    except InputError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    return table
