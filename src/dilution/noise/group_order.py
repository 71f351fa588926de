"""Orders of examples whose first ones are whole groups, so that cutting them off divides no group."""

import numpy as np
import torch
from torch import Tensor

from dilution.data.group_numbers import Ints
from dilution.data.splits import undivided


def whole_groups_first(order: Tensor, groups: Tensor, labels: Tensor, count: int) -> tuple[Tensor, int]:
    """Return an order whose first examples are whole groups, and how many of them there are.

    Groups are taken in the order of their first examples: each that fits into what is left of `count` and
    leaves examples of its classes behind. If there is none, the smallest group is taken.

    Parameters
    ----------
    order
        Permutation of the examples, int64, shape (n,).
    groups, labels
        Group and class of each example, int64, shape (n,).
    count
        Number of examples wanted, 0 < count < n.

    Returns
    -------
    order, taken
        The permutation with the examples of the groups that were taken in front, otherwise in the same
        order; and the number of these examples, 0 < taken < n.

    Raises
    ------
    InputError
        If all examples are of one group.
    """
    keys, classes = groups[order].cpu().numpy(), labels[order].cpu().numpy()
    _, first, numbers, sizes = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == 1:
        raise undivided(np.zeros(len(order), dtype=np.int64))
    numbers = numbers.reshape(-1)
    by_group, starts = np.argsort(numbers, kind="stable"), np.r_[0, np.cumsum(sizes)]
    left_behind = np.bincount(classes)
    is_taken = np.zeros(len(first), dtype=bool)
    left = count
    for group in np.argsort(first).tolist():
        rows = by_group[starts[group] : starts[group + 1]]
        # A class with a single example may lose it, as it may without groups.
        if len(rows) <= left and (len(rows) == 1 or _take_rows(left_behind, classes[rows])):
            left_behind[classes[rows]] -= len(rows) == 1
            is_taken[group] = True
            left -= len(rows)
            if not left:
                break
    if left == count:
        is_taken[_smallest_group(by_group, starts, first, classes, left_behind)] = True
    in_front = torch.from_numpy(is_taken[numbers]).to(order.device)
    return torch.cat([order[in_front], order[~in_front]]), int(in_front.sum())


def _smallest_group(
    by_group: Ints,
    starts: Ints,
    first: Ints,
    classes: Ints,
    left_behind: Ints,
) -> int:
    """Return the first of the smallest groups that leave examples of their classes; or of all groups."""
    by_size = np.lexsort((first, np.diff(starts))).tolist()
    for group in by_size:
        if _take_rows(left_behind, classes[by_group[starts[group] : starts[group + 1]]]):
            return int(group)
    return int(by_size[0])


def _take_rows(in_train: Ints, labels: Ints) -> bool:
    """Take rows with these labels from the training rows of each class, unless it takes the last ones."""
    classes, counts = np.unique(labels, return_counts=True)
    if (in_train[classes] <= counts).any():
        return False
    in_train[classes] -= counts
    return True
