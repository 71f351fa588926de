"""Rows of a table with their numbers, and the check of the names of its columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.errors import InputError, short_repr

_FOOTER = re.compile(
    r"\s*(?:grand |sub-?)?(?:totals?|sum|summe|gesamt|mean|average|avg|count)\s*[.:]?\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class TableRows:
    """Rows of a table.

    Parameters
    ----------
    frame
        The columns by name.
    lines
        Number of each row as a user counts them, int64: lines of a spreadsheet for a CSV file, where the
        header is line 1; from 0, as pandas counts, for a Parquet file.
    notes
        What was left out or converted when the file was read.
    """

    frame: pd.DataFrame
    lines: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def name(self, row: int) -> str:
        """Return the name of a row: ``"row 17"``."""
        return f"row {self.lines[row]}"

    def footer(self, columns: Sequence[str]) -> str:
        """Return the cell of the last row that is the word of a footer, such as ``Total``; empty if none."""
        types = self.frame.dtypes[list(columns)]
        text = types.index[[not pd.api.types.is_numeric_dtype(dtype) for dtype in types]]
        cells = (self.frame[name].iloc[-1] for name in text)
        return next((cell for cell in cells if isinstance(cell, str) and _FOOTER.fullmatch(cell)), "")


def check_names(columns: Sequence[str], change: str = "") -> None:
    """Raise InputError if two columns have one name; `change` says how they were changed."""
    counts = Counter(columns)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if not repeated:
        return
    name = repeated[0]
    first, second = [number for number, column in enumerate(columns, start=1) if column == name][:2]
    others = f", the first of {len(repeated):,} repeated names" if len(repeated) > 1 else ""
    raise InputError(
        f"there are {counts[name]:,} columns called {short_repr(name)}; each name must occur once. Rename "
        f"them: columns {first:,} and {second:,} have this name{change}{others}."
    )
