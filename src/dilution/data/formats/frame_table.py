"""DataFrames of pandas as tables: their columns and rows, under the rules of Parquet files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.example_ids import with_ids
from dilution.data.formats.table import TableExamples, read_table
from dilution.data.formats.table_columns import LabelColumnError
from dilution.data.formats.table_dates import with_days
from dilution.data.formats.table_options import (
    TableOptions,
    UnknownLabelError,
    list_columns,
    unknown_column,
)
from dilution.data.formats.table_rows import TableRows, check_names
from dilution.errors import InputError, short_repr


class FrameTable:
    """A DataFrame of the user as a table; it is not changed. Methods are those of ``TableFile``.

    Parameters
    ----------
    frame
        The DataFrame. Names of columns become text.
    """

    index = ()
    default_decimal = None
    has_types = True
    has_leading_zeros = False

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.columns = tuple(map(str, frame.columns))
        check_names(self.columns)

    def read(self, text_columns: Collection[str]) -> TableRows:
        """Return the rows, counted from 0; `text_columns` have their types already."""
        frame = self._frame.set_axis(list(self.columns), axis=1).reset_index(drop=True)
        return with_days(TableRows(frame, np.arange(len(frame), dtype=np.int64)), text_columns)

    def read_text(self, columns: Sequence[str], n_rows: int | None = None) -> pd.DataFrame:
        """Return the first or all rows of some columns."""
        return self.read(self.columns).frame[list(columns)].iloc[:n_rows]


def read_frame(
    frame: pd.DataFrame, label: str | None, noisy_label: str | None, ids: Any, group: str | None = None
) -> "FrameExamples":
    """Return the rows of a DataFrame that have a label.

    Parameters
    ----------
    frame
        The DataFrame.
    label
        Column of the label. Default: ``label``.
    noisy_label
        Column of observed labels, where `label` has the true ones. Default: ``noisy_label`` if there is one.
    ids
        Column of ids, or one value per row. Default: the index, unless it counts the rows from 0.
    group
        Column of groups.

    Raises
    ------
    InputError
        If a column does not exist, or its content breaks a rule.
    """
    table = FrameTable(frame)
    is_column = isinstance(ids, str)
    named = {"label": label, "noisy_label": noisy_label, "ids": ids if is_column else None, "group": group}
    for argument, name in named.items():
        if name is not None and str(name) not in table.columns:
            raise InputError(
                f"{argument} is {short_repr(name)}: {unknown_column(str(name), table.columns, table.columns)}"
            )
    columns = {key: None if name is None else str(name) for key, name in named.items()}
    if columns["label"] is None and "label" not in table.columns:
        raise InputError(
            f"the DataFrame has no column 'label'; its columns are {list_columns(table.columns)}. Pass "
            "label=, the name of the column of the label."
        )
    options = TableOptions(
        columns["label"], columns["noisy_label"], group=columns["group"], ids=columns["ids"]
    )
    try:
        rows = read_table(table, options.write(table.columns), None)
    except (LabelColumnError, UnknownLabelError) as error:
        raise InputError(f"{error}, with label=.") from error
    notes: tuple[str, ...] = ()
    if ids is None and _names_rows(frame.index):
        ids, notes = frame.index, ("ids of examples are the index of the DataFrame",)
    return FrameExamples(rows, None if is_column else ids, notes)


@dataclass(frozen=True)
class FrameExamples:
    """Examples of a DataFrame.

    Parameters
    ----------
    rows
        Its rows that have a label.
    ids
        One id per row of the DataFrame; None: ids are a column, or the positions.
    notes
        Notes on the ids.
    """

    rows: TableExamples
    ids: Any
    notes: tuple[str, ...]

    @property
    def n_given(self) -> int:
        """Number of rows of the DataFrame."""
        return self.rows.n_given

    def to_data_set(self, name: str) -> DataSet:
        """Return the data set; a fifth of each class is for testing."""
        return self.rows.to_data_set(name)

    def to_unsplit_data(self) -> UnsplitData:
        """Return all rows that have a label, with their ids."""
        examples = self.rows.to_unsplit_data()
        if self.rows.ids is not None:
            return examples
        examples = replace(examples, names=None, notes=(*examples.notes, *self.notes))
        return examples if self.ids is None else with_ids(examples, self.ids, self.n_given)


def _names_rows(index: "pd.Index[Any]") -> bool:
    """Return whether an index gives each row a name of its own, other than its position."""
    counts_rows = bool(np.array_equal(index, np.arange(len(index))))
    return not counts_rows and index.is_unique and index.nlevels == 1 and not index.hasnans
