"""Reading TOML files of strangers: a byte order mark, and limits of size and depth."""

import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 10_000_000
"""Largest TOML file: a study of a million values takes about as much."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file, with or without a byte order mark.

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
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("its tables or lists lie too deep in one another") from None
