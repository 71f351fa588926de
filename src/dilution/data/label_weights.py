"""Training weights of labels, in a column of cleaned data that fit uses and that is no feature."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.errors import InputError, short_repr

WEIGHT_COLUMN = "label_weight"
"""Name of the column, which no one uses for a feature."""


def read_weights(values: Any, row_name: Callable[[int], str]) -> NDArray[np.float64]:
    """Return the weights in a column, float64, shape (n,).

    Parameters
    ----------
    values
        Its cells, a Series: numbers, or text with a decimal point or comma.
    row_name
        Function that names a row by its number.

    Raises
    ------
    InputError
        If a cell is no finite number ≥ 0.
    """
    import pandas as pd  # lazily: it takes a while to import

    texts = values.astype(str).str.strip().str.replace(",", ".", regex=False)
    weights: NDArray[np.float64] = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"column {WEIGHT_COLUMN!r} has {short_repr(values.iloc[row])} in {row_name(row)}; by its name it "
            "is the training weight of a label, a finite number of at least 0. Correct it, or give the "
            "column another name to have it as a feature."
        )
    return weights
