"""Files of a user that name examples by their ids: verified labels, groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dilution.data.class_names import normal_form, without_fraction
from dilution.data.formats.table_files import open_table
from dilution.data.label_values import is_missing
from dilution.errors import DataError, InputError
from dilution.utils.csv_cells import restore_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dilution.data.arrays import UnsplitData
    from dilution.data.formats.table_rows import TableRows

ID = "id"
"""Name of the column of ids."""


class ExampleIds:
    """Ids of examples: those of label_issues.csv.

    Parameters
    ----------
    examples
        The examples.
    """

    def __init__(self, examples: UnsplitData) -> None:
        n = len(examples.arrays)
        self.ids = examples.names if examples.names is not None else tuple(map(str, range(n)))
        self._index_of = {name: index for index, name in enumerate(self.ids)}
        self._index_of_form = {normal_form(name): index for index, name in enumerate(self.ids)}

    def find(self, text: str) -> int | None:
        """Return the number of the example with an id, as a spreadsheet may have written it; None if none."""
        for name in (text, restore_text(text)):
            if name in self._index_of:
                return self._index_of[name]
        form = normal_form(text)
        return self._index_of_form.get(form, self._index_of_form.get(without_fraction(form)))

    @property
    def rule(self) -> str:
        """Which ids there are, for messages."""
        return f"ids are those of label_issues.csv: {self.ids[0]!r} to {self.ids[-1]!r}"


@dataclass(frozen=True)
class IdTable:
    """Rows of a file with a column of ids.

    Parameters
    ----------
    path
        The file.
    columns
        Names of its columns.
    rows
        Its rows; all cells are text.
    """

    path: Path
    columns: tuple[str, ...]
    rows: TableRows

    def values(self, column: str, renamed: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield id, value and name of each row whose value is not blank.

        Parameters
        ----------
        column
            Name of the column of values.
        renamed
            Today's names of columns that have older ones.

        Raises
        ------
        InputError
            If such a row has no id.
        """
        frame = self.rows.frame.rename(columns=dict(renamed or {}))
        for row, (name, value) in enumerate(zip(frame[ID], frame[column], strict=True)):
            if is_missing(value) or not str(value).strip():
                continue
            if is_missing(name):
                raise InputError(
                    f"{self.rows.name(row)} has a {column.replace('_', ' ')} and no id. Fill in its id, or "
                    "delete the row."
                )
            yield str(name), str(value), self.rows.name(row)


def read_id_table(file: str | Path) -> IdTable:
    """Return the table in a file, whose options may follow a ``#`` as in the name of a table.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If the options are wrong, or two columns have one name.
    """
    path, options = _split_options(Path(file))
    try:
        table = open_table(path, options)
        return IdTable(path, table.columns, table.read(text_columns=table.columns))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_id_file(file: object) -> None:
    """Raise DataError if a path, with or without options, is of no file; other objects pass."""
    if isinstance(file, str | Path):
        find_id_file(file)


def find_id_file(file: str | Path) -> Path:
    """Return the path of a file without the options that may follow it.

    Raises
    ------
    DataError
        If there is no such file.
    """
    return _split_options(Path(file))[0]


def _split_options(path: Path) -> tuple[Path, str]:
    if path.exists():
        return path, ""
    name, _, options = path.name.rpartition("#")
    if name and path.with_name(name).exists():
        return path.with_name(name), options
    raise DataError(f"{path} cannot be read: it does not exist. Name an existing CSV file.")
