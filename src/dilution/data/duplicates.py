"""Copies among examples, and groups: examples that must lie on one side of every split.

Copies are examples with equal features or pixels. Near-copies are images that differ only as much as one
photograph that was compressed again or made brighter. Groups are numbered in the order of their first
examples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.exact_copies import exact_groups
from dilution.data.group_numbers import Ints, count_groups, first_pair, first_rows, join_groups, number_groups
from dilution.data.near_copies import MAX_IMAGES, can_be_near_copies, find_near_copies

if TYPE_CHECKING:
    from collections.abc import Callable

    from dilution.data.arrays import Arrays, LazyImages


_LARGEST_SHARE = 0.1  # share of the images that near-copies may join in one group
_LARGEST_JOINED = 0.5  # share of the examples that copies may join from groups that a user names
_LARGEST_ALWAYS = 20  # images that near-copies may join in any case


@dataclass(frozen=True)
class Copies:
    """Copies among examples.

    Parameters
    ----------
    groups
        Group of each example, int64, shape (n,): copies and near-copies have the same number.
    exact
        The same without near-copies.
    n_alike
        Images that would be joined with more than a tenth of all as near-copies. They are so alike that
        only those with equal pixels count as copies.
    n_unsought
        Different images among which near-copies were not sought, since they are too many.
    """

    groups: Ints
    exact: Ints
    n_alike: int = 0
    n_unsought: int = 0

    @property
    def n_copies(self) -> int:
        """Number of examples that are copies of an earlier one, near-copies included."""
        return len(self.groups) - count_groups(self.groups)

    @property
    def n_near_copies(self) -> int:
        """Number of those that are near-copies only."""
        return count_groups(self.exact) - count_groups(self.groups)

    def notes(self, one: str, many: str, name: Callable[[int], str] = str) -> tuple[str, ...]:
        """Return one sentence per kind of copies; none if there are no copies.

        Parameters
        ----------
        one, many
            An example and examples in words, such as ``"row"`` and ``"rows"``.
        name
            Function that names an example by its number.
        """
        notes = []
        n = len(self.groups)
        if n_exact := self.n_copies - self.n_near_copies:
            what = "pixels" if one == "image" else "features"
            first, second = first_pair(self.exact)
            verb = f"is a copy of another {one}" if n_exact == 1 else f"are copies of other {many}"
            notes.append(
                f"{n_exact:,} of the {n:,} {many} {verb} (equal {what}), the first is {name(second)}, equal "
                f"to {name(first)}; copies share a side of every split"
            )
        if n_near := self.n_near_copies:
            first, second = first_pair(self.groups, self.exact)
            verb = f"is a near-copy of another {one}" if n_near == 1 else f"are near-copies of other {many}"
            notes.append(
                f"{n_near:,} of the {n:,} {many} {verb} (compressed again or of other brightness), the first "
                f"is {name(second)}, near {name(first)}; near-copies share a side of every split"
            )
        if self.n_alike:
            notes.append(
                f"{self.n_alike:,} of the {n:,} {many} are so alike that near-copies among them cannot be "
                "told: of these only those with equal pixels share a side of every split"
            )
        if self.n_unsought:
            notes.append(
                f"near-copies are sought among at most {MAX_IMAGES:,} different {many}, and these are "
                f"{self.n_unsought:,}: {many} that were compressed again may lie on both sides of a split"
            )
        return tuple(notes)


def find_copies(images: Tensor | LazyImages, *, near: bool = True) -> Copies:
    """Return the copies among examples.

    Parameters
    ----------
    images
        uint8 or float32, shape (n, channels, height, width); or lazy images, of which those with equal sums
        of pixels are read.
    near
        Whether near-copies are sought, among at most 200,000 different images of at least 16 × 16 pixels.
        All images are read for that.
    """
    exact = exact_groups(images)
    if not near or not can_be_near_copies(images):
        return Copies(exact, exact)
    rows = first_rows(exact)
    if len(rows) > MAX_IMAGES:
        return Copies(exact, exact, n_unsought=len(rows))
    return _join_near_copies(exact, *find_near_copies([(images, rows)]))


@dataclass(frozen=True)
class GroupedCopies:
    """Examples whose copies are of one group.

    Parameters
    ----------
    arrays
        The examples with their groups.
    copies
        Copies that these groups keep together; none where they cannot.
    notes
        Sentences on the copies.
    """

    arrays: Arrays
    copies: Copies
    notes: tuple[str, ...]


def group_copies(
    arrays: Arrays, name: Callable[[int], str] = str, *, near: bool = True
) -> tuple[Arrays, tuple[str, ...]]:
    """Return examples whose copies are of one group, with notes on them: :func:`find_and_group`."""
    grouped = find_and_group(arrays, name, near=near)
    return grouped.arrays, grouped.notes


def find_and_group(arrays: Arrays, name: Callable[[int], str] = str, *, near: bool = True) -> GroupedCopies:
    """Return examples whose copies are of one group, with their copies and notes on them.

    Groups that the examples have already are kept together.

    Parameters
    ----------
    arrays
        The examples.
    name
        Function that names an example by its number.
    near
        As for :func:`find_copies`.
    """
    labels = arrays.labels.cpu().numpy()
    copies = _divisible(find_copies(arrays.images, near=near), labels)
    n, n_groups = len(arrays), count_groups(copies.groups)
    one, many = words_for(arrays)
    apart = Copies(np.arange(n), np.arange(n))
    if n_groups == 1 < n:
        note = f"all {n:,} {many} are equal; no model can tell one {one} from another"
        return GroupedCopies(arrays, apart, (note,))
    if arrays.groups is None and n_groups < n and not _can_be_divided(copies.groups, labels):
        note = (
            f"the {n:,} {many} are only {n_groups:,} different ones, and none can be set aside without a "
            "class: copies lie on both sides of every split, so that every accuracy is too high and noise "
            "rates may be too low"
        )
        return GroupedCopies(replace(arrays, groups=torch.arange(n)), apart, (note,))
    joined, kept, more = join_copies(arrays, copies)
    return GroupedCopies(joined, kept, (*kept.notes(one, many, name), *more))


def join_copies(arrays: Arrays, copies: Copies) -> tuple[Arrays, Copies, tuple[str, ...]]:
    """Return examples that are kept together by their groups and by copies, where both can be.

    Rows of a coarse table are equal by chance, and then join the groups that a user names to one that is
    most of the data. If so, the named groups alone are kept together, and a note says it.

    Parameters
    ----------
    arrays
        The examples, with the groups that a user names if there are any.
    copies
        Copies among them.

    Returns
    -------
    arrays, copies, notes
        The examples with their groups; the copies that these keep together; and the note if there is one.
    """
    joined = with_groups(arrays, copies.groups)
    if arrays.groups is None or joined.groups is None:
        return joined, copies, ()
    n, named = len(arrays), number_groups(arrays.groups.cpu().numpy())
    largest = int(joined.groups.bincount().max())
    if largest <= _LARGEST_JOINED * n or largest == np.bincount(named).max():
        return joined, copies, ()
    n_named = count_groups(named)
    within, exact = (number_groups(groups * n_named + named) for groups in (copies.groups, copies.exact))
    parts = np.bincount(copies.groups[first_rows(within)])  # named groups per group of copies
    count, (_, many) = int((parts[copies.groups] > 1).sum()), words_for(arrays)
    note = (
        f"{count:,} of the {n:,} {many} equal {many} of other groups; kept together with these, {largest:,} "
        "would be one group, so only examples of one group share a side of every split"
    )
    return arrays, replace(copies, groups=within, exact=exact), (note,)


def _divisible(copies: Copies, labels: Ints) -> Copies:
    """Return copies without near-copies where only these keep the examples from being divided."""
    if not copies.n_near_copies or _can_be_divided(copies.groups, labels):
        return copies
    if not _can_be_divided(copies.exact, labels):
        return copies
    sizes, exact_sizes = np.bincount(copies.groups), np.bincount(copies.exact)
    is_joined = np.greater(sizes[copies.groups], exact_sizes[copies.exact])
    return Copies(copies.exact, copies.exact, int(is_joined.sum()))


def _can_be_divided(groups: Ints, labels: Ints) -> bool:
    """Return whether some group can be set aside so that the others still have every class."""
    n_groups = count_groups(groups)
    classes, members = np.divmod(np.unique(labels * n_groups + groups), n_groups)
    is_last = np.bincount(classes)[classes] == 1
    return len(np.unique(members[is_last])) < n_groups


def with_groups(arrays: Arrays, groups: Ints | None) -> Arrays:
    """Return examples that are kept together by these groups and by those that they have already."""
    if groups is None:
        return arrays
    if arrays.groups is not None:
        groups = join_groups(groups, arrays.groups.cpu().numpy())
    return replace(arrays, groups=torch.from_numpy(groups))


def words_for(arrays: Arrays) -> tuple[str, str]:
    """Return words for one and for several examples."""
    _, height, width = arrays.shape
    return ("row", "rows") if height == width == 1 else ("image", "images")


def _join_near_copies(exact: Ints, near: Ints, is_alike: NDArray[np.bool_]) -> Copies:
    """Return the copies with near-copies joined.

    Parameters
    ----------
    exact
        Group of equal examples of each example.
    near, is_alike
        Group of near-copies of each group of equal examples, and whether it is too alike to tell.
    """
    is_alike = are_too_alike(near, is_alike)
    near = np.where(is_alike, np.arange(len(near)), near)
    return Copies(number_groups(near[exact]), exact, int(is_alike[exact].sum()))


def are_too_alike(near: Ints, is_alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which images are of a group that is too large, or that has one that is too alike to tell."""
    sizes = np.bincount(near, minlength=len(near))
    too_large = sizes > max(_LARGEST_ALWAYS, _LARGEST_SHARE * len(near))
    too_large[near[is_alike]] = True
    return too_large[near]
