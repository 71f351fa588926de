"""Verified labels: labels that somebody has looked up, read from a mapping or a CSV file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from dilution.data import UnsplitData
from dilution.diagnosis.anchors import Ints
from dilution.errors import DataError, InputError, unknown
from dilution.utils.estimate import UNKNOWN, Estimate
from dilution.utils.migration import new_verified_columns, warn

COLUMNS = ("id", "verified_label")


def read_verified_labels(verified: str | Path | Mapping[str, str] | None, examples: UnsplitData) -> Ints:
    """Return the verified class of each example, −1 where there is none; int64, shape (n,).

    Parameters
    ----------
    verified
        Id of an example → its class, or the path of a CSV file with the columns ``id`` and
        ``verified_label``. Rows with a blank ``verified_label`` are ignored, so ``label_issues.csv``
        with such a column, filled in for some rows, is a valid file.
    examples
        The examples, with their ids.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If a column is missing, or an id or class does not exist.
    """
    classes_of_examples = np.full(len(examples.arrays), -1, dtype=np.int64)
    if verified is None:
        return classes_of_examples
    labels = verified if isinstance(verified, Mapping) else _read_csv(Path(verified))
    ids = examples.names if examples.names is not None else tuple(map(str, range(len(examples.arrays))))
    index_of = {name: index for index, name in enumerate(ids)}
    class_of = {name: number for number, name in enumerate(examples.arrays.classes)}
    for name, label in labels.items():
        if str(name) not in index_of:
            raise InputError(
                f"the verified label of {str(name)!r} belongs to no example; ids are those of "
                f"label_issues.csv: {ids[0]!r} to {ids[-1]!r}."
            )
        if str(label) not in class_of:
            raise unknown("class", str(label), class_of)
        classes_of_examples[index_of[str(name)]] = class_of[str(label)]
    return classes_of_examples


def verified_noise_rate(verified: Ints, labels: Ints) -> Estimate:
    """Return the share of wrong labels among the verified ones, with Wilson's 95 % interval (1927).

    Parameters
    ----------
    verified
        As :func:`read_verified_labels` returns it.
    labels
        Noisy labels, int64, shape (n,).

    Returns
    -------
    Estimate
        NaN if no label is verified.
    """
    known = verified >= 0
    if not known.any():
        return UNKNOWN
    test = binomtest(int((verified[known] != labels[known]).sum()), int(known.sum()))
    low, high = test.proportion_ci(method="wilson")
    return Estimate(float(test.statistic), float(low), float(high))


def _read_csv(path: Path) -> dict[str, str]:
    """Return id → verified label of the rows that have one."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Name an existing CSV file.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a CSV file ({error}). Write one with the columns {' and '.join(COLUMNS)}."
        ) from None
    if renamed := new_verified_columns(table.columns):
        warn(f"the file of verified labels {path}", renamed)
        table = table.rename(columns=renamed)
    for column in COLUMNS:
        if column not in table.columns:
            raise InputError(
                f"{path} has the columns {', '.join(table.columns)} and lacks {column!r}; verified labels "
                "need id and verified_label. Add a column verified_label to label_issues.csv."
            )
    filled = table[table["verified_label"].str.strip() != ""]
    return dict(zip(filled["id"], filled["verified_label"].str.strip(), strict=True))
