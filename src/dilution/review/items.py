"""The examples of a review, in order, with what a reviewer needs to judge each."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.data import UnsplitData, open_examples
from dilution.data.id_table import ExampleIds
from dilution.errors import InputError
from dilution.review.contents import Contents, read_cells, read_contents
from dilution.review.label_issues import choose_issues, class_numbers, match_issues
from dilution.utils.printable import one_line

_OWN_COLUMNS = {
    "index", "id", "place", "given_label", "suggested_label", "p_wrong", "p_suggested", "is_issue", "weight",
    "state", "verified_label", "verdict",
}  # fmt: skip


@dataclass(frozen=True)
class ReviewItems:
    """Examples to review, most suspicious first.

    Parameters
    ----------
    name
        Name of the data.
    classes
        Names of the classes.
    ids
        Id of each example, as in ``label_issues.csv``.
    given, suggested
        Class numbers, one per example.
    p_wrong, p_suggested
        Probabilities that the given label is wrong, and that the suggested one is right.
    contents
        Images or cells, one per example.
    """

    name: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    given: tuple[int, ...]
    suggested: tuple[int, ...]
    p_wrong: tuple[float, ...]
    p_suggested: tuple[float, ...]
    contents: Contents

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Number of each id."""
        return {name: number for number, name in enumerate(self.ids)}

    @cached_property
    def key(self) -> str:
        """SHA-256 of names, ids and labels: a browser keeps the answers to this review under it."""
        content = [self.name, self.classes, self.ids, self.given, self.suggested]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def collect_items(
    label_issues: pd.DataFrame,
    data: Any,
    *,
    label: str | None = None,
    ids: Any = None,
    name: str = "",
    n: int | None = None,
    n_random: int = 0,
    cells: pd.DataFrame | None = None,
    root: str | Path | None = None,
    log: Callable[[str], None] | None = None,
) -> tuple[ReviewItems, UnsplitData]:
    """Return the examples to review, and all examples with their ids.

    Parameters
    ----------
    label_issues
        As of a diagnosis: ``Diagnosis.label_issues``, or ``label_issues.csv`` as text.
    data
        The data that were diagnosed, as :func:`dilution.diagnose` takes them.
    label, ids
        As of :func:`dilution.diagnose`.
    name
        Name of the data on the page. Default: that by which they are loaded.
    n, n_random
        As of :func:`dilution.review.label_issues.choose_issues`.
    cells
        Rows to show, one per example of the data. Default: the row of a table, otherwise further columns of
        `label_issues`, otherwise the features.
    root
        Folder of downloaded data, as for :func:`dilution.load`.
    log
        Receives a line before each stage that may take seconds. Default: nobody is told.

    Raises
    ------
    InputError
        If the examples are not those of the label issues, there is nothing to review, or `cells` has another
        number of rows than the data.
    DataError
        If the data cannot be read.
    """
    log = log or (lambda _: None)
    log(f"reading {one_line(str(data)) if isinstance(data, str | Path) else 'the data'}")
    examples = open_examples(data, label=label, ids=ids, root=root)
    issues = choose_issues(label_issues, n, n_random)
    if issues.empty:
        reason = "the number of examples to review is 0" if n == 0 else "all labels are verified"
        raise InputError(
            f"there is nothing to review: {reason}. Ask for more examples, or go on to use them."
        )
    name = name or (str(data) if isinstance(data, str | Path) else "data")
    numbers = match_issues(issues, examples, name)
    if cells is not None:
        if len(cells) != len(examples.arrays):
            raise InputError(
                f"cells has {len(cells):,} rows for {len(examples.arrays):,} examples; there must be one row "
                "per example, in their order."
            )
        cells = cells.iloc[numbers]
    elif examples.arrays.shape[1:] == (1, 1):  # features
        further = issues[[column for column in issues.columns if column not in _OWN_COLUMNS]]
        cells = read_cells(data, examples.positions[numbers], label)
        if cells is None and len(further.columns):
            cells = further
    log(f"preparing {len(issues):,} examples for the page")
    classes = examples.arrays.classes
    items = ReviewItems(
        name,
        classes,
        tuple(map(ExampleIds(examples).ids.__getitem__, numbers)),
        tuple(class_numbers(issues["given_label"], classes)),
        tuple(class_numbers(issues["suggested_label"], classes)),
        tuple(np.round(issues["p_wrong"].astype(float), 6).tolist()),
        tuple(np.round(issues["p_suggested"].astype(float), 6).tolist()),
        read_contents(examples, numbers, data, cells),
    )
    return items, examples
