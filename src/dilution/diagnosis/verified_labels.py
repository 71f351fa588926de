"""Verified labels: labels that somebody has looked up, read from a mapping or a CSV file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilution.data import Arrays, UnsplitData
from dilution.data.id_table import ID, ExampleIds, IdTable, find_id_file, read_id_table
from dilution.data.label_values import is_missing
from dilution.data.labels import find_class
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import LEVEL
from dilution.diagnosis.copies import clustered_share
from dilution.diagnosis.label_issues import VERDICT
from dilution.diagnosis.label_studio import read_label_studio
from dilution.diagnosis.reviewer_columns import ReviewerColumns, read_reviewer_columns
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.errors import DataError, InputError, short_repr, unknown
from dilution.utils.csv_cells import restore_text
from dilution.utils.estimate import UNKNOWN, Estimate
from dilution.utils.migration import new_verified_columns, warn
from dilution.utils.output_folder import file_digest

COLUMNS = (ID, "verified_label")
_WRONG = "wrong"


@dataclass(frozen=True)
class VerifiedLabels:
    """Verified labels of the examples, and the reviewer's own columns.

    Parameters
    ----------
    classes
        Verified class of each example, ``WRONG_CLASS_UNKNOWN`` where its label is known to be wrong and no
        class is named, −1 where nobody has looked: int64, shape (n,).
    notes
        What was converted, joined or left out, one sentence per kind.
    reviewer_columns
        Further columns of the file; None: the labels are from no file.
    """

    classes: Ints
    notes: tuple[str, ...] = ()
    reviewer_columns: ReviewerColumns | None = None


def read_verified_labels(
    verified: str | Path | Mapping[str, str] | None, examples: UnsplitData
) -> tuple[Ints, tuple[str, ...]]:
    """Return the verified class of each example, −1 where there is none, and notes.

    Parameters and errors are those of :func:`open_verified_labels`.
    """
    labels = open_verified_labels(verified, examples)
    return labels.classes, labels.notes


def open_verified_labels(
    verified: str | Path | Mapping[str, str] | None, examples: UnsplitData
) -> VerifiedLabels:
    """Return the verified class of each example, with the reviewer's own columns and notes.

    Parameters
    ----------
    verified
        Id of an example → its class, or the path of a CSV file with the columns ``id`` and
        ``verified_label``, written as tables may be (:func:`dilution.data.load`). Rows with a blank
        ``verified_label`` are ignored, so ``label_issues.csv`` with such a column, filled in for some rows,
        is a valid file; but a row without one and with ``wrong`` in a column ``verdict`` says that the given
        label is wrong, and of two classes the other one right. Or the path of a JSON file that Label Studio
        exported (:func:`dilution.diagnosis.label_studio.read_label_studio`).
    examples
        The examples, with their ids.

    Raises
    ------
    DataError
        If the file cannot be read, or is changed meanwhile.
    InputError
        If a column is missing, an id or class does not exist, or an example has two verified labels.
    """
    if verified is None:
        return VerifiedLabels(np.full(len(examples.arrays), -1, dtype=np.int64))
    matcher = _Matcher(examples)
    notes: tuple[str, ...] = ()
    if not isinstance(verified, Mapping) and Path(verified).suffix.lower() == ".json":
        verified, notes = read_label_studio(Path(verified))
    if isinstance(verified, Mapping):
        for name, label in verified.items():
            if not is_missing(label) and str(label).strip():
                matcher.add(str(name), str(label), f"id {str(name)!r}")
        return VerifiedLabels(matcher.classes, (*notes, *matcher.notes()))
    table, digest = _read_whole(verified)
    try:
        labelled = set()
        for name, label, row in _rows(table):
            matcher.add(name, label, row)
            labelled.add(row)
        for name, verdict, row in table.values(VERDICT, {}) if VERDICT in table.columns else ():
            if verdict.strip().lower() == _WRONG and row not in labelled:
                matcher.add_wrong(name, row)
        columns = read_reviewer_columns(table, digest, matcher.examples)
        n_wrong = int((matcher.classes == WRONG_CLASS_UNKNOWN).sum())
        classes = _other_of_two(matcher.classes, examples.arrays)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from error
    notes = (*(f"{table.path}: {note}" for note in table.rows.notes), *matcher.notes(), *columns.notes)
    if n_wrong:
        subject = "1 label is" if n_wrong == 1 else f"{n_wrong:,} labels are"
        which = (
            "which names no other class"
            if classes is matcher.classes
            else "so that the other one of the two classes is right"
        )
        notes = (*notes, f"{subject} wrong by the column {VERDICT!r}, {which}")
    return VerifiedLabels(classes, notes, columns)


def _other_of_two(verified: Ints, arrays: Arrays) -> Ints:
    """Return the verified classes; of two classes a label that is wrong names the other one."""
    if len(arrays.classes) != 2:
        return verified
    given = arrays.labels if arrays.observed is None else arrays.observed
    return np.where(verified == WRONG_CLASS_UNKNOWN, 1 - given.numpy(), verified)


def _read_whole(file: str | Path) -> tuple[IdTable, str]:
    """Return the table in a file, and the digest of its content."""
    path = find_id_file(file)
    digest = file_digest(path) if path.is_file() else ""
    table = read_id_table(file)
    if file_digest(path) != digest:
        raise DataError(
            f"{path} was changed while it was read. Close the program that writes it, and try again."
        )
    return table, digest


class _Matcher:
    """Finds the example and the class of each verified label."""

    def __init__(self, examples: UnsplitData) -> None:
        self.examples = ExampleIds(examples)
        self._ids = self.examples.ids
        self._names = examples.arrays.classes
        self.classes = np.full(len(examples.arrays), -1, dtype=np.int64)
        self._origins: dict[int, str] = {}
        self._repeated: list[str] = []
        self._converted: list[tuple[str, str]] = []

    def add(self, name: str, label: str, origin: str) -> None:
        """Add the verified label of an example; `origin` says where it was read."""
        index = self._index(name, origin)
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

    def add_wrong(self, name: str, origin: str) -> None:
        """Add an example whose label is known to be wrong without a class that is right."""
        index = self._index(name, origin)
        if self.classes[index] >= 0:
            raise InputError(
                f"{self._ids[index]!r} has the verified label {self._names[self.classes[index]]!r} "
                f"({self._origins[index]}) and is said to be wrong without one ({origin}). Delete one row."
            )
        self.classes[index], self._origins[index] = WRONG_CLASS_UNKNOWN, origin

    def _index(self, name: str, origin: str) -> int:
        index = self.examples.find(name)
        if index is None:
            raise InputError(
                f"{origin} has a verified label of {short_repr(name)}, which is no example; "
                f"{self.examples.rule}. Correct the id, or delete the row."
            )
        return index

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
            f"{short_repr(names[verified[one]])}, whose copy {ids[second]!r} is of class "
            f"{short_repr(names[verified[second]])}"
        )
    unverified = np.flatnonzero(is_verified & (verified == -1))
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
    known = verified != -1
    if not known.any():
        return UNKNOWN
    wrong = verified[known] != labels[known]
    if groups is not None and len(np.unique(groups[known])) < len(wrong):
        return clustered_share(wrong.astype(np.float64), np.ones(len(wrong)), groups[known])
    from scipy.stats import binomtest  # lazily: it takes a while to import

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
