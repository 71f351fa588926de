"""Columns that a reviewer has added to a file of verified labels, which new label issues carry on."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.data.id_table import ID, ExampleIds, IdTable
from dilution.data.label_values import is_missing
from dilution.diagnosis.label_issues import COLUMNS
from dilution.errors import InputError, short_repr
from dilution.utils.csv_cells import restore_text
from dilution.utils.migration import VERIFIED_LABELS

_BETWEEN = "; "  # two texts of one example


@dataclass(frozen=True)
class ReviewerColumns:
    """What a file of verified labels holds beside ids and labels.

    Parameters
    ----------
    path
        The file.
    digest
        SHA-256 of the content that was read, in hex.
    columns
        The columns, text, in the order of the examples; empty where the file has no text.
    unknown_ids
        Ids of rows with such texts that are no example.
    notes
        What was joined or left out, one sentence per kind.
    """

    path: Path
    digest: str
    columns: pd.DataFrame
    unknown_ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def add_to(
        self, issues: pd.DataFrame, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    ) -> pd.DataFrame:
        """Return label issues with these columns; `rows` is the example of each issue, int64, shape (n,)."""
        return pd.concat([issues, self.columns.iloc[rows].reset_index(drop=True)], axis=1)


def read_reviewer_columns(table: IdTable, digest: str, examples: ExampleIds) -> ReviewerColumns:
    """Return the columns of a file of verified labels that a diagnosis does not write itself.

    Parameters
    ----------
    table
        The file.
    digest
        SHA-256 of its content, in hex.
    examples
        Ids of the examples.

    Raises
    ------
    InputError
        If a row has a text in such a column and no id.
    """
    names = [name for name in table.columns if not _is_own(name, table.columns)]
    columns = pd.DataFrame("", index=range(len(examples.ids)), columns=[restore_text(name) for name in names])
    unknown: dict[str, None] = {}
    n_joined = 0
    ids = table.rows.frame[_id_column(table.columns)]
    for place, name in enumerate(names):
        texts = np.full(len(examples.ids), "", dtype=object)
        for row, (key, cell) in enumerate(zip(ids, table.rows.frame[name], strict=True)):
            if is_missing(cell) or not str(cell).strip():
                continue
            if is_missing(key):
                raise InputError(
                    f"{table.rows.name(row)} has {short_repr(str(cell))} in column {name!r} and no id. Fill "
                    "in its id, "
                    "or delete the row."
                )
            index, text = examples.find(str(key)), restore_text(str(cell))
            if index is None:
                unknown[str(key)] = None
            elif not texts[index]:
                texts[index] = text
            elif text not in texts[index].split(_BETWEEN):
                texts[index] += _BETWEEN + text
                n_joined += 1
        columns.isetitem(place, texts)
    return ReviewerColumns(table.path, digest, columns, tuple(unknown), _notes(table.path, unknown, n_joined))


def _notes(path: Path, unknown: Collection[str], n_joined: int) -> tuple[str, ...]:
    notes = []
    if n_joined:
        subject = "1 text is" if n_joined == 1 else f"{n_joined:,} texts are"
        notes.append(f"{path}: {subject} joined to another one of the same example and column")
    if unknown:
        rows, first = "1 id" if len(unknown) == 1 else f"{len(unknown):,} ids", next(iter(unknown))
        notes.append(
            f"{path}: the further columns of {rows} that no example has are left out, the first is {first!r}"
        )
    return tuple(notes)


def _id_column(columns: Collection[str]) -> str:
    return ID if ID in columns else next(old for old, new in VERIFIED_LABELS.items() if new == ID)


def _is_own(name: str, columns: Collection[str]) -> bool:
    """Return whether a diagnosis writes a column of this name itself, under this or an older name."""
    new = VERIFIED_LABELS.get(name)
    return name in COLUMNS or (new is not None and new not in columns)
