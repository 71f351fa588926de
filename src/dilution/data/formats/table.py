"""A user's own table, CSV or Parquet: one column is the label, the others are features."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet, Labelled
from dilution.data.formats.table_features import Columns
from dilution.data.formats.table_files import Content, open_table
from dilution.data.splits import every_fifth
from dilution.errors import InputError, unknown

LABEL, NOISY = "label", "noisy_label"
_SHOWN = 20  # columns that a message lists: the first and the last ones, where labels mostly are


def load(path: Path, options: str = "") -> DataSet:
    """Return the data set in a table, named after the file; a fifth of each class is for testing.

    Parameters
    ----------
    path
        A CSV or Parquet file, as :mod:`dilution.data.formats.table_files` reads it.
    options
        The column of the label, by default ``label``; after commas ``noisy=column``, that of labels as they
        were observed, by default ``noisy_label`` if there is one, and ``drop=column``, as often as needed.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    InputError
        If a column or its content breaks a rule.
    """
    try:
        rows = _Rows(path, options)
        numbers = rows.labels.numpy()
        train, test = every_fifth(numbers)
        if len(test) == 0:
            raise InputError(
                f"each of the {len(numbers):,} rows has a label of its own in column {rows.label!r}, which "
                "looks like an identifier or a quantity; classes need examples. Name another: "
                f"{path.name}#column."
            )
        columns = rows.columns(train)
        arrays = rows.arrays(columns)
        halves = [arrays.subset(torch.from_numpy(half)) for half in (train, test)]
        return DataSet(path.stem, halves[0], halves[1], (*rows.notes, *columns.notes()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def labelled(path: Path, options: str = "") -> Labelled:
    """Return all rows that have a label, in the order of the table; medians and values come from all of them.

    Parameters and errors are those of :func:`load`.
    """
    try:
        rows = _Rows(path, options)
        columns = rows.columns(np.arange(len(rows.labels)))
        arrays = rows.arrays(columns)
        names = tuple(rows.name(number) for number in range(len(arrays)))
        return Labelled(arrays, names, (*rows.notes, *columns.notes()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


class _Rows:
    """The labelled rows of a table, before the columns of features are turned into numbers."""

    def __init__(self, path: Path, options: str) -> None:
        table = open_table(path)
        self._path, self._chosen = path, _choose(options, table.columns, path)
        self.label = self._chosen.label
        read = table.read([name for name in (self.label, self._chosen.noisy) if name])
        if not len(read.lines):
            raise InputError("there is a header and no row; each row is an example. Add rows.")
        self.notes = [*read.notes, *self._chosen.notes]
        self._content = self._labelled(read)
        marks = [_texts(self._content.frame[name], self.name) for name in self._chosen.marked]
        self.classes, (self.labels, *observed) = _classes(marks, self.name)
        self._observed = observed[0] if observed else None
        if self.labels.unique().numel() < 2:
            raise InputError(
                f"all {len(self.labels):,} labels in column {self.label!r} are "
                f"{self.classes[int(self.labels[0])]!r}; learning needs at least 2 classes. Add rows of "
                f"another class, or name another column: {path.name}#column."
            )

    def name(self, number: int) -> str:
        """Return what the user calls a row."""
        return f"row {self._content.lines[number]}"

    def columns(self, training: NDArray[np.int64]) -> Columns:
        """Return the features that the columns become if these rows choose how."""
        features = self._content.frame[list(self._chosen.features)]
        return Columns(features, training, self.name, self._without)

    def arrays(self, columns: Columns) -> Arrays:
        """Return the rows as examples."""
        return Arrays(torch.from_numpy(columns.features()), self.labels, self.classes, self._observed)

    def _without(self, column: str) -> str:
        return f"{self._path.name}#{self.label},drop={column}"

    def _labelled(self, read: Content) -> Content:
        """Leave out rows without a label, and say so."""
        marked = read.frame[list(self._chosen.marked)]
        blank = marked.map(lambda cell: isinstance(cell, str) and not cell.strip())
        has = (marked.notna() & ~blank).all(axis=1).to_numpy()
        if not has.any():
            raise InputError(
                f"no row has a label in column {' and '.join(map(repr, self._chosen.marked))}; each example "
                f"needs one. Fill the column, or name another: {self._path.name}#column."
            )
        if not has.all():
            left = np.flatnonzero(~has)
            self.notes.append(
                f"{len(left):,} {'rows have' if len(left) > 1 else 'row has'} no label and "
                f"{'are' if len(left) > 1 else 'is'} left out, the first is row {read.lines[left[0]]}"
            )
        return Content(read.frame[has].reset_index(drop=True), read.lines[has])


@dataclass(frozen=True)
class _Chosen:
    """Which column is what."""

    label: str
    noisy: str | None
    features: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def marked(self) -> tuple[str, ...]:
        """The columns of labels, the clean one first."""
        return (self.label,) if self.noisy is None else (self.label, self.noisy)


def _choose(options: str, columns: Sequence[str], path: Path) -> _Chosen:
    """Say which column is what, from what the user wrote after the ``#``."""
    label, noisy, drop = LABEL, NOISY if NOISY in columns else None, []
    named = False
    for place, item in enumerate([options] if options in columns else options.split(",")):
        key, equals, column = item.partition("=")
        if place == 0 and (item in columns or not equals):
            label, named = item or LABEL, bool(item)
        elif key == "noisy":
            noisy = column
        elif key == "drop":
            drop.append(column)
        else:
            raise unknown("setting of a table", key, ("noisy", "drop"))
    listed = ", ".join(columns)
    if len(columns) > _SHOWN:
        ends = (", ".join(part) for part in (columns[: _SHOWN // 2], columns[-_SHOWN // 2 :]))
        listed = " … ".join(ends)
    if label not in columns and not named:
        raise InputError(
            f"there is no column {LABEL!r}; the columns are {listed}. Say which one is the label: "
            f"{path.name}#column. The first line of a CSV file must name the columns."
        )
    for name in (label, noisy, *drop):
        if name is not None and name not in columns:
            raise unknown("column", name, columns)
    if noisy == label:
        if label != NOISY:
            raise InputError(f"{label!r} is both label and noisy label; these must be two. Name another.")
        noisy = None
    if {label, noisy} & set(drop):
        raise InputError(f"{label if label in drop else noisy!r} is to be label and to be dropped; choose.")
    unnamed = [name for name in columns if re.fullmatch(r"Unnamed: \d+", name) and name not in (label, noisy)]
    notes = [f"column {name!r} is left out, as asked" for name in drop]
    notes += [f"column {name!r} has no name, as an index has none, and is left out" for name in unnamed]
    features = tuple(name for name in columns if name not in {label, noisy, *drop, *unnamed})
    return _Chosen(label, noisy, features, tuple(notes))


def _texts(column: "pd.Series[Any]", name: Callable[[int], str]) -> "pd.Series[Any]":
    """Return labels as text; InputError if they are neither text, numbers nor truth values."""
    cells = column.astype(object)
    for number, cell in enumerate(cells):
        if not isinstance(cell, str | bool | int | float | np.bool_ | np.number):
            raise InputError(
                f"the label in {name(number)} is a {type(cell).__name__}; labels are text, whole numbers or "
                "truth values. Turn them into text."
            )
    return cells.map(lambda cell: str(cell).strip())


def _classes(
    marks: list["pd.Series[Any]"], name: Callable[[int], str]
) -> tuple[tuple[str, ...], list[torch.Tensor]]:
    """Return the names of all classes, and class numbers for each column of labels.

    Numbers stay in their order, and 1.0 is 1; gaps are allowed.
    """
    every = pd.concat(marks, ignore_index=True)
    values = pd.to_numeric(every, errors="coerce")
    if values.notna().all():
        whole = np.isfinite(values) & (values == np.rint(values))
        if not whole.all():
            first = int(np.argmin(whole.to_numpy()))
            raise InputError(
                f"the label in {name(first % len(marks[0]))} is {every[first]}; labels are classes: text, "
                "whole numbers or truth values. Dilution studies classification: cut a quantity into bins "
                "first, for example with pandas.cut."
            )
        every = values.map(lambda value: str(int(value)))
        names = tuple(str(value) for value in sorted({int(value) for value in values}))
    else:
        names = tuple(sorted(set(every)))
    number = {each: place for place, each in enumerate(names)}
    codes = torch.tensor([number[each] for each in every], dtype=torch.int64)
    return names, list(codes.split(len(marks[0])))
