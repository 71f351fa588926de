"""Right labels that somebody has looked up for some of the examples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.data import Labelled
from dilution.diagnosis.noise_fit import Ints
from dilution.errors import DataError, InputError, unknown

COLUMNS = ("row", "right")


def read_checked(checked: str | Path | Mapping[str, str] | None, examples: Labelled) -> Ints:
    """Return the right class of each example where it is known, −1 elsewhere; int64, shape (n,).

    Parameters
    ----------
    checked
        Row to class, or the path of a CSV file with the columns ``row`` and ``right``; a blank ``right`` is
        not known. So the list of suspects, with a column ``right`` filled in for some of them, is such a
        file.
    examples
        The examples, with what their user calls each.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If a column is missing, or a row or class is unknown.
    """
    found = np.full(len(examples.arrays), -1, dtype=np.int64)
    if checked is None:
        return found
    pairs = checked if isinstance(checked, Mapping) else _read(Path(checked))
    names = examples.rows if examples.rows is not None else tuple(map(str, range(len(found))))
    place = {name: number for number, name in enumerate(names)}
    classes = {name: number for number, name in enumerate(examples.arrays.classes)}
    for row, right in pairs.items():
        if str(row) not in place:
            raise InputError(
                f"checked row {str(row)!r} is not among the examples; rows are called as in the list of "
                f"suspects: {names[0]!r} to {names[-1]!r}."
            )
        if str(right) not in classes:
            raise unknown("class", str(right), classes)
        found[place[str(row)]] = classes[str(right)]
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Name an existing CSV file.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV file ({error}); it needs columns row and right.") from None
    for column in COLUMNS:
        if column not in table.columns:
            raise InputError(
                f"{path} has the columns {', '.join(table.columns)}, and none named {column!r}; checked "
                "labels need row and right. Take the list of suspects and add a column right."
            )
    known = table[table["right"].str.strip() != ""]
    return dict(zip(known["row"], known["right"].str.strip(), strict=True))
