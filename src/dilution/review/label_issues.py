"""Label issues to review: read from a diagnosis on disk, chosen, and matched with the examples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.data import UnsplitData
from dilution.data.group_numbers import Ints
from dilution.data.id_table import ExampleIds, read_id_table
from dilution.data.label_values import is_missing
from dilution.data.labels import find_class
from dilution.errors import DataError, InputError
from dilution.utils.csv_cells import restore_text
from dilution.utils.strict_json import parse_json

LABEL_ISSUES, DIAGNOSIS = "label_issues.csv", "diagnosis.json"
MOST, FEWEST = 2000, 20
"""Bounds of the default number of examples to review."""

_COLUMNS = ("id", "given_label", "suggested_label", "p_wrong", "p_suggested")


@dataclass(frozen=True)
class DiagnosisFiles:
    """What a folder of ``dilution diagnose`` says.

    Parameters
    ----------
    folder
        The folder.
    name
        Name or path of the data, as it was given to ``diagnose``.
    label_issues
        One row per example, most suspicious first; texts but for the probabilities.
    """

    folder: Path
    name: str
    label_issues: pd.DataFrame


def read_diagnosis(folder: Path) -> DiagnosisFiles:
    """Return the label issues in a folder of ``dilution diagnose``, and the name of the data.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    InputError
        If the table has no rows: nothing was learned from the labels.
    """
    for name in (LABEL_ISSUES, DIAGNOSIS):
        if not (folder / name).is_file():
            raise DataError(
                f"{folder} has no {name}; it must be a folder of results of dilution diagnose. Name that "
                "folder, or diagnose the labels first."
            )
    table = read_id_table(folder / LABEL_ISSUES)
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        raise DataError(
            f"{table.path} lacks {', '.join(missing)}; label issues have the columns {', '.join(_COLUMNS)}. "
            "Diagnose the labels again."
        )
    frame = table.rows.frame.map(lambda cell: "" if is_missing(cell) else restore_text(str(cell)))
    if frame.empty:
        raise InputError(
            f"{table.path} has no rows: no model learned anything from these labels, so none can be called "
            "wrong. Diagnose with another model, or with more examples."
        )
    for name in ("p_wrong", "p_suggested"):
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if not numbers.between(0, 1).all():
            row = int(np.flatnonzero(~numbers.between(0, 1))[0])
            raise DataError(
                f"{table.path} has {name} {frame[name][row]!r} in {table.rows.name(row)}; it must be a "
                "probability. Diagnose the labels again."
            )
        frame[name] = numbers
    return DiagnosisFiles(folder, _read_name(folder / DIAGNOSIS), frame)


def choose_issues(
    label_issues: pd.DataFrame, n: int | None = None, n_random: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Return the label issues to review, most suspicious first.

    Parameters
    ----------
    label_issues
        As :func:`dilution.diagnosis.label_issues.rank_label_issues` returns them. Rows that are already
        verified, by their column ``state``, are left out.
    n
        Number of the most suspicious ones. Default: all that are an issue (column ``is_issue``, otherwise
        p_wrong above 0.5), at least 20 and at most 2,000.
    n_random
        Number of further examples, drawn from all others and appended.
    seed
        Seed of that draw.
    """
    issues = label_issues
    if "state" in issues:
        issues = issues[~_is_filled(issues["state"])]
    if n is None:
        n = min(max(int(_is_issue(issues).sum()), FEWEST), MOST)
    rest = np.arange(min(n, len(issues)), len(issues))
    drawn = np.sort(np.random.default_rng(seed).choice(rest, min(n_random, len(rest)), replace=False))
    chosen: pd.DataFrame = issues.iloc[np.concatenate([np.arange(min(n, len(issues))), drawn])]
    return chosen.reset_index(drop=True)


def match_issues(label_issues: pd.DataFrame, examples: UnsplitData, name: str = "the data") -> Ints:
    """Return the number of the example of each label issue, int64, shape (issues,).

    Raises
    ------
    InputError
        If an id is no example, or the label of an example is another one: the data were changed since.
    """
    ids, classes = ExampleIds(examples), examples.arrays.classes
    given_labels = class_numbers(label_issues["given_label"], classes)
    observed = examples.arrays.observed
    labels = (examples.arrays.labels if observed is None else observed).tolist()
    numbers = np.empty(len(label_issues), dtype=np.int64)
    for row, (text, given) in enumerate(zip(label_issues["id"].astype(str), given_labels, strict=True)):
        number = ids.find(text)
        if number is None:
            raise _other_data(f"{text!r} is among the label issues and no example of {name}; {ids.rule}")
        if given != labels[number]:
            raise _other_data(
                f"the label of {text!r} is {classes[given]!r} in the label issues and "
                f"{classes[labels[number]]!r} in {name}"
            )
        numbers[row] = number
    return numbers


def class_numbers(labels: "pd.Series[Any]", classes: tuple[str, ...]) -> list[int]:
    """Return the number of the class that each label names.

    Raises
    ------
    InputError
        If one names none.
    """
    texts = labels.astype(str)
    number_of: dict[str, int] = {name: number for number, name in enumerate(classes)}
    for text in texts.unique():
        if text not in number_of:
            number = find_class(text, classes)
            if number is None:
                raise _other_data(f"{text!r} is among the label issues and no class of the data")
            number_of[text] = number
    return [number_of[text] for text in texts]


def _other_data(difference: str) -> InputError:
    return InputError(
        f"{difference}. The data were changed since the diagnosis, or are others. Diagnose these, or name "
        "another with --data: the one that was diagnosed."
    )


def _is_filled(column: "pd.Series[Any]") -> Any:
    return column.notna() & (column.astype(str).str.strip() != "")


def _is_issue(issues: pd.DataFrame) -> Any:
    if "is_issue" in issues:
        return issues["is_issue"].astype(str).str.lower() == "true"
    return (issues["p_wrong"] > 0.5) & (issues["suggested_label"] != issues["given_label"])


def _read_name(path: Path) -> str:
    try:
        name = parse_json(path.read_bytes())["name"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Diagnose the labels again.") from error
    if not isinstance(name, str):
        raise DataError(f"{path} has no name of the data. Diagnose the labels again.")
    return name
