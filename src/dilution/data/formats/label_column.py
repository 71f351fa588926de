"""The column that a message proposes as the label of a table: one with which the table can be read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.data.formats.table_columns import LabelColumnError
from dilution.data.formats.table_features import UnusableColumnsError
from dilution.data.formats.table_files import open_table
from dilution.data.formats.table_options import (
    TableOptions,
    UnknownLabelError,
    parse_options,
    parse_words,
    shown_path,
    unknown_column,
)
from dilution.data.labels import number_classes, read_labels
from dilution.errors import InputError

_MAX_TRIALS = 3  # columns with which reading the table is tried
_FEW_CLASSES = 20  # columns with more values rather hold a quantity


def with_proposal(error: InputError, path: Path, options: str, load: Callable[[str], Any]) -> str:
    """Return the message of an error about the label, with a name of the table that can be pasted if any.

    Parameters
    ----------
    error
        The error that reading the table raised.
    path
        The table.
    options
        Its options, as the user wrote them.
    load
        Reads the table under options; it raises InputError if it cannot be read.
    """
    if not isinstance(error, LabelColumnError | UnknownLabelError):
        return str(error)
    columns = open_table(path, options).columns
    if isinstance(error, UnknownLabelError):
        close = get_close_matches(error.name, columns, _MAX_TRIALS, 0.4)
        proposal = _propose(path, _without_label(options, columns), close, load)
        return str(unknown_column(error.name, columns, () if proposal is None else (proposal.label or "",)))
    wrong = error.column
    base = _without_label(options, columns)
    taken = {wrong, base.noisy, base.group, *base.dropped}
    candidates = [name for name in dict.fromkeys([*columns[:-11:-1], *columns[:10]]) if name not in taken]
    proposal = _propose(path, base, candidates, load)
    name = "" if proposal is None else f": {shown_path(path)}#{proposal.write(columns)}"
    return f"{error}{name}."


def _without_label(options: str, columns: Sequence[str]) -> TableOptions:
    try:
        return replace(parse_options(options, columns), label=None)
    except InputError:
        return parse_words(options)


def _propose(
    path: Path, options: TableOptions, candidates: Sequence[str], load: Callable[[str], Any]
) -> TableOptions | None:
    """Return options with a label under which the table can be read, None if no candidate is one."""
    table = open_table(path, options.write(()))
    text = table.read_text(candidates)
    counts = {name: _count_classes(text[name]) for name in candidates}
    fitting = [name for name in candidates if counts[name]]
    for name in sorted(fitting, key=lambda name: counts[name] > _FEW_CLASSES)[:_MAX_TRIALS]:
        tried = replace(options, label=name)
        for _ in range(2):
            try:
                load(tried.write(table.columns))
            except UnusableColumnsError as error:
                tried = tried.drop(error.columns)
            except InputError:
                break
            else:
                return tried
    return None


def _count_classes(cells: "pd.Series[Any]") -> int:
    """Return the number of classes in a column; 0 if it cannot be the label, or a class has one example."""
    try:
        column = read_labels(cells, "labels", str)
        (numbers, *_) = number_classes([column.take(~column.is_missing)]).numbers
    except InputError:
        return 0
    counts = np.unique(numbers, return_counts=True)[1]
    return len(counts) if len(counts) > 1 and counts.min() > 1 else 0
