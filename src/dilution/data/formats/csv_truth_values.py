"""Truth values in CSV files that are written in several ways, such as TRUE and true, which pandas merges."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dilution.data.formats.csv_encoding import is_wide
from dilution.errors import short_repr

_WORDS = ("TRUE", "True", "true", "FALSE", "False", "false")
_BLOCK = 1 << 18  # bytes that are searched together; they fit the cache
_OVERLAP = 8  # bytes of a block that are searched again with the next one


def describe_truth_values(
    frame: pd.DataFrame, read_text: Callable[[Sequence[str]], pd.DataFrame], path: Path, encoding: str
) -> tuple[str, ...]:
    """Return a note on columns whose truth values are written in several ways; none without any.

    Parameters
    ----------
    frame
        The columns as pandas reads them.
    read_text
        Function of columns that returns them as they are in the file.
    path, encoding
        The file and its encoding.
    """
    names = [str(name) for name, dtype in frame.dtypes.items() if _may_hold_truth_values(frame, name, dtype)]
    if not names or not (is_wide(encoding) or _has_several_forms(path)):
        return ()
    merged: dict[str, list[str]] = {}
    for name, column in read_text(names).items():
        forms: dict[str, str] = {}
        for text in map(str, column.dropna().unique()):
            if (first := forms.setdefault(text.strip().lower(), text)) != text:
                merged.setdefault(str(name), [first, text])
    if not merged:
        return ()
    name, forms_of_first = next(iter(merged.items()))
    shown = " and ".join(map(repr, forms_of_first))
    if len(merged) == 1:
        return (
            f"column {short_repr(name)} has truth values in several spellings, such as {shown}, which count "
            "as one",
        )
    return (
        f"{len(merged):,} columns have truth values in several spellings, such as {shown} in column "
        f"{short_repr(name)}, which count as one",
    )


def _may_hold_truth_values(frame: pd.DataFrame, name: object, dtype: Any) -> bool:
    """Return whether a column holds truth values, or these and missing values."""
    if pd.api.types.is_bool_dtype(dtype):
        return True
    is_object = pd.api.types.is_object_dtype(dtype)
    return is_object and bool(pd.api.types.infer_dtype(frame[name], skipna=True) == "boolean")


def _has_several_forms(path: Path) -> bool:
    """Return whether a file has a truth value in several spellings."""
    seen: set[str] = set()
    previous = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            searched = previous + block
            seen |= {word for word in _WORDS if word not in seen and word.encode() in searched}
            previous = block[-_OVERLAP:]
    return len({word.lower() for word in seen}) < len(seen)
