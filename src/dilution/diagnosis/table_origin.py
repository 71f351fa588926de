"""What tables that were diagnosed have in common: their columns, and which rows cleaning changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.table_files import TableFile
from dilution.data.formats.table_options import unknown_column
from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.anchors import Floats, Ints
from dilution.diagnosis.clean_labels import CleanLabels
from dilution.errors import DataError, InputError
from dilution.utils.output_folder import file_digest

ALL = "all"
"""In place of names: all columns."""


@dataclass(frozen=True)
class RowEdits:
    """What cleaning does to the rows of a table.

    Parameters
    ----------
    keep
        Whether each row is kept, bool, shape (rows,). Rows without a label are.
    sources
        Row from which each row takes the cell of its label, int64, shape (rows,); −1: see `names`.
    names
        Class of the rows without a source: no row has its label.
    weights
        Weight of each row, float64, shape (rows,); 0 for a row without a label.
    """

    keep: NDArray[np.bool_]
    sources: Ints
    names: dict[int, str]
    weights: Floats


class TableOrigin:
    """What the tables share. Methods are those of :class:`dilution.diagnosis.origin.Origin`."""

    def __init__(self, table: TableFile, label: str, title: str) -> None:
        self._table, self._label, self._title = table, label, title
        self._examples = "without a label"  # rows that are none

    def check_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of columns, all for ``("all",)``; raise InputError if one does not exist."""
        names = self._table.columns
        if tuple(columns) == (ALL,) and ALL not in names:
            return names
        for name in columns:
            if name not in names:
                raise InputError(f"{self._title}: {unknown_column(name, names, names)}")
        return tuple(columns)

    def check_cleaning(self, *, has_weights: bool) -> None:
        """Raise InputError if there is a column of weights already."""
        if has_weights and WEIGHT_COLUMN in self._table.columns:
            raise InputError(
                f"{self._title} has a column {WEIGHT_COLUMN!r} already, in which cleaning would write "
                "weights. Rename that column, or use the policy drop or relabel."
            )

    def with_table(self, clean: CleanLabels) -> CleanLabels:
        """Return clean labels with a note on rows without a label."""
        n_unlabelled = self._n_rows - len(clean.positions)
        if not n_unlabelled:
            return clean
        rows, verb = ("1 row", "stays") if n_unlabelled == 1 else (f"{n_unlabelled:,} rows", "stay")
        weight = ", with weight 0" if clean.has_weights else ""
        return replace(
            clean, sentences=(*clean.sentences, f"{rows} {self._examples} {verb} unchanged{weight}.")
        )

    @property
    def _n_rows(self) -> int:
        raise NotImplementedError

    def _edits(self, clean: CleanLabels, sources: Ints) -> RowEdits:
        """Return the edits of the rows.

        Parameters
        ----------
        clean
            The clean labels.
        sources
            Row with the label of each class, int64, shape (classes,); −1 if there is none.
        """
        keep, weights = np.ones(self._n_rows, dtype=bool), np.zeros(self._n_rows)
        keep[clean.positions], weights[clean.positions] = clean.keep, clean.weights
        rows = np.arange(self._n_rows)
        changed = clean.labels != clean.given
        rows[clean.positions[changed]] = sources[clean.labels[changed]]
        names = {
            int(row): clean.classes[number]
            for row, number in zip(clean.positions[changed], clean.labels[changed], strict=True)
            if sources[number] < 0
        }
        return RowEdits(keep, rows, names, weights)


class FileOrigin(TableOrigin):
    """A table in a file, which must not change until it is read again."""

    def __init__(self, path: Path, table: TableFile, label: str) -> None:
        super().__init__(table, label, str(path))
        self._path, self._digest = path, file_digest(path)

    def _check_unchanged(self) -> None:
        if file_digest(self._path) != self._digest:
            raise DataError(
                f"{self._path} was changed while it was diagnosed, so its rows may be others. Run the same "
                "command "
                "again."
            )


def first_rows(clean: CleanLabels) -> Ints:
    """Return the first row that has the label of each class, −1 if none has: int64, shape (classes,)."""
    sources = np.full(len(clean.classes), -1, dtype=np.int64)
    numbers, first = np.unique(clean.given, return_index=True)
    sources[numbers] = clean.positions[first]
    return sources
