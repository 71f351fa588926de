"""Columns of a table that look like ids: another whole number in each row."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data.formats.table_cells import NumberCells, is_index

_MIN_ROWS = 20  # fewer whole numbers may all differ by chance
_MIN_DIGITS = 4  # of the codes that organisations give; measurements have numbers of several lengths
_ID_WORDS = {
    "account", "barcode", "case", "client", "code", "contract", "customer", "employee", "invoice",
    "item", "key", "machine", "member", "nr", "num", "number", "order", "passenger", "patient", "person",
    "record", "ref", "sample", "serial", "student", "subject", "ticket", "user",
}  # fmt: skip
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def likely_ids(frame: pd.DataFrame, features: Sequence[str]) -> list[str]:
    """Return the features that have another whole number in each row, and a name or numbers like ids.

    Numbers are like ids if all have one length of at least 4 digits and do not count the rows. Columns that
    also have the name of an index are not among them: they are left out like one
    (:func:`dilution.data.formats.table_cells.is_index`).

    Parameters
    ----------
    frame
        The rows.
    features
        Columns that are features.
    """
    if len(frame) < _MIN_ROWS:
        return []
    types = frame.dtypes
    whole = [name for name in features if isinstance(types[name], np.dtype) and types[name].kind in "iu"]
    return [
        name
        for name in whole
        if frame[name].is_unique
        and (_has_id_word(name) or _are_codes(frame[name].to_numpy(dtype=np.float64)))
        and not is_index(name, NumberCells(frame[name].to_numpy(dtype=np.float64)))
    ]


def _has_id_word(name: str) -> bool:
    return not _ID_WORDS.isdisjoint(word.lower() for word in _WORDS.findall(name))


def _are_codes(values: NDArray[np.float64]) -> bool:
    low, high = float(values.min()), float(values.max())
    has_one_length = low >= 10 ** (_MIN_DIGITS - 1) and len(f"{low:.0f}") == len(f"{high:.0f}")
    return has_one_length and not bool((np.diff(values) == 1).all())
