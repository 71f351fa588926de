"""Different examples of a pilot: a plan counts their labels, and not those of copies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dilution.data import Arrays, DataSet
from dilution.data.duplicates import find_copies, words_for
from dilution.data.group_numbers import Ints, count_groups
from dilution.errors import InputError

Floats = NDArray[np.float64]

MOST_PER_EXAMPLE = 1.2
"""Images per different example from which on a pilot is refused.

More copies in the larger runs than in the smaller ones bend the law: at one noise level an example with two
copies has twice the labels, clean and noisy, and pooling them makes noise look cheaper than it is.
"""

_DISAGREEING = 0.05  # share of groups of equal rows with several labels: then rows are equal by chance

N_DISTINCT, N_TEST_DISTINCT = "n_distinct", "n_test_distinct"
"""Columns of a pilot: different ones among the n clean examples, and effective number of test examples."""


@dataclass(frozen=True)
class DistinctExamples:
    """Copies among the examples of a plan.

    Named groups, such as patients, are no copies: each of their examples counts.

    Parameters
    ----------
    sizes
        Number of copies of each different training example, itself included, int64, shape (distinct,).
    n_test
        Effective number of test examples: N²/Σ m² with m copies of each.
    words
        Words for one and for several examples.
    notes
        Notes on how examples are counted, one sentence each.
    """

    sizes: Ints
    n_test: float
    words: tuple[str, str]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: DataSet) -> DistinctExamples:
        """Return the copies in a data set whose labels are trusted."""
        (of_train, by_chance), (of_test, _) = map(_copies, (data.train, data.test))
        if by_chance:
            of_test = np.arange(len(data.test))
        sizes, in_test = np.bincount(of_train), np.bincount(of_test)
        distinct = cls(sizes, float(in_test.sum() ** 2 / (in_test**2).sum()), words_for(data.train))
        return cls(sizes, distinct.n_test, distinct.words, distinct._describe(data, by_chance=by_chance))

    @property
    def n(self) -> int:
        """Number of training examples, copies included."""
        return int(self.sizes.sum())

    def count(self, n: ArrayLike) -> Floats:
        """Return how many of n examples that are drawn at random differ, on average.

        A group of m copies is missed with probability (1 − n/N)^m, to the order of 1/N.

        Parameters
        ----------
        n
            Numbers of examples, from 0 to the number of training examples, shape (...).
        """
        if len(self.sizes) == self.n:
            return np.asarray(n, dtype=np.float64)
        missed = 1 - np.asarray(n, dtype=np.float64) / self.n
        m, groups = np.unique(self.sizes, return_counts=True)
        counts: Floats = ((1 - missed[..., None] ** m) * groups).sum(axis=-1)
        return counts

    def largest_pilot(self) -> int:
        """Return the largest number of examples of a run in which few enough are copies."""
        n = np.arange(1, self.n + 1)
        return int(np.count_nonzero(n <= MOST_PER_EXAMPLE * self.count(n)))

    def check(self, n: int, least: int) -> None:
        """Refuse a pilot with many copies.

        Parameters
        ----------
        n
            Largest number of examples of a run.
        least
            Least number of examples that a pilot takes.

        Raises
        ------
        InputError
            If more than :data:`MOST_PER_EXAMPLE` images show one example, on average.
        """
        if n <= (most := self.largest_pilot()):
            return
        one, many = self.words
        remedy = f"Give --pilot-n {most} (pilot_n={most}), or keep" if most >= least else "Keep"
        of_table = ", as pandas does with rows.drop_duplicates()" if one == "row" else ""
        per_example = n / float(self.count(n))
        raise InputError(
            f"the {self.n:,} training {many} are {len(self.sizes):,} different ones and their copies, and "
            f"runs with {n:,} of them have {per_example:.1f} {many} per different one; copies teach "
            f"less than different {many}, so that a plan takes at most {MOST_PER_EXAMPLE:g}. "
            f"{remedy} one {one} per example{of_table}."
        )

    def add_to(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return the runs of a pilot with the columns ``n_distinct`` and ``n_test_distinct``."""
        return runs.assign(**{N_DISTINCT: self.count(runs["n"]), N_TEST_DISTINCT: self.n_test})

    def _describe(self, data: DataSet, *, by_chance: bool) -> tuple[str, ...]:
        """Return notes on how examples are counted."""
        one, many = self.words
        if by_chance:
            return (
                f"labels of equal {many} differ, so that these are not taken to be copies of one {one}: a "
                "plan counts all of them",
            )
        notes: tuple[str, ...] = ()
        if n_copies := self.n - len(self.sizes):
            verb = f"is a copy of another {one}" if n_copies == 1 else f"are copies of other {many}"
            notes += (
                f"{n_copies:,} of the {self.n:,} training {many} {verb}; a plan counts labels of different "
                f"{many}",
            )
        if len(data.test) - round(self.n_test):
            notes += (
                f"with copies the {len(data.test):,} test {many} measure accuracy as closely as "
                f"{self.n_test:,.0f} different {many}",
            )
        groups = data.train.split_groups
        if groups is not None and count_groups(groups.numpy()) < len(self.sizes):
            notes += (
                f"{many} of one named group count as different {many} in a plan; the error of test accuracy "
                "that comes from the choice of groups is not included",
            )
        return notes


def _copies(split: Arrays) -> tuple[Ints, bool]:
    """Return the example that each image shows, int64, shape (n,), and whether rows are equal by chance.

    Rows of a coarse table may be equal and yet different examples. Then trusted labels of equal rows differ.
    """
    copies = find_copies(split.images, near=split.split_groups is not None).groups
    _, height, width = split.shape
    if height == width == 1:
        labels_of_group = np.unique(np.stack([copies, split.labels.numpy()]), axis=1)[0]
        n_labels, sizes = np.bincount(labels_of_group), np.bincount(copies)
        if (n_labels[sizes > 1] > 1).sum() > _DISAGREEING * (sizes > 1).sum():
            return np.arange(len(split)), True
    return copies, False


def n_distinct(runs: pd.DataFrame) -> pd.Series[float]:
    """Return the different examples of each run of a pilot; all n where copies were not counted."""
    return runs[N_DISTINCT if N_DISTINCT in runs else "n"].astype(float)


def n_test_distinct(runs: pd.DataFrame) -> float:
    """Return the effective number of test examples of a pilot; all where copies were not counted."""
    return math.floor(float(runs[N_TEST_DISTINCT if N_TEST_DISTINCT in runs else "n_test"].max()) + 1e-9)
