"""JSON files of results, for programs: numbers that JSON cannot hold become null."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.utils.output_folder import write_output

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

SCHEMA_VERSION = 1
"""Version of ``diagnosis.json``, ``plan.json`` and ``advice.json``.

It rises if a name goes or changes its meaning. New names may come without that."""


def write_json(path: Path, result: Mapping[str, Any]) -> Path:
    """Write a result as JSON, with the version of its schema first, and return the path.

    Parameters
    ----------
    path
        File to write.
    result
        What :meth:`Diagnosis.to_dict` and the like return.

    Raises
    ------
    DilutionError
        If the file cannot be written.
    """
    return write_output(path, f"{json_text(plain(result), indent=1)}\n".encode())


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON that is readable and printable.

    Letters of all scripts stay, unlike with ``ensure_ascii``. What is not printable, such as control
    characters and halves of characters, is ``\uXXXX``, which every reader restores.

    Parameters
    ----------
    value
        A value of the types of JSON; NaN and infinity are an error.
    indent
        Blanks per level. Default: all on one line.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNPRINTABLE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def plain(value: Any) -> Any:
    """Return a value in the types of JSON; a table becomes a list of rows, NaN and infinity become None."""
    if isinstance(value, pd.DataFrame):
        return plain(value.to_dict(orient="records"))
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
