"""Copies and near-copies of training examples in a test split that the user brings: counted, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dilution.data.duplicates import are_too_alike, words_for
from dilution.data.exact_copies import exact_groups, is_copy_of
from dilution.data.group_numbers import first_rows
from dilution.data.near_copies import MAX_IMAGES, can_be_near_copies, find_near_copies

if TYPE_CHECKING:
    from dilution.data.arrays import Arrays
    from dilution.data.duplicates import Copies

_ACCURACY = "so that test accuracy is too high; the splits of the data are kept"


def leak_notes(train: Arrays, copies: Copies, test: Arrays, *, near: bool = True) -> tuple[str, ...]:
    """Return notes on test examples that are copies of training examples, one sentence per kind.

    Parameters
    ----------
    train, test
        The splits, whose examples have one shape.
    copies
        Copies among the training examples.
    near
        Whether near-copies are sought.
    """
    n, notes = len(test), []
    is_copy = is_copy_of(train.images, test.images)
    if n_exact := int(is_copy.sum()):
        verb = "example is a copy" if n_exact == 1 else "examples are copies"
        notes.append(f"{n_exact:,} of the {n:,} test {verb} of training examples, {_ACCURACY}")
    if not near or not can_be_near_copies(train.images):
        return tuple(notes)
    train_rows, test_groups = first_rows(copies.exact), exact_groups(test.images)
    test_rows = first_rows(test_groups)
    test_rows = test_rows[~is_copy[test_rows]]
    n_compared = len(train_rows) + len(test_rows)
    if n_compared > MAX_IMAGES:
        if not copies.n_unsought:  # else a note says it of all
            notes.append(
                f"near-copies of training images in the test split are sought where both are at most "
                f"{MAX_IMAGES:,} different images, and these are {n_compared:,}: images that were compressed "
                "again may be in both"
            )
        return tuple(notes)
    near_groups, is_alike = find_near_copies(
        [(train.images, train_rows), (test.images, test_rows)], known=copies.groups[train_rows]
    )
    is_test = np.arange(n_compared) >= len(train_rows)
    is_leak = np.isin(near_groups, near_groups[~is_test])
    too_alike = are_too_alike(near_groups, is_alike)
    sizes = np.bincount(test_groups)[test_groups[test_rows]]  # equal test images are compared once
    if n_near := int(sizes[(is_leak & ~too_alike)[is_test]].sum()):
        verb = "is a near-copy" if n_near == 1 else "are near-copies"
        one, many = words_for(test)
        notes.append(
            f"{n_near:,} of the {n:,} test {one if n == 1 else many} {verb} of training {many} (compressed "
            f"again or of other brightness), {_ACCURACY}"
        )
    if n_alike := int(sizes[((is_leak | is_alike) & too_alike)[is_test]].sum()):
        verb = "is" if n_alike == 1 else "are"
        notes.append(
            f"{n_alike:,} of the {n:,} test images {verb} so like training images that near-copies among "
            "them cannot be told; the splits of the data are kept"
        )
    return tuple(notes)
