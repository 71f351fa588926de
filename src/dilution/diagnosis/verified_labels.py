"""Verified labels: labels that somebody has looked up, read from a mapping or a CSV file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from dilution.data import UnsplitData
from dilution.data.id_table import ID, ExampleIds, IdTable, read_id_table
from dilution.data.label_values import is_missing
from dilution.data.labels import find_class
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import LEVEL
from dilution.diagnosis.copies import clustered_share
from dilution.errors import InputError, unknown
from dilution.utils.csv_cells import restore_text
from dilution.utils.estimate import UNKNOWN, Estimate
from dilution.utils.migration import new_verified_columns, warn

COLUMNS = (ID, "verified_label")


def read_verified_labels(
    verified: str | Path | Mapping[str, str] | None, examples: UnsplitData
) -> tuple[Ints, tuple[str, ...]]:
    """Return the verified class of each example, and notes.

    Parameters
    ----------
    verified
        Id of an example → its class, or the path of a CSV file with the columns ``id`` and
        ``verified_label``, written as tables may be (:func:`dilution.data.load`). Rows with a blank
        ``verified_label`` are ignored, so ``label_issues.csv`` with such a column, filled in for some rows,
        is a valid file.
    examples
        The examples, with their ids.

    Returns
    -------
    classes
        int64, shape (n,); −1 where there is none.
    notes
        What was converted, one sentence per kind.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If a column is missing, an id or class does not exist, or an example has two verified labels.
    """
    if verified is None:
        return np.full(len(examples.arrays), -1, dtype=np.int64), ()
    matcher = _Matcher(examples)
    if isinstance(verified, Mapping):
        for name, label in verified.items():
            if not is_missing(label) and str(label).strip():
                matcher.add(str(name), str(label), f"id {str(name)!r}")
        return matcher.classes, matcher.notes()
    table = read_id_table(verified)
    try:
        for name, label, row in _rows(table):
            matcher.add(name, label, row)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error
    return matcher.classes, (*(f"{table.path}: {note}" for note in table.rows.notes), *matcher.notes())


class _Matcher:
    """Finds the example and the class of each verified label."""

    def __init__(self, examples: UnsplitData) -> None:
        self._examples = ExampleIds(examples)
        self._ids = self._examples.ids
        self._names = examples.arrays.classes
        self.classes = np.full(len(examples.arrays), -1, dtype=np.int64)
        self._origins: dict[int, str] = {}
        self._repeated: list[str] = []
        self._converted: list[tuple[str, str]] = []

    def add(self, name: str, label: str, origin: str) -> None:
        """Add the verified label of an example; `origin` says where it was read."""
        index = self._examples.find(name)
        if index is None:
            raise InputError(
                f"{origin} has a verified label of {name!r}, which is no example; {self._examples.rule}. "
                "Correct the id, or delete the row."
            )
        number = self._class(label, f"the verified label of {self._ids[index]!r} ({origin})")
        before = int(self.classes[index])
        if before not in (-1, number):
            raise InputError(
                f"{self._ids[index]!r} has two verified labels, {self._names[before]!r} "
                f"({self._origins[index]}) and {self._names[number]!r} ({origin}); an example has one true "
                "label. Delete one of them."
            )
        if before == number:
            self._repeated.append(self._ids[index])
        self.classes[index], self._origins[index] = number, origin
        if label != self._names[number]:
            self._converted.append((label, self._names[number]))

    def notes(self) -> tuple[str, ...]:
        """Return one sentence per kind of conversion."""
        notes = []
        if self._converted:
            count, (text, name) = len(self._converted), self._converted[0]
            subject = "verified label is" if count == 1 else "verified labels are"
            notes.append(f"{count:,} {subject} spelled unlike the class, the first is {text!r} for {name!r}")
        if self._repeated:
            count = len(self._repeated)
            subject = "verified label occurs" if count == 1 else "verified labels occur"
            notes.append(f"{count:,} {subject} again with the same class, the first of {self._repeated[0]!r}")
        return tuple(notes)

    def _class(self, text: str, subject: str) -> int:
        for label in (text, restore_text(text)):
            number = find_class(label, self._names)
            if number is not None:
                return number
        raise InputError(f"{subject} names no class: {unknown('class', text, self._names)}")


def describe_verified_copies(verified: Ints, copies: Ints, examples: UnsplitData) -> tuple[str, ...]:
    """Return notes on verified labels of copies, one sentence per kind; none if no copy is verified.

    A verified label counts for its own example only: near-copies, and rows that are equal by chance, may be
    of several classes.

    Parameters
    ----------
    verified
        As :func:`read_verified_labels` returns it.
    copies
        Group of copies of each example, int64, shape (n,).
    examples
        The examples.
    """
    known = np.flatnonzero(verified >= 0)
    if not len(known):
        return ()
    ids, names = ExampleIds(examples).ids, examples.arrays.classes
    is_verified = np.isin(copies, copies[known])
    notes = []
    _, first, of_known = np.unique(copies[known], return_index=True, return_inverse=True)
    before = known[first][of_known.reshape(-1)]  # the first verified copy of each verified example
    other = known[verified[known] != verified[before]]
    if len(other):
        count, second = len(np.unique(copies[other])), int(other[0])
        one = int(before[np.searchsorted(known, second)])
        start = "1 example has copies" if count == 1 else f"{count:,} examples have copies"
        notes.append(
            f"{start} with verified labels of different classes, the first is {ids[one]!r} of class "
            f"{names[verified[one]]!r}, whose copy {ids[second]!r} is of class {names[verified[second]]!r}"
        )
    unverified = np.flatnonzero(is_verified & (verified < 0))
    if len(unverified):
        twins = known[np.isin(copies[known], copies[unverified])]
        one = int(twins[0])
        second = int(unverified[copies[unverified] == copies[one]][0])
        start = "1 verified example has" if len(twins) == 1 else f"{len(twins):,} verified examples have"
        notes.append(
            f"{start} copies without a verified label, the first is {ids[one]!r} with the copy "
            f"{ids[second]!r}; a verified label counts for its own example only"
        )
    return tuple(notes)


def verified_noise_rate(verified: Ints, labels: Ints, groups: Ints | None = None) -> Estimate:
    """Return the share of wrong labels among the verified ones, with Wilson's 95 % interval (1927).

    Where several verified examples are of one group, the interval has the effective number of labels
    (:func:`dilution.diagnosis.copies.clustered_share`): labels of copies are often copied with them.

    Parameters
    ----------
    verified
        As :func:`read_verified_labels` returns it.
    labels
        Noisy labels, int64, shape (n,).
    groups
        Group of each example, int64, shape (n,); copies are a group. Default: each example is a group.

    Returns
    -------
    Estimate
        NaN if no label is verified.
    """
    known = verified >= 0
    if not known.any():
        return UNKNOWN
    wrong = verified[known] != labels[known]
    if groups is not None and len(np.unique(groups[known])) < len(wrong):
        return clustered_share(wrong.astype(np.float64), np.ones(len(wrong)), groups[known])
    test = binomtest(int(wrong.sum()), len(wrong))
    low, high = test.proportion_ci(LEVEL, method="wilson")
    return Estimate(float(test.statistic), float(low), float(high))


def _rows(table: IdTable) -> Iterator[tuple[str, str, str]]:
    """Yield id, verified label and name of each row that has one."""
    renamed = new_verified_columns(table.columns)
    if renamed:
        warn(f"the file of verified labels {table.path}", renamed)
    for column in COLUMNS:
        if column not in {renamed.get(name, name) for name in table.columns}:
            raise InputError(
                f"the file has the columns {', '.join(table.columns)} and lacks {column!r}; verified labels "
                "need id and verified_label. Add a column verified_label to label_issues.csv."
            )
    yield from table.values(COLUMNS[1], renamed)
