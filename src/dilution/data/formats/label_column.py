"""The column that a message proposes as the label of a table: one with which the table can be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.data.formats.table_columns import LabelColumnError
from dilution.data.formats.table_features import UnusableColumnsError, numbered_problems
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


def with_proposal(error: InputError, path: Path, options: str, load: Callable[[str], Any]) -> tuple[str, str]:
    """Return the message of an error with a name of the table that can be pasted, and this name if any.

    For an error about the label that is a name with another label. If it drops columns, the message says why.

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
        return str(error), error.mended
    columns = open_table(path, options).columns
    if isinstance(error, UnknownLabelError):
        close = get_close_matches(error.name, columns, _MAX_TRIALS, 0.4)
        proposal = _propose(path, _without_label(options, columns), close, load)
        message = str(
            unknown_column(error.name, columns, () if proposal is None else (proposal.label or "",))
        )
        return (message, "") if proposal is None else _with_problems(message, proposal, path, columns)
    wrong = error.column
    base = _without_label(options, columns)
    taken = {wrong, base.noisy, base.group, *base.dropped}
    candidates = [name for name in dict.fromkeys([*columns[:-11:-1], *columns[:10]]) if name not in taken]
    proposal = _propose(path, base, candidates, load)
    if proposal is None:
        return f"{error}.", ""
    return _with_problems(f"{error}: {proposal.name(path, columns)}.", proposal, path, columns)


@dataclass(frozen=True)
class _Proposal:
    """Options under which a table can be read, and problems of the columns that they drop.

    Parameters
    ----------
    options
        The options.
    problems
        As of :class:`UnusableColumnsError`.
    """

    options: TableOptions
    problems: tuple[str, ...] = ()

    @property
    def label(self) -> str | None:
        """Column of the label."""
        return self.options.label

    def name(self, path: Path, columns: Sequence[str]) -> str:
        """Return the name of the table, for messages: it can be pasted."""
        return f"{shown_path(path)}#{self.options.write(columns)}"


def _with_problems(message: str, proposal: _Proposal, path: Path, columns: Sequence[str]) -> tuple[str, str]:
    """Return a message with the problems of the columns that a proposal drops, and the proposed name."""
    name = proposal.name(path, columns)
    if proposal.problems:
        start = "This name" if name in message else f"The name {name}"
        problems = numbered_problems(proposal.problems)
        message = f"{message} {start} drops columns that cannot be features: {problems}"
    return message, name


def _without_label(options: str, columns: Sequence[str]) -> TableOptions:
    try:
        return replace(parse_options(options, columns), label=None)
    except InputError:
        return parse_words(options)


def _propose(
    path: Path, options: TableOptions, candidates: Sequence[str], load: Callable[[str], Any]
) -> _Proposal | None:
    """Return options with a label under which the table can be read, None if no candidate is one."""
    table = open_table(path, options.write(()))
    text = table.read_text(candidates)
    counts = {name: _count_classes(text[name]) for name in candidates}
    fitting = [name for name in candidates if counts[name]]
    for name in sorted(fitting, key=lambda name: counts[name] > _FEW_CLASSES)[:_MAX_TRIALS]:
        tried = _Proposal(replace(options, label=name))
        for _ in range(2):
            try:
                load(tried.options.write(table.columns))
            except UnusableColumnsError as error:
                tried = _Proposal(tried.options.drop(error.columns), (*tried.problems, *error.problems))
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
