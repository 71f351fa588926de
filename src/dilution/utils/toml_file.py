"""Reading TOML files of strangers: a byte order mark, and limits of size and depth."""

import tomllib
from pathlib import Path
from typing import Any

from dilution.utils.byte_order_mark import decode_marked

MAX_BYTES = 10_000_000
"""Largest TOML file: a study of a million values takes about as much."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file in UTF-8, or in the encoding that its byte order mark names.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not UTF-8, not TOML, too large, or too deep; the text says which.
    """
    with path.open("rb") as opened:
        content = opened.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    text = decode_marked(content)
    if content and not text:
        raise ValueError("it has a byte order mark and no text")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its tables or lists lie too deep in one another") from None
