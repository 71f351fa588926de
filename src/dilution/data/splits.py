"""The fixed, stratified train/test split: a fifth of each class is for testing."""

import heapq
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from dilution.data.arrays import Arrays, DataSet
from dilution.data.class_checks import check_test_classes, check_two_classes, describe_untested
from dilution.data.duplicates import find_and_group, group_copies
from dilution.data.group_numbers import Ints, count_groups, number_groups
from dilution.data.grouped_split import choose_test_groups
from dilution.data.leaks import leak_notes
from dilution.errors import InputError


def stratified_split(labels: Ints, groups: Ints | None = None) -> tuple[Ints, Ints]:
    """Return the rows of the train split and those of the test split, both ascending.

    The rows are sorted by class, each class in its given order, and every fifth row of that order, beginning
    with the first, is for testing. No random number is drawn: the split is the same on every machine and with
    every version of NumPy. Each class gives a fifth of its rows, exact to less than one. A class with a
    single row keeps it for training.

    With groups, a group is of the class that most of its rows have, and goes to testing where this leaves at
    most a fifth of the rows up to it there. A class whose rows are one group keeps them for training. If no
    group is small enough, the smallest one that leaves every class a row for training is for testing.

    Parameters
    ----------
    labels
        int64, shape (n,), values 0 or more.
    groups
        Group of each row, int64, shape (n,). Rows of one group are in the same split. Default: each row is a
        group.

    Returns
    -------
    train, test
        int64 row numbers, which together are 0 … n − 1; `test` is empty if no class has two rows or groups.
    """
    if groups is not None and count_groups(groups := number_groups(groups)) < len(labels):
        is_test = choose_test_groups(labels, groups)[groups]
        return np.flatnonzero(~is_test), np.flatnonzero(is_test)
    by_class = np.argsort(labels, kind="stable")
    by_class = by_class[np.bincount(labels)[labels[by_class]] > 1]
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[by_class[::5]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def split_arrays(name: str, arrays: Arrays) -> DataSet:
    """Return a data set whose test split is a fixed fifth of each class: :func:`stratified_split`.

    Examples of one group are in the same split; equal ones are a group in any case.

    Raises
    ------
    InputError
        If all examples are of one class, or no class has two, or two groups.
    """
    train, test = split_rows(arrays)
    return DataSet(name, arrays.subset(train), arrays.subset(test))


def split_rows(arrays: Arrays) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of the train split and of the test split of :func:`split_arrays`, both int64.

    Errors are those of :func:`split_arrays`.
    """
    check_two_classes(arrays.labels, arrays.classes)
    groups = None if arrays.split_groups is None else arrays.split_groups.numpy()
    train, test = (torch.from_numpy(rows) for rows in stratified_split(arrays.labels.numpy(), groups))
    if len(test) == 0 and groups is not None:
        raise undivided(groups)
    if len(test) == 0:
        raise InputError(
            f"no class of the {len(arrays)} examples has two; a fifth of each class is set aside for "
            "testing. Add examples, or pass a test split."
        )
    return train, test


def split_with_copies(
    name: str, arrays: Arrays, notes: tuple[str, ...] = (), example_name: Callable[[int], str] = str
) -> DataSet:
    """Return a data set as :func:`split_arrays` does, whose copies share a split, with notes on them.

    Parameters
    ----------
    name
        Name of the data set.
    arrays
        The examples.
    notes
        Notes on them.
    example_name
        Function that names an example by its number.
    """
    grouped, more = group_copies(arrays, example_name)
    data = split_arrays(name, grouped)
    return replace(data, notes=(*notes, *describe_untested(data.test.labels, data.test.classes), *more))


def with_own_test_split(
    name: str,
    train: Arrays,
    test: Arrays,
    notes: tuple[str, ...] = (),
    example_name: Callable[[int], str] = str,
    *,
    near: bool = True,
) -> DataSet:
    """Return a data set with the splits of a user, whose copies are grouped in each split.

    The splits stay as they are. Notes say which classes have no test example, and how many test examples are
    copies or near-copies of training examples.

    Parameters
    ----------
    name
        Name of the data set.
    train, test
        The splits.
    notes
        Notes on them.
    example_name
        Function that names a training example by its number.
    near
        Whether near-copies are sought.
    """
    data = DataSet(name, train, test)
    check_test_classes(train.labels, test.labels, train.classes)
    untested = describe_untested(test.labels, test.classes)
    grouped = find_and_group(train, example_name, near=near)
    leaks = leak_notes(train, grouped.copies, test, near=near)
    # The notes of a pack say already which classes have no test example.
    all_notes = dict.fromkeys((*notes, *untested, *grouped.notes, *leaks))
    return replace(data, train=grouped.arrays, notes=tuple(all_notes))


def check_training_groups(train: Arrays) -> None:
    """Refuse a train split that is one group, from which no validation examples can be held out.

    Raises
    ------
    InputError
        If all its examples are of one group.
    """
    groups = train.split_groups
    if groups is not None and int(groups.max()) == 0:
        raise InputError(
            f"the {len(train):,} training examples are 1 group of copies or of examples named as one group, "
            "since the others are set aside for testing; validation takes another group, so that there must "
            "be at least 3 in all. Add examples that differ, or name smaller groups."
        )


def undivided(groups: Ints) -> InputError:
    """Return the error for examples of too few groups to be divided."""
    n = count_groups(groups)
    return InputError(
        f"the {len(groups):,} examples are {n:,} {'group' if n == 1 else 'groups'} of copies or of examples "
        "named as one group, which must not be divided, and none can be set aside without a class. Add "
        "examples that differ, or name smaller groups."
    )


def divide_groups(groups: Ints, parts: int) -> Ints:
    """Return the part of each row, 0 … parts − 1, so that a group is in one part and parts are about equal.

    The largest group comes first, and each goes to the part with the fewest rows so far; groups of equal
    size come in the order of their first rows.

    Parameters
    ----------
    groups
        Group of each row, int64, shape (n,).
    parts
        Number of parts.
    """
    _, first, numbers, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    part_of = np.empty(len(sizes), dtype=np.int64)
    fill = [(0, part) for part in range(parts)]
    for group in np.lexsort((first, -sizes)).tolist():
        rows, part = heapq.heappop(fill)
        part_of[group] = part
        heapq.heappush(fill, (rows + int(sizes[group]), part))
    divided: Ints = part_of[numbers.reshape(-1)]
    return divided


def spread_classes(part_of: Ints, labels: Ints, groups: Ints | None = None) -> Ints:
    """Return parts in which no class lies in one part alone, so that the other parts have examples of it.

    Groups are moved, small ones first, to parts with few rows. Parts without such a class stay as they are,
    and so does a class that is one group.

    Parameters
    ----------
    part_of
        Part of each row, from 0, int64, shape (n,).
    labels
        Class number of each row, int64, shape (n,).
    groups
        Group of each row, int64, shape (n,); each is in one part. Default: each row is a group.
    """
    groups = np.arange(len(labels)) if groups is None else number_groups(groups)
    counts = np.zeros((int(labels.max()) + 1, int(part_of.max()) + 1), dtype=np.int64)
    np.add.at(counts, (labels, part_of), 1)
    if not _in_one_part(counts):
        return part_of
    part_of, sizes = part_of.copy(), np.bincount(groups)
    for number in np.flatnonzero((counts > 0).sum(axis=1) == 1).tolist():
        candidates = np.unique(groups[labels == number])
        for group in candidates[np.argsort(sizes[candidates], kind="stable")].tolist():
            if (counts[number] > 0).sum() > 1:
                break
            rows = np.flatnonzero(groups == group)
            _move(rows, part_of, labels, counts)
    return part_of


def _in_one_part(counts: Ints) -> int:
    """Return how many classes lie in one part alone; `counts` has the rows per class and part."""
    return int(((counts > 0).sum(axis=1) == 1).sum())


def _move(rows: Ints, part_of: Ints, labels: Ints, counts: Ints) -> None:
    """Move rows to the part with the fewest rows where fewer classes then lie in one part alone, if any."""
    source = int(part_of[rows[0]])
    moved = np.bincount(labels[rows], minlength=len(counts))
    before = _in_one_part(counts)
    for target in np.argsort(counts.sum(axis=0), kind="stable").tolist():
        changed = counts.copy()
        changed[:, source] -= moved
        changed[:, target] += moved
        if target != source and _in_one_part(changed) < before:
            counts[...] = changed
            part_of[rows] = target
            return
