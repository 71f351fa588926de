"""Set a fixed, stratified fifth aside as the test half."""

import numpy as np
from numpy.typing import NDArray


def every_fifth(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows for training and the rows for testing, both ascending.

    The rows are lined up class by class, each class in the order given, and every fifth of that
    line, beginning with the first, is for testing. No random number takes part, so the split is
    the same on every machine and with every version of NumPy. Each class gives a fifth of its
    rows, exact to less than one. A class with a single row keeps it for training, outside the line.

    Parameters
    ----------
    labels
        int64, shape (n,), values 0 or more.

    Returns
    -------
    train, test
        int64 row numbers. Together they hold each of the n rows once; `test` is empty when no
        class has two rows.
    """
    line = np.argsort(labels, kind="stable")
    line = line[np.bincount(labels)[labels[line]] > 1]
    test = np.sort(line[::5])
    train = np.setdiff1d(np.arange(len(labels), dtype=np.int64), test)
    return train, test
