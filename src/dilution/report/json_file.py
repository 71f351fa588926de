"""JSON files of results, for programs: numbers that JSON cannot hold become null."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.utils.output_folder import write_output

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
    content = json.dumps(plain(result), indent=1, ensure_ascii=False, allow_nan=False)
    return write_output(path, f"{content}\n".encode())


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
