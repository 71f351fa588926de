"""Which groups are for testing: a fifth of the rows of each class, none of which loses all its rows."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from dilution.data.group_numbers import Ints


def choose_test_groups(labels: Ints, groups: Ints) -> NDArray[np.bool_]:
    """Return which groups are for testing, bool, shape (groups,).

    The rules are those of :func:`dilution.data.splits.stratified_split`.

    Parameters
    ----------
    labels
        Class of each row, int64, shape (n,), values 0 or more.
    groups
        Group of each row, int64, shape (n,), numbered from 0 without gaps.
    """
    rows = _RowsOfGroups(labels, groups)
    sizes, classes = rows.sizes, rows.classes
    order = np.argsort(classes, kind="stable")
    order = order[np.bincount(classes)[classes[order]] > 1]
    in_train = np.bincount(labels).tolist()  # rows of each class
    is_test = np.zeros(len(sizes), dtype=bool)
    passed = n_test = 0
    for start, stop in _runs(order, sizes, classes):
        group, n = order[start], stop - start
        size, label = int(sizes[group]), int(classes[group])
        # A group of one row goes to testing as without groups: every fifth one, beginning with the first.
        if size == 1:
            n_taken = max(0, min(n, -((5 * n_test - passed - n) // 5), in_train[label] - 1))
            ranks = np.arange(n_taken)
            is_test[order[start + np.maximum(ranks, 5 * (n_test + ranks) - passed)]] = True
            in_train[label] -= n_taken
            n_test += n_taken
        elif 5 * n_test + 4 * (size - 1) <= passed and rows.take(group, in_train):
            is_test[group] = True
            n_test += size
        passed += n * size
    if not n_test:
        is_test[rows.smallest_fitting(in_train)] = True
    return is_test


def _runs(order: Ints, sizes: Ints, classes: Ints) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each group in the order; groups of one row and one class come together."""
    if not len(order):
        return
    is_single, classes = sizes[order] == 1, classes[order]
    is_same = is_single[1:] & is_single[:-1] & (classes[1:] == classes[:-1])
    starts = [0, *(np.flatnonzero(~is_same) + 1).tolist()]
    yield from zip(starts, [*starts[1:], len(order)], strict=True)


class _RowsOfGroups:
    """How many rows of each class each group has.

    Parameters
    ----------
    labels, groups
        Class and group of each row, int64, shape (n,).
    """

    def __init__(self, labels: Ints, groups: Ints) -> None:
        self.sizes = np.bincount(groups)
        """Number of rows of each group, int64, shape (groups,)."""
        self.classes = np.empty(len(self.sizes), dtype=np.int64)
        """Most frequent class of each group, the first one of several, int64, shape (groups,)."""
        self.classes[groups] = labels  # right for groups of one row
        n_classes = int(labels.max()) + 1
        is_of_several = self.sizes[groups] > 1
        keys, counts = np.unique(
            groups[is_of_several] * n_classes + labels[is_of_several], return_counts=True
        )
        owners, classes = np.divmod(keys, n_classes)
        by_count = np.lexsort((classes, -counts, owners))
        several, first = np.unique(owners, return_index=True)
        self.classes[several] = classes[by_count[first]]
        self._starts = np.searchsorted(owners, np.arange(len(self.sizes) + 1))
        self._classes, self._counts = classes.tolist(), counts.tolist()

    def take(self, group: int, in_train: list[int]) -> bool:
        """Take a group from the training rows of each class, unless it has the last ones of one.

        Parameters
        ----------
        group
            Number of a group.
        in_train
            Training rows of each class, which are changed.
        """
        start, stop = self._starts[group : group + 2]
        classes, counts = self._classes[start:stop], self._counts[start:stop]
        if self.sizes[group] == 1:
            classes, counts = [int(self.classes[group])], [1]
        if any(in_train[label] <= count for label, count in zip(classes, counts, strict=True)):
            return False
        for label, count in zip(classes, counts, strict=True):
            in_train[label] -= count
        return True

    def smallest_fitting(self, in_train: list[int]) -> Ints:
        """Return the first of the smallest groups that leave a row of each class for training, or none."""
        can_lose_one = np.array(in_train)[self.classes] > 1
        singles = np.flatnonzero((self.sizes == 1) & can_lose_one)
        if len(singles):
            return singles[:1]
        by_size = np.argsort(self.sizes, kind="stable")
        larger = by_size[self.sizes[by_size] > 1].tolist()
        fitting = (group for group in larger if self.take(group, in_train))
        return np.array(list(islice(fitting, 1)), dtype=np.int64)
