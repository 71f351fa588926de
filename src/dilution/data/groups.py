"""Groups that a user names, such as patients: examples of one group share a side of every split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dilution.data.duplicates import Ints, count_groups, number_groups
from dilution.errors import DataError, InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dilution.data.arrays import UnsplitData

_ID = "id"


def read_groups(
    values: ArrayLike, source: str, name: Callable[[int], str] = str
) -> tuple[Ints, tuple[str, ...]]:
    """Return numbers of the groups that values name, int64, shape (n,), with notes on them.

    Parameters
    ----------
    values
        Name of the group of each example: text, numbers or truth values, shape (n,). An example whose value
        is missing or blank is a group of its own.
    source
        Where they come from, for the notes.
    name
        Function that names an example by its number.
    """
    import pandas as pd

    column = pd.Series(np.asarray(values).tolist() if not isinstance(values, pd.Series) else values)
    column = column.astype(object).reset_index(drop=True)
    is_missing = column.isna() | column.map(lambda value: isinstance(value, str) and not value.strip())
    texts = column.map(_text)
    codes = pd.factorize(texts)[0].astype(np.int64)
    missing = np.flatnonzero(is_missing.to_numpy())
    codes[missing] = len(codes) + np.arange(len(missing))
    groups = number_groups(codes)
    notes: tuple[str, ...] = (
        f"{len(groups):,} examples are of {count_groups(groups):,} groups of {source}; examples of one group "
        "share a side of every split",
    )
    if len(missing):
        start = "1 example has" if len(missing) == 1 else f"{len(missing):,} examples have"
        end = "is a group of its own" if len(missing) == 1 else "are groups of their own"
        notes += (f"{start} no group in {source} and {end}, the first is {name(int(missing[0]))}",)
    return groups, notes


def _text(value: object) -> str:
    """Return the name of a group: whole numbers are equal with and without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def match_groups(group: Any, examples: UnsplitData) -> tuple[Ints, tuple[str, ...]]:
    """Return the groups of examples and notes on them.

    Parameters
    ----------
    group
        One value per example, shape (n,); or the path of a CSV file with the columns ``id`` and one other,
        the name of the group.
    examples
        The examples, with their ids.

    Raises
    ------
    InputError
        If there is not one value per example, or the file lacks a column or names an example that does not
        exist.
    DataError
        If the file cannot be read.
    """
    n = len(examples.arrays)
    names = examples.names if examples.names is not None else tuple(map(str, range(n)))
    if isinstance(group, str | Path):
        values = _read_csv(Path(group), names)
        return read_groups(values, str(group), names.__getitem__)
    return read_groups(check_groups(group, n, "group"), "the argument group", names.__getitem__)


def check_groups(groups: Any, n: int, argument: str) -> NDArray[Any]:
    """Return the names of the groups of n examples, shape (n,); raise InputError for another shape."""
    values = np.asarray(groups)
    if values.shape not in ((n,), (n, 1)):
        raise InputError(
            f"{argument} has shape {values.shape} for {n:,} examples; it must hold one value per example. "
            "Check that both come from the same rows."
        )
    return values.reshape(-1)


def _read_csv(path: Path, names: tuple[str, ...]) -> list[str]:
    """Return the value of each example, blank where the file has none."""
    import pandas as pd

    rule = f"a file of groups has the columns {_ID!r} and one other, the name of the group"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=None, engine="python")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Name an existing CSV file.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV file ({error}); {rule}. Write one.") from None
    others = [column for column in table.columns if column != _ID]
    if _ID not in table.columns or len(others) != 1:
        raise InputError(
            f"{path} has the columns {', '.join(map(repr, table.columns))}; {rule}. Ids are those of "
            "label_issues.csv. Write these two columns."
        )
    group_of = dict(zip(table[_ID], table[others[0]], strict=True))
    unknown = set(group_of) - set(names)
    if unknown:
        raise InputError(
            f"{path} names the group of {min(unknown)!r}, which is no example; ids are those of "
            f"label_issues.csv: {names[0]!r} to {names[-1]!r}. Correct the column {_ID!r}."
        )
    return [group_of.get(name, "") for name in names]
