"""Data sets in tables of a user, CSV or Parquet: one column is the label, the others are features."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.formats.table_features import encode_columns
from dilution.data.formats.table_files import TableRows, open_table
from dilution.data.splits import stratified_split
from dilution.errors import InputError, unknown

_LABEL, _NOISY_LABEL = "label", "noisy_label"
_MAX_LISTED = 20  # columns in a message: the first and the last ones, where labels mostly are


def load(path: Path, options: str = "") -> DataSet:
    """Return the data set in a table, named after the file; a fifth of each class is for testing.

    Parameters
    ----------
    path
        A CSV or Parquet file, as :mod:`dilution.data.formats.table_files` reads it.
    options
        Column of the label, by default ``label``; then, separated by commas, ``noisy=column``, the column of
        observed labels, by default ``noisy_label`` if there is one, and any number of ``drop=column``.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    InputError
        If a column or its content breaks a rule.
    """
    with _naming(path):
        rows = _read_labelled_rows(path, options)
        train, test = stratified_split(rows.labels.numpy())
        if len(test) == 0:
            raise InputError(
                f"each of the {len(rows.labels):,} rows has a label of its own in column "
                f"{rows.roles.label!r}, which looks like an identifier or a quantity; classes need "
                f"examples. Name another: {path.name}#column."
            )
        arrays, notes = rows.encode(train)
        train_arrays, test_arrays = (arrays.subset(torch.from_numpy(numbers)) for numbers in (train, test))
        return DataSet(path.stem, train_arrays, test_arrays, notes)


def load_unsplit(path: Path, options: str = "") -> UnsplitData:
    """Return all rows that have a label, in the order of the table; all of them determine the encoding.

    Parameters and errors are those of :func:`load`.
    """
    with _naming(path):
        rows = _read_labelled_rows(path, options)
        arrays, notes = rows.encode(np.arange(len(rows.labels)))
        return UnsplitData(arrays, tuple(map(rows.name, range(len(arrays)))), notes)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Prefix the message of an InputError with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _ColumnRoles:
    """Which columns are labels and features, and notes on those left out."""

    label: str
    noisy: str | None
    features: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of labels, the clean one first."""
        return (self.label,) if self.noisy is None else (self.label, self.noisy)


@dataclass(frozen=True)
class _LabelledRows:
    """Rows that have a label, before their features are encoded."""

    path: Path
    roles: _ColumnRoles
    table: TableRows
    labels: torch.Tensor
    observed: torch.Tensor | None
    classes: tuple[str, ...]

    def name(self, row: int) -> str:
        """Return the name of a row in messages."""
        return self.table.name(row)

    def encode(self, fitted: NDArray[np.int64]) -> tuple[Arrays, tuple[str, ...]]:
        """Return the rows as examples, and notes; rows in `fitted` determine medians and values of text."""
        frame = self.table.frame[list(self.roles.features)]

        def drop_option(column: str) -> str:
            return f"{self.path.name}#{self.roles.label},drop={column}"

        features, notes = encode_columns(frame, fitted, self.name, drop_option)
        arrays = Arrays(torch.from_numpy(features), self.labels, self.classes, self.observed)
        return arrays, (*self.table.notes, *notes)


def _read_labelled_rows(path: Path, options: str) -> _LabelledRows:
    table = open_table(path)
    roles = _assign_roles(options, table.columns, path)
    rows = table.read(text_columns=roles.labels)
    if not len(rows.lines):
        raise InputError("there is a header and no row; each row is an example. Add rows.")
    rows = _drop_unlabelled(rows, roles, path)
    label_columns = [_to_text(rows.frame[column], rows.name) for column in roles.labels]
    classes, (labels, *observed) = _number_classes(label_columns, rows.name)
    if labels.unique().numel() < 2:
        raise InputError(
            f"all {len(labels):,} labels in column {roles.label!r} are {classes[int(labels[0])]!r}; "
            "learning needs at least 2 classes. Add rows of another class, or name another column: "
            f"{path.name}#column."
        )
    return _LabelledRows(path, roles, rows, labels, observed[0] if observed else None, classes)


