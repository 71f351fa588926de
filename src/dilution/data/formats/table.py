"""Data sets in tables of a user, CSV or Parquet: one column is the label, the others are features."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import describe_untested
from dilution.data.duplicates import group_copies, with_groups
from dilution.data.example_ids import read_ids
from dilution.data.formats.label_column import with_proposal
from dilution.data.formats.table_columns import ColumnRoles, LabelColumnError, assign_roles
from dilution.data.formats.table_encoding import ColumnEncoding, TableEncoding
from dilution.data.formats.table_features import FeatureColumns, encode_columns
from dilution.data.formats.table_files import TableFile, open_table
from dilution.data.formats.table_ids import likely_ids
from dilution.data.formats.table_notes import Kind, Note, write_notes
from dilution.data.formats.table_number_format import NumberFormat
from dilution.data.formats.table_rows import TableRows
from dilution.data.group_numbers import Ints, number_groups
from dilution.data.groups import read_groups
from dilution.data.label_copies import find_label_copies
from dilution.data.label_notes import describe_missing, describe_single_examples
from dilution.data.label_weights import read_weights
from dilution.data.labels import LabelColumn, number_classes, read_labels
from dilution.data.splits import stratified_split, undivided
from dilution.errors import DataError, InputError, short_repr


def load(path: Path, options: str = "") -> DataSet:
    """Return the data set in a table, named after the file; a fifth of each class is for testing.

    Parameters
    ----------
    path
        A CSV or Parquet file, as :mod:`dilution.data.formats.table_files` reads it.
    options
        Column of the label, by default ``label``; then, separated by commas, ``noisy=column``, the column of
        observed labels, by default ``noisy_label`` if there is one; ``group=column``, whose rows with one
        value share a side of every split; any number of ``drop=column``; and what is not to be detected:
        ``encoding=cp1252``, ``separator=semicolon``, ``decimal=comma``. Names of columns may be in quotes
        (:mod:`dilution.data.formats.table_options`).

    Raises
    ------
    DataError
        If the file is missing or damaged.
    InputError
        If a column or its content breaks a rule.
    """
    with _naming(path, options):
        return _load(path, options)


def _load(path: Path, options: str) -> DataSet:
    """Return the data set in a table; messages of its InputErrors lack the path."""
    return read_table(open_table(path, options), options, path).to_data_set(path.stem)


def load_unsplit(path: Path, options: str = "") -> UnsplitData:
    """Return all rows that have a label, in the order of the table; all of them determine the encoding.

    Parameters and errors are those of :func:`load`.
    """
    with _naming(path, options):
        return read_table(open_table(path, options), options, path).to_unsplit_data()


@contextmanager
def _naming(path: Path, options: str) -> Iterator[None]:
    """Prefix the message of an InputError with the path, and let it propose a column of labels."""
    try:
        yield
    except InputError as error:
        message, mended = with_proposal(error, path, options, lambda other: _load(path, other))
        named = InputError(f"{path}: {message}")
        named.mended = mended
        raise named from error
    except UnicodeDecodeError as error:  # pyarrow decodes text when it is used
        raise DataError(f"{path} has text that is damaged: {error}. Write the file again.") from error


@dataclass(frozen=True)
class TableExamples:
    """Rows of a table that have a label, before their features are encoded.

    Parameters
    ----------
    file
        The table.
    all_lines
        Number of each of its rows, int64, as of :class:`TableRows`.
    roles
        Roles of its columns.
    table
        The rows that have a label.
    labels, observed, classes
        As of :class:`Arrays`.
    ids
        Ids of the user, if there are any.
    weights
        Training weight of each label, float64, shape (n,), if there are any.
    """

    file: TableFile
    all_lines: NDArray[np.int64]
    roles: ColumnRoles
    table: TableRows
    labels: torch.Tensor
    observed: torch.Tensor | None
    classes: tuple[str, ...]
    ids: tuple[str, ...] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def n_given(self) -> int:
        """Number of rows of the table, those without a label included."""
        return len(self.all_lines)

    def to_data_set(self, name: str) -> DataSet:
        """Return the data set; a fifth of each class is for testing, the others determine the encoding."""
        groups, group_notes = self.read_groups()
        train, test = stratified_split(self.labels.numpy(), groups)
        if len(test) == 0 and groups is None:
            raise LabelColumnError(
                f"each of the {len(self.labels):,} rows has a label of its own in column "
                f"{self.roles.label!r}, which looks like an identifier or a quantity; classes need "
                "examples. Name another column",
                self.roles.label,
            )
        # Copies are rows with equal features, and the encoding of features depends on the split.
        while True:
            arrays, notes = self.encode(train)
            arrays, copy_notes = group_copies(with_groups(arrays, groups), self.name)
            if arrays.split_groups is None:
                break
            before, groups = groups, arrays.split_groups.numpy()
            if before is not None and np.array_equal(number_groups(before), groups):
                break
            train, test = stratified_split(self.labels.numpy(), groups)
        if len(test) == 0 and groups is not None:
            raise undivided(groups)
        train_arrays, test_arrays = (arrays.subset(torch.from_numpy(numbers)) for numbers in (train, test))
        untested = describe_untested(test_arrays.labels, test_arrays.classes)
        return DataSet(name, train_arrays, test_arrays, (*notes, *untested, *group_notes, *copy_notes))

    def to_unsplit_data(self) -> UnsplitData:
        """Return all rows in the order of the table; all of them determine the encoding."""
        groups, group_notes = self.read_groups()
        arrays, notes = self.encode(np.arange(len(self.labels)))
        places = tuple(map(self.name, range(len(arrays))))
        return UnsplitData(
            with_groups(arrays, groups),
            places if self.ids is None else self.ids,
            (*notes, *group_notes),
            self.positions,
            None if self.ids is None else places,
            self.weights,
        )

    def name(self, row: int) -> str:
        """Return the name of a row in messages."""
        return self.table.name(row)

    @property
    def positions(self) -> Ints:
        """Position of each row among all rows of the table, from 0: int64."""
        return np.searchsorted(self.all_lines, self.table.lines)

    def read_groups(self) -> tuple[Ints | None, tuple[str, ...]]:
        """Return the group of each row as the user names it, and a note; None without a column of groups."""
        if self.roles.group is None:
            return None, ()
        return read_groups(self.table.frame[self.roles.group], f"column {self.roles.group!r}", self.name)

    def encode(self, fitted: NDArray[np.int64]) -> tuple[Arrays, tuple[str, ...]]:
        """Return the rows as examples, and notes; rows in `fitted` determine medians and values of text."""
        roles = self.roles
        number_format = NumberFormat(
            roles.options.decimal,
            self.file.default_decimal,
            self.file.has_types,
            not self.file.has_types and self.file.has_leading_zeros,
            self._text_of,
            roles.name_with_decimal,
        )
        frame = self.table.frame[list(roles.features)]
        columns = FeatureColumns(frame, fitted, self.name, roles.name_without, number_format)
        encoded = encode_columns(columns)
        encoding = TableEncoding(
            encoded.encodings, roles.label, _without_features(roles, encoded.encodings), roles.ids
        )
        arrays = Arrays(
            torch.from_numpy(encoded.features), self.labels, self.classes, self.observed, encoding=encoding
        )
        return arrays, (*self.table.notes, *encoded.notes)

    def _text_of(self, columns: Sequence[str], n_rows: int | None) -> pd.DataFrame:
        """Return columns of the first or all of these rows as they are in the file."""
        text = self.file.read_text(columns, n_rows)
        rows = self.positions
        return text.iloc[rows[rows < len(text)]].reset_index(drop=True)


def read_table(table: TableFile, options: str, path: Path | None) -> TableExamples:
    """Return the rows of a table that have a label.

    Parameters
    ----------
    table
        The table.
    options
        As for :func:`load`.
    path
        Its file, for messages; None: it is a DataFrame.

    Raises
    ------
    InputError
        If a column or its content breaks a rule.
    """
    roles = assign_roles(options, table.columns, table.index, path)
    rows = table.read(text_columns=roles.text_columns)
    all_lines = rows.lines
    if not len(rows.lines):
        raise InputError("there is a header and no row; each row is an example. Add rows.")
    rows, label_columns = drop_unlabelled(rows, roles)
    decimal = roles.options.decimal or table.default_decimal
    classes = number_classes(label_columns, has_decimal_commas=decimal == "comma")
    labels, *observed = map(torch.from_numpy, classes.numbers)
    if labels.unique().numel() < 2:
        raise LabelColumnError(
            f"all {len(labels):,} labels in column {roles.label!r} are "
            f"{short_repr(classes.names[int(labels[0])])}; learning needs at least 2 classes. "
            "Add rows of another class, or name another column",
            roles.label,
        )
    footer = rows.footer((*roles.features, roles.label))
    if footer and (labels == labels[-1]).sum() == 1:
        raise InputError(
            f"{rows.name(-1)}, the last one, has the cell {footer!r} like a footer, and its label "
            f"{classes.names[int(labels[-1])]!r} occurs in no other row; a footer is no example. Delete the "
            "row, or empty its label."
        )
    single = describe_single_examples(classes.numbers[0], classes.names, rows.name)
    copies = _describe_label_copies(rows, roles, classes.numbers, classes.names)
    ids_notes: tuple[str, ...] = ()
    if roles.ids is None and (names := likely_ids(rows.frame, roles.features)):
        remedy = roles.name_with_ids(names[0])
        ids_notes = write_notes(Note(Kind.LIKELY_ID, name, detail=remedy) for name in names)
    rows = replace(rows, notes=(*rows.notes, *classes.notes, *single, *copies, *ids_notes))
    ids = None
    if roles.ids is not None:
        ids = read_ids(rows.frame[roles.ids], f"column {roles.ids!r}", rows.name)
    weights = None if roles.weight is None else read_weights(rows.frame[roles.weight], rows.name)
    return TableExamples(
        table, all_lines, roles, rows, labels, observed[0] if observed else None, classes.names, ids, weights
    )


def _describe_label_copies(
    rows: TableRows, roles: ColumnRoles, numbers: Sequence[Ints], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return notes on features that are a label in other words; `numbers` are the classes of each label."""
    features = rows.frame[list(roles.features)]
    notes = [
        note
        for labels in numbers
        for note in find_label_copies(features, labels, names).notes(roles.name_without)
    ]
    return tuple(dict.fromkeys(notes))


