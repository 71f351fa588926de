"""The answers of a reviewer, as a file of verified labels: read, and written after every answer.

The file is ``verified_labels.csv``: one row per answered example, with the columns of ``COLUMNS`` and those
that a person added. If another program changes it while a review runs, it is read again before it is written,
and a copy of it is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pandas as pd

from dilution.data import UnsplitData
from dilution.data.id_table import ID, ExampleIds, read_id_table
from dilution.data.label_values import is_missing
from dilution.diagnosis.label_issues import VERDICT, VERIFIED_CORRECT, VERIFIED_WRONG
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.diagnosis.verified_labels import read_verified_labels
from dilution.errors import InputError
from dilution.review.items import ReviewItems
from dilution.review.label_issues import class_numbers
from dilution.utils.atomic import write_atomic
from dilution.utils.csv_cells import csv_bytes, restore_text
from dilution.utils.output_folder import claim, write_output

FILE_NAME = "verified_labels.csv"
LABEL = "verified_label"
COLUMNS = (ID, LABEL, "given_label", "suggested_label", VERDICT, "p_wrong")
_COMMAND = "review"
_VERDICTS = {VERIFIED_CORRECT: "correct", VERIFIED_WRONG: "wrong"}  # of a label issue that is verified
UNSURE = -1
"""The answer of a reviewer who cannot tell; other answers are class numbers."""

WRONG = WRONG_CLASS_UNKNOWN
"""The answer that the given label is wrong, without another class."""


@dataclass
class AnswerTable:
    """Rows of a file of verified labels, by id.

    Parameters
    ----------
    columns
        Names of the columns: those of ``COLUMNS``, then others.
    rows
        Cells of each id by column, in the order of the file.
    """

    columns: tuple[str, ...] = COLUMNS
    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def answers(self, items: ReviewItems) -> dict[int, int]:
        """Return the answers: item number → class number, ``UNSURE`` or ``WRONG``."""
        answers = {}
        for name, row in self.rows.items():
            item = items.number_of.get(name)
            if item is None:
                continue
            if row[LABEL].strip():
                (answers[item],) = class_numbers(pd.Series([row[LABEL]]), items.classes)
            elif row[VERDICT].strip().lower() == "unsure":
                answers[item] = UNSURE
            elif row[VERDICT].strip().lower() == "wrong":
                answers[item] = WRONG
        return answers

    def answer(self, items: ReviewItems, item: int, answer: int | None) -> None:
        """Set the answer to an item; None takes it back.

        A row stays when its answer is taken back if a person has written into a column of their own.
        """
        row = self.rows.setdefault(items.ids[item], dict.fromkeys(self.columns, ""))
        given = items.given[item]
        row[ID] = items.ids[item]
        row["given_label"] = items.classes[given]
        row["suggested_label"] = items.classes[items.suggested[item]]
        row["p_wrong"] = f"{items.p_wrong[item]:g}"
        row[LABEL] = "" if answer in (None, UNSURE, WRONG) else items.classes[answer]
        row[VERDICT] = verdict(answer, given)
        if answer is None and not any(row[name] for name in self.columns if name not in COLUMNS):
            del self.rows[items.ids[item]]

    def keep(self, label_issues: pd.DataFrame, ids: ExampleIds) -> int:
        """Add the label issues that are verified; return how many are left out, since they are no example."""
        n_left_out = 0
        for row in label_issues[label_issues["state"].isin(list(_VERDICTS))].to_dict("records"):
            number = ids.find(str(row[ID]))
            if number is None:
                n_left_out += 1
                continue
            name = ids.ids[number]
            texts = {column: str(row.get(column, "")) for column in COLUMNS}
            texts[VERDICT] = _VERDICTS[row["state"]]
            texts["p_wrong"] = f"{float(row['p_wrong']):g}"
            self.rows[name] = dict.fromkeys(self.columns, "") | texts | {ID: name}
        return n_left_out

    def to_csv(self) -> bytes:
        """Return the table as CSV."""
        return csv_bytes(pd.DataFrame(list(self.rows.values()), columns=list(self.columns), dtype=str))


def verdict(answer: int | None, given: int) -> str:
    """Return the verdict on a given label: ``"correct"``, ``"wrong"``, ``"unsure"``, or empty."""
    if answer is None:
        return ""
    return "unsure" if answer == UNSURE else "correct" if answer == given else "wrong"


def read_answers(path: Path, examples: UnsplitData) -> tuple[AnswerTable, tuple[str, ...]]:
    """Return the rows of a file of verified labels, and notes on what was converted; none if there is none.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it is no file of verified labels of these examples; see
        :func:`dilution.diagnosis.verified_labels.read_verified_labels`.
    """
    if not path.exists() and not path.is_symlink():
        return AnswerTable(), ()
    _, notes = read_verified_labels(path, examples)  # checks every id and class
    ids, table = ExampleIds(examples), read_id_table(path)
    columns = (*COLUMNS, *(name for name in table.columns if name not in COLUMNS))
    rows: dict[str, dict[str, str]] = {}
    for cells in table.rows.frame.to_dict("records"):
        texts = {
            str(name): "" if is_missing(cell) else restore_text(str(cell)) for name, cell in cells.items()
        }
        number = ids.find(texts[ID])
        name = texts[ID] if number is None else ids.ids[number]
        rows[name] = {column: texts.get(column, "") for column in columns} | {ID: name}
    return AnswerTable(columns, rows), notes


class AnswerFile:
    """A file of verified labels that is written after every answer. Threads may share it.

    Parameters
    ----------
    path
        The file; it need not exist.
    items
        The examples to review.
    examples
        All examples, whose ids the file may have.
    label_issues
        Label issues of the diagnosis. If there is no file yet, verified ones are written with the answers, so
        that the file alone has all that is known. Default: none.

    Raises
    ------
    DataError
        If an existing file cannot be read.
    InputError
        If it has labels of other examples or classes.
    """

    def __init__(
        self, path: Path, items: ReviewItems, examples: UnsplitData, label_issues: pd.DataFrame | None = None
    ) -> None:
        self.path = path
        self._items, self._examples, self._lock = items, examples, Lock()
        is_new = not path.exists()
        self._table, self.notes = read_answers(path, examples)
        if is_new and label_issues is not None and "state" in label_issues:
            n_left_out = self._table.keep(label_issues, ExampleIds(examples))
            if count := len(self._table.rows):
                subject = "1 verified label" if count == 1 else f"{count:,} verified labels"
                self.notes = (*self.notes, f"{path.name} will have {subject} of the diagnosis too")
            if n_left_out:
                subject = "1 verified label is" if n_left_out == 1 else f"{n_left_out:,} verified labels are"
                self.notes = (*self.notes, f"{subject} left out: the diagnosis has ids of no example here")

    @property
    def table(self) -> AnswerTable:
        """The rows as they are in the file."""
        return self._table

    def answers(self) -> dict[int, int]:
        """Return the answers so far, as :meth:`AnswerTable.answers`."""
        with self._lock:
            return self._table.answers(self._items)

    def record(self, answers: Iterable[tuple[int, int | None]]) -> str:
        """Write answers, and return a sentence if the file was changed by somebody else; otherwise ``""``.

        Raises
        ------
        DilutionError
            If the file cannot be written, or was changed so that it cannot be read. It is then unchanged.
        """
        answers = list(answers)
        with self._lock:
            try:
                self._write(self._table, answers)
            except InputError:  # somebody else has written or changed the file
                table, _ = read_answers(self.path, self._examples)
                copy = _free_name(self.path)
                write_atomic(copy, self.path.read_bytes())
                claim(self.path.parent, [self.path.name], overwrite=True)
                self._write(table, answers)
                return (
                    f"{self.path.name} was written or changed by another program; its rows are kept, and the "
                    f"file as it was is {copy.name}"
                )
        return ""

    def finish(self) -> None:
        """Wait until an answer that is being written is in the file."""
        with self._lock:
            return

    def _write(self, table: AnswerTable, answers: Iterable[tuple[int, int | None]]) -> None:
        changed = AnswerTable(table.columns, {name: dict(row) for name, row in table.rows.items()})
        for item, answer in answers:
            changed.answer(self._items, item, answer)
        write_output(self.path, changed.to_csv(), _COMMAND)
        self._table = changed


def count_verdicts(items: ReviewItems, answers: Mapping[int, int]) -> dict[str, int]:
    """Return how many answers have each verdict: correct, wrong, unsure."""
    counts = dict.fromkeys(("correct", "wrong", "unsure"), 0)
    for item, answer in answers.items():
        counts[verdict(answer, items.given[item])] += 1
    return counts


def _free_name(path: Path) -> Path:
    """Return the first name like ``verified_labels.1.csv`` that no file has."""
    number = 1
    while (copy := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return copy
