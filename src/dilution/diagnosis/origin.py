"""What the user gave to a diagnosis: a table, a folder of images or arrays, which can be cleaned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.clean_labels import CleanLabels
from dilution.errors import InputError
from dilution.utils.csv_cells import csv_bytes


class Origin(Protocol):
    """What the user gave."""

    @property
    def cleaned_name(self) -> str:
        """Name of the file of the cleaned data, such as ``"cleaned.csv"``."""

    def check_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return names of columns, all for ``("all",)``; raise InputError if one does not exist."""

    def check_cleaning(self, *, has_weights: bool) -> None:
        """Raise InputError if cleaned data could not be written."""

    def read_text(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of all rows as text, in the order of the user; empty where a cell is."""

    def with_table(self, clean: CleanLabels) -> CleanLabels:
        """Return clean labels with the cleaned DataFrame, if this is one."""

    def cleaned(self, clean: CleanLabels, folder: Path) -> bytes:
        """Return the file of the cleaned data, to be written into a folder."""


class ExamplesOrigin:
    """Examples that are no table: images of a folder, arrays, a built-in data set.

    Methods are those of :class:`Origin`.

    Parameters
    ----------
    names
        Paths of the images in `folder`, in the order of the examples. None: examples have only positions.
    folder
        Folder of the images.
    """

    cleaned_name = "cleaned.csv"

    def __init__(self, names: Sequence[str] | None = None, folder: Path | None = None) -> None:
        self._names, self._folder = names, folder

    def check_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Raise InputError: there are no columns."""
        raise InputError(
            f"the columns {', '.join(columns)} are to be shown, and these data are no table. Leave out "
            "--columns."
        )

    def check_cleaning(self, *, has_weights: bool) -> None:
        """Do nothing: a list of labels can always be written."""

    def read_text(self, columns: Sequence[str]) -> pd.DataFrame:
        """Raise InputError as :meth:`check_columns` does."""
        return pd.DataFrame(columns=list(self.check_columns(columns)))

    def with_table(self, clean: CleanLabels) -> CleanLabels:
        """Return clean labels as they are."""
        return clean

    def cleaned(self, clean: CleanLabels, folder: Path) -> bytes:
        """Return a CSV file with one row per example that is kept.

        Images of a folder have the columns ``path``, relative to the folder of the file, and ``label``; other
        examples ``index`` and ``label``. A column ``label_weight`` follows if the policy is to weight.
        """
        if self._names is None or self._folder is None:
            examples: pd.DataFrame = pd.DataFrame({"index": clean.positions})
        else:
            start, end = self._folder.resolve(), folder.resolve()
            examples = pd.DataFrame({"path": [relative_path(start / name, end) for name in self._names]})
        examples["label"] = np.array(clean.classes, dtype=object)[clean.labels]
        if clean.has_weights:
            examples[WEIGHT_COLUMN] = clean.weights
        return csv_bytes(examples[clean.keep])


def relative_path(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder; the whole path where both are on different drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # of Windows
        return path.as_posix()
