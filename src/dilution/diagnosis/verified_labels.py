"""Verified labels: labels that somebody has looked up, read from a mapping or a CSV file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from dilution.data import UnsplitData
from dilution.data.class_names import normal_form, without_fraction
from dilution.data.formats.table_files import open_table
from dilution.data.label_values import is_missing
from dilution.data.labels import find_class
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.bootstrap import LEVEL
from dilution.errors import DataError, InputError, unknown
from dilution.utils.csv_cells import restore_text
from dilution.utils.estimate import UNKNOWN, Estimate
from dilution.utils.migration import new_verified_columns, warn

COLUMNS = ("id", "verified_label")


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
    else:
        for name, label, row in _read_file(verified):
            matcher.add(name, label, row)
    return matcher.classes, matcher.notes()


class _Matcher:
    """Finds the example and the class of each verified label."""

    def __init__(self, examples: UnsplitData) -> None:
        n = len(examples.arrays)
        self._ids = examples.names if examples.names is not None else tuple(map(str, range(n)))
        self._index_of = {name: index for index, name in enumerate(self._ids)}
        self._index_of_form = {normal_form(name): index for index, name in enumerate(self._ids)}
        self._names = examples.arrays.classes
        self.classes = np.full(n, -1, dtype=np.int64)
        self._origins: dict[int, str] = {}
        self._repeated: list[str] = []
        self._converted: list[tuple[str, str]] = []

    def add(self, name: str, label: str, origin: str) -> None:
        """Add the verified label of an example; `origin` says where it was read."""
        index, number = self._example(name), self._class(label)
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

    def _example(self, text: str) -> int:
        for name in (text, restore_text(text)):
            if name in self._index_of:
                return self._index_of[name]
        form = normal_form(text)
        for name in (form, without_fraction(form)):
            if name in self._index_of_form:
                return self._index_of_form[name]
        raise InputError(
            f"the verified label of {text!r} belongs to no example; ids are those of label_issues.csv: "
            f"{self._ids[0]!r} to {self._ids[-1]!r}. Correct the id, or delete the row."
        )

    def _class(self, text: str) -> int:
        for label in (text, restore_text(text)):
            number = find_class(label, self._names)
            if number is not None:
                return number
        raise unknown("class", text, self._names)


def verified_noise_rate(verified: Ints, labels: Ints) -> Estimate:
    """Return the share of wrong labels among the verified ones, with Wilson's 95 % interval (1927).

    Parameters
    ----------
    verified
        As :func:`read_verified_labels` returns it.
    labels
        Noisy labels, int64, shape (n,).

    Returns
    -------
    Estimate
        NaN if no label is verified.
    """
    known = verified >= 0
    if not known.any():
        return UNKNOWN
    test = binomtest(int((verified[known] != labels[known]).sum()), int(known.sum()))
    low, high = test.proportion_ci(LEVEL, method="wilson")
    return Estimate(float(test.statistic), float(low), float(high))


def _read_file(verified: str | Path) -> Iterator[tuple[str, str, str]]:
    """Yield id, verified label and name of each row that has one."""
    path, options = _split_options(Path(verified))
    try:
        table = open_table(path, options)
        renamed = new_verified_columns(table.columns)
        if renamed:
            warn(f"the file of verified labels {path}", renamed)
        rows = table.read(text_columns=table.columns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    frame = rows.frame.rename(columns=renamed)
    for column in COLUMNS:
        if column not in frame.columns:
            raise InputError(
                f"{path} has the columns {', '.join(table.columns)} and lacks {column!r}; verified labels "
                "need id and verified_label. Add a column verified_label to label_issues.csv."
            )
    for row, (name, label) in enumerate(zip(frame["id"], frame["verified_label"], strict=True)):
        if is_missing(label) or not str(label).strip():
            continue
        if is_missing(name):
            raise InputError(f"{path}: {rows.name(row)} has a verified label and no id. Fill in its id.")
        yield str(name), str(label), rows.name(row)


def _split_options(path: Path) -> tuple[Path, str]:
    """Return the path of the file and its options, which may follow a ``#``, as in the name of a table."""
    if path.exists():
        return path, ""
    name, _, options = path.name.rpartition("#")
    if name and path.with_name(name).exists():
        return path.with_name(name), options
    raise DataError(f"{path} cannot be read: it does not exist. Name an existing CSV file.")
