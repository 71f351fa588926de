"""Roles of the columns of a table: labels, features, and those that are left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dilution.data.formats.table_notes import Kind, Note, write_notes
from dilution.data.formats.table_options import TableOptions, list_columns, parse_options, shown_path
from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.errors import InputError

_LABEL, _NOISY_LABEL = "label", "noisy_label"


class LabelColumnError(InputError):
    """A column cannot be the label. The message ends where the name of another column may follow.

    Parameters
    ----------
    message
        The message, without a full stop at its end.
    column
        The column, None if none is named.
    """

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class ColumnRoles:
    """Which columns are labels and which are features.

    Parameters
    ----------
    label
        Column of the label.
    noisy
        Column of the observed labels, if there is one.
    group
        Column of the groups of the user, if there is one.
    ids
        Column of the ids of the examples, if there is one.
    weight
        Column of the training weights of the labels, if there is one.
    features
        The other columns, without those that are left out.
    notes
        Notes on the columns that are left out.
    options
        Options of the table, with the column of the label.
    path
        The table; None: it is a DataFrame.
    columns
        All columns.
    """

    label: str
    noisy: str | None
    group: str | None
    ids: str | None
    weight: str | None
    features: tuple[str, ...]
    notes: tuple[str, ...]
    options: TableOptions
    path: Path | None
    columns: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns of labels, the clean one first."""
        return (self.label,) if self.noisy is None else (self.label, self.noisy)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns whose cells must stay as they were written."""
        return tuple(filter(None, (*self.labels, self.group, self.ids)))

    def name_without(self, dropped: Sequence[str]) -> str:
        """Return the name of the data set without further columns, for messages: it can be pasted."""
        if self.path is None:
            return f"frame.drop(columns={list(dropped)})"
        return self._name(self.path, self.options.drop(dropped))

    def name_with_decimal(self, decimal: str) -> str:
        """Return the name of the data set with a decimal mark, ``"point"`` or ``"comma"``, for messages."""
        if self.path is None:
            marks = {",": ""} if decimal == "point" else {r"\.": "", ",": "."}
            return f"frame.replace({marks}, regex=True)"
        return self._name(self.path, replace(self.options, decimal=decimal))

    def name_with_ids(self, column: str) -> str:
        """Return the name of the data set with a column of ids, or the argument that names it."""
        if self.path is None:
            return f"ids={column!r}"
        return self._name(self.path, replace(self.options, ids=column))

    def _name(self, path: Path, options: TableOptions) -> str:
        return f"{shown_path(path)}#{options.write(self.columns)}"


def assign_roles(
    options: str, columns: Sequence[str], index: Sequence[str], path: Path | None
) -> ColumnRoles:
    """Return the roles of the columns under the options behind the ``#``.

    Parameters
    ----------
    options
        The options.
    columns
        Names of all columns.
    index
        Columns that are levels of an index: no features.
    path
        The table, for messages; None: it is a DataFrame.

    Raises
    ------
    InputError
        If a column does not exist, or its roles contradict each other.
    """
    parsed = parse_options(options, columns)
    label, noisy, dropped = parsed.label, parsed.noisy, dict.fromkeys(parsed.dropped)
    if label is None:
        if _LABEL not in columns:
            raise LabelColumnError(
                f"there is no column {_LABEL!r}; the columns are {list_columns(columns)}. The first line "
                "of a CSV file must name the columns; delete lines above it. Name the column of the label "
                "behind a #"
            )
        label = _LABEL
    if noisy is None and _NOISY_LABEL in columns and label != _NOISY_LABEL and _NOISY_LABEL not in dropped:
        noisy = _NOISY_LABEL
    group = parsed.group
    if group is not None and group in (label, noisy, *dropped):
        raise InputError(
            f"{group!r} is the column of groups, and a label or to be dropped too. Name another column, or "
            "remove one of the two."
        )
    ids = parsed.ids
    if ids is not None and ids in (label, noisy, group, *dropped):
        raise InputError(
            f"{ids!r} is the column of ids, and a label, the column of groups or to be dropped too. Name "
            "another column, or remove one of the two."
        )
    if noisy == label:
        raise InputError(f"{label!r} is both label and noisy label; these must be two columns. Name another.")
    for name in (label, noisy):
        if name in dropped:
            raise InputError(f"{name!r} is a label and is to be dropped. Remove one of the two.")
    weight = None
    if WEIGHT_COLUMN in columns and WEIGHT_COLUMN not in (label, noisy, group, ids, *dropped):
        weight = WEIGHT_COLUMN
    with_roles = (label, noisy, group, ids, weight)
    unnamed = [name for name in columns if re.fullmatch(r"Unnamed: \d+", name) and name not in with_roles]
    notes = [Note(Kind.REQUESTED, name) for name in dropped]
    if noisy == _NOISY_LABEL and parsed.noisy is None:
        notes.append(Note(Kind.NOISY_BY_NAME, noisy))
    if weight is not None:
        notes.append(Note(Kind.WEIGHT_BY_NAME, weight))
    notes += [Note(Kind.UNNAMED, name) for name in unnamed if name not in dropped]
    levels = [name for name in index if name not in (*with_roles, *dropped)]
    notes += [Note(Kind.PANDAS_INDEX, name) for name in levels]
    left_out = {*with_roles, *dropped, *unnamed, *levels}
    features = tuple(name for name in columns if name not in left_out)
    if not features:
        raise InputError(
            f"there is no column of features beside the label; the columns are {list_columns(columns)}, and "
            "at least one must be left and hold values. Add one."
        )
    parsed = replace(parsed, label=label, dropped=tuple(dropped))
    return ColumnRoles(
        label, noisy, group, ids, weight, features, write_notes(notes), parsed, path, tuple(columns)
    )
