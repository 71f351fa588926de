"""The fixed, stratified train/test split: a fifth of each class is for testing."""

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.class_checks import check_two_classes
from dilution.errors import InputError


def stratified_split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the train split and those of the test split, both ascending.

    The rows are sorted by class, each class in its given order, and every fifth row of that order, beginning
    with the first, is for testing. No random number is drawn: the split is the same on every machine and with
    every version of NumPy. Each class gives a fifth of its rows, exact to less than one. A class with a
    single row keeps it for training.

    Parameters
    ----------
    labels
        int64, shape (n,), values 0 or more.

    Returns
    -------
    train, test
        int64 row numbers, which together are 0 … n − 1; `test` is empty if no class has two rows.
    """
    by_class = np.argsort(labels, kind="stable")
    by_class = by_class[np.bincount(labels)[labels[by_class]] > 1]
    test = np.sort(by_class[::5])
    train = np.setdiff1d(np.arange(len(labels), dtype=np.int64), test)
    return train, test


def split_arrays(name: str, arrays: Arrays) -> DataSet:
    """Return a data set whose test split is a fixed fifth of each class: :func:`stratified_split`.

    Raises
    ------
    InputError
        If all examples are of one class, or no class has two.
    """
    check_two_classes(arrays.labels, arrays.classes)
    train, test = (torch.from_numpy(rows) for rows in stratified_split(arrays.labels.numpy()))
    if len(test) == 0:
        raise InputError(
            f"no class of the {len(arrays)} examples has two; a fifth of each class is set aside for "
            "testing. Add examples, or pass a test split."
        )
    return DataSet(name, arrays.subset(train), arrays.subset(test))
