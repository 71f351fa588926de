"""Groups of examples that are given apart from them: one value per example, or a file of ids and groups."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilution.data.class_names import normal_form
from dilution.data.groups import check_groups, read_groups
from dilution.data.id_table import ID, ExampleIds, IdTable, read_id_table
from dilution.errors import InputError

if TYPE_CHECKING:
    from dilution.data.arrays import UnsplitData
    from dilution.data.group_numbers import Ints


def match_groups(group: Any, examples: UnsplitData) -> tuple[Ints, tuple[str, ...]]:
    """Return the groups of examples and notes on them.

    Parameters
    ----------
    group
        One value per example, shape (n,); or the path of a CSV file with the columns ``id`` and one other,
        the name of the group, written as tables may be.
    examples
        The examples, with their ids.

    Raises
    ------
    InputError
        If there is not one value per example, the file lacks a column, names an example that does not exist,
        or gives an example two groups.
    DataError
        If the file cannot be read.
    """
    ids = ExampleIds(examples)
    if isinstance(group, str | Path):
        table = read_id_table(group)
        column = _group_column(table)
        try:
            values, notes = _group_of_each(table.values(column), ids)
        except InputError as error:
            raise InputError(f"{table.path}: {error}") from error
        groups, more = read_groups(values, str(table.path), ids.ids.__getitem__)
        return groups, (*(f"{table.path}: {note}" for note in table.rows.notes), *more, *notes)
    array = check_groups(group, len(examples.arrays), "group")
    return read_groups(array, "the argument group", ids.ids.__getitem__)


def _group_column(table: IdTable) -> str:
    others = [column for column in table.columns if column != ID]
    if ID not in table.columns or len(others) != 1:
        raise InputError(
            f"{table.path} has the columns {', '.join(map(repr, table.columns))}; a file of groups has the "
            f"columns {ID!r} and one other, the name of the group. Ids are those of label_issues.csv. Write "
            "these two columns."
        )
    return others[0]


def _group_of_each(
    rows: Iterable[tuple[str, str, str]], ids: ExampleIds
) -> tuple[list[str | None], tuple[str, ...]]:
    """Return the name of the group of each example, None where the file has none, and notes."""
    values: list[str | None] = [None] * len(ids.ids)
    origins: dict[int, str] = {}
    repeated: list[str] = []
    for text, value, origin in rows:
        index = ids.find(text)
        if index is None:
            raise InputError(
                f"{origin} names the group of {text!r}, which is no example; {ids.rule}. Correct the id, or "
                "delete the row."
            )
        before = values[index]
        if before is None:
            values[index], origins[index] = value, origin
        elif normal_form(before) == normal_form(value):
            repeated.append(f"{ids.ids[index]!r} in {origin}")
        else:
            raise InputError(
                f"{ids.ids[index]!r} has two groups, {before!r} ({origins[index]}) and {value!r} ({origin}); "
                "an example is of one group. Delete one of the rows, or give both groups one name."
            )
    if not repeated:
        return values, ()
    subject = "example occurs" if len(repeated) == 1 else "rows name examples"
    return values, (
        f"{len(repeated):,} {subject} again in the file of groups with the same group, the first is "
        f"{repeated[0]}",
    )
