"""Standard errors of means over examples whose groups are independent, not the examples."""

import math

import numpy as np

from dilution.diagnosis.anchors import Floats, Ints


def standard_error(values: Floats, groups: Ints | None = None) -> float:
    """Return the standard error of the mean of values.

    Parameters
    ----------
    values
        One value per example, float64, shape (n,).
    groups
        Group of each example, int64, shape (n,). Values of one group may depend on each other. Default:
        each example is a group.
    """
    if groups is None:
        return float(values.std()) / math.sqrt(len(values))
    return math.sqrt(squared_group_sums(values - values.mean(), groups)) / len(values)


def squared_group_sums(values: Floats, groups: Ints) -> float:
    """Return the sum over groups of the squared sum of their values."""
    _, numbers = np.unique(groups, return_inverse=True)
    return float((np.bincount(numbers.reshape(-1), values) ** 2).sum())