def _without_features(roles: ColumnRoles, encodings: Sequence[ColumnEncoding]) -> tuple[str, ...]:
    """Return the columns that are neither features nor the label."""
    used = {roles.label, *(encoding.name for encoding in encodings)}
    return tuple(name for name in roles.columns if name not in used)


def drop_unlabelled(rows: TableRows, roles: ColumnRoles) -> tuple[TableRows, list[LabelColumn]]:
    """Return the rows that have all their labels, with a note on the others, and their labels."""
    columns = [
        read_labels(rows.frame[column], f"labels in column {column!r}", _label_namer(rows))
        for column in roles.labels
    ]
    missing = np.logical_or.reduce([column.is_missing for column in columns])
    notes = (*rows.notes, *roles.notes)
    if missing.all():
        raise LabelColumnError(
            f"no row has a label in column {' and '.join(map(repr, roles.labels))}; each example needs one. "
            "Fill the column, or name another",
            roles.label,
        )
    if not missing.any():
        return replace(rows, notes=notes), columns
    notes += describe_missing(missing, "row", rows.name)
    kept = TableRows(rows.frame[~missing].reset_index(drop=True), rows.lines[~missing], notes)
    return kept, [column.take(~missing) for column in columns]


def _label_namer(rows: TableRows) -> Callable[[int], str]:
    return lambda row: f"the label in {rows.name(row)}"