def _assign_roles(options: str, columns: Sequence[str], path: Path) -> _ColumnRoles:
    """Return the roles of the columns under the options behind the ``#``."""
    label, noisy, dropped = _parse_options(options, columns)
    if label is None:
        if _LABEL not in columns:
            raise InputError(
                f"there is no column {_LABEL!r}; the columns are {_list_columns(columns)}. Name the column "
                f"of the label: {path.name}#column. The first line of a CSV file must name the columns."
            )
        label = _LABEL
    if noisy is None and _NOISY_LABEL in columns and _NOISY_LABEL not in (label, *dropped):
        noisy = _NOISY_LABEL
    for name in (label, noisy, *dropped):
        if name is not None and name not in columns:
            raise unknown("column", name, columns)
    if noisy == label:
        raise InputError(f"{label!r} is both label and noisy label; these must be two columns. Name another.")
    for name in (label, noisy):
        if name in dropped:
            raise InputError(f"{name!r} is a label and is to be dropped. Remove one of the two.")
    unnamed = [name for name in columns if re.fullmatch(r"Unnamed: \d+", name) and name not in (label, noisy)]
    notes = [f"column {name!r} is dropped, as requested" for name in dropped]
    notes += [f"column {name!r} has no name, like an index, and is dropped" for name in unnamed]
    features = tuple(name for name in columns if name not in {label, noisy, *dropped, *unnamed})
    return _ColumnRoles(label, noisy, features, tuple(notes))


def _parse_options(options: str, columns: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """Return the columns that the options name as label, as noisy label and to be dropped."""
    label, noisy, dropped = None, None, []
    for number, item in enumerate([options] if options in columns else options.split(",")):
        key, equals, column = item.partition("=")
        if number == 0 and (item in columns or not equals):
            label = item or None
        elif key == "noisy":
            noisy = column
        elif key == "drop":
            dropped.append(column)
        else:
            raise unknown("setting of a table", key, ("noisy", "drop"))
    return label, noisy, dropped


def _list_columns(columns: Sequence[str]) -> str:
    if len(columns) <= _MAX_LISTED:
        return ", ".join(columns)
    first, last = columns[: _MAX_LISTED // 2], columns[-_MAX_LISTED // 2 :]
    return f"{', '.join(first)} … {', '.join(last)}"


def _drop_unlabelled(rows: TableRows, roles: _ColumnRoles, path: Path) -> TableRows:
    """Return the rows that have all their labels, with a note on the others."""
    labels = rows.frame[list(roles.labels)]
    blank = labels.map(lambda cell: isinstance(cell, str) and not cell.strip())
    is_labelled = (labels.notna() & ~blank).all(axis=1).to_numpy()
    notes = (*rows.notes, *roles.notes)
    if not is_labelled.any():
        raise InputError(
            f"no row has a label in column {' and '.join(map(repr, roles.labels))}; each example needs one. "
            f"Fill the column, or name another: {path.name}#column."
        )
    if not is_labelled.all():
        dropped = np.flatnonzero(~is_labelled)
        verbs = ("rows have", "are") if len(dropped) > 1 else ("row has", "is")
        notes += (
            f"{len(dropped):,} {verbs[0]} no label and {verbs[1]} dropped, the first is "
            f"{rows.name(dropped[0])}",
        )
    return TableRows(rows.frame[is_labelled].reset_index(drop=True), rows.lines[is_labelled], notes)


def _to_text(column: "pd.Series[Any]", row_name: Callable[[int], str]) -> "pd.Series[Any]":
    """Return labels as text; raise InputError unless they are text, numbers or truth values."""
    cells = column.astype(object)
    for row, cell in enumerate(cells):
        if not isinstance(cell, str | bool | int | float | np.bool_ | np.number):
            raise InputError(
                f"the label in {row_name(row)} is a {type(cell).__name__}; labels are text, whole numbers or "
                "truth values. Turn them into text."
            )
    return cells.map(lambda cell: str(cell).strip())


def _number_classes(
    label_columns: list["pd.Series[Any]"], row_name: Callable[[int], str]
) -> tuple[tuple[str, ...], list[torch.Tensor]]:
    """Return the names of all classes, sorted, and the class numbers of each column of labels.

    Whole numbers are sorted as numbers, 1.0 is 1, and gaps between them are allowed.
    """
    labels = pd.concat(label_columns, ignore_index=True)
    values = pd.to_numeric(labels, errors="coerce")
    if values.notna().all():
        is_whole = np.isfinite(values) & (values == np.rint(values))
        if not is_whole.all():
            first = int(np.argmin(is_whole.to_numpy()))
            raise InputError(
                f"the label in {row_name(first % len(label_columns[0]))} is {labels[first]}; labels are "
                "classes: text, whole numbers or truth values. Dilution studies classification: cut a "
                "quantity into bins first, for example with pandas.cut."
            )
        labels = values.map(lambda value: str(int(value)))
        names = tuple(str(value) for value in sorted({int(value) for value in values}))
    else:
        names = tuple(sorted(set(labels)))
    numbers = {name: number for number, name in enumerate(names)}
    codes = torch.tensor([numbers[label] for label in labels], dtype=torch.int64)
    return names, list(codes.split(len(label_columns[0])))
