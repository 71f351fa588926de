"""CSV files that were diagnosed: their columns as text, and the file again with clean labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.data.formats.csv_records import CsvRecords
from dilution.data.formats.csv_table import CsvTable
from dilution.data.label_weights import WEIGHT_COLUMN
from dilution.diagnosis.anchors import Ints
from dilution.diagnosis.clean_labels import CleanLabels
from dilution.diagnosis.origin import relative_path
from dilution.diagnosis.table_origin import FileOrigin
from dilution.errors import InputError

_SPELLINGS = 100  # labels of a class whose spelling is counted
_DECIMAL_COMMA, _DECIMAL_POINT = re.compile(r"[+-]?\d+,\d+"), re.compile(r"[+-]?\d+\.\d+")
_SAMPLED = 200  # rows from which the decimal mark is told


class CsvOrigin(FileOrigin):
    """A CSV file. Cells that do not change keep their text, quotes and blanks, and the file its encoding.

    Relative paths in a list of images are written as seen from the folder of the cleaned file.
    """

    def __init__(
        self, path: Path, table: CsvTable, label: str, decimal: str | None, paths: str | None
    ) -> None:
        super().__init__(path, table, label)
        self._csv, self._decimal, self._paths = table, decimal, paths
        self._examples = "without a label" if paths is None else "without a label or a readable image"
        self.cleaned_name = f"cleaned{path.suffix.lower()}"

    @cached_property
    def _records(self) -> CsvRecords:
        self._check_unchanged()
        return self._csv.read_records()

    @property
    def _n_rows(self) -> int:
        return len(self._records.rows)

    def read_text(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of all rows as text; empty where a cell is."""
        self._check_unchanged()
        return self._csv.read_text(columns)[list(columns)].fillna("")

    def cleaned(self, clean: CleanLabels, folder: Path) -> bytes:
        """Return the file with clean labels."""
        records, column = self._records, self._csv.columns.index(self._label)
        edits = self._edits(clean, self._usual_spellings(clean))
        rows = []
        for row, record in enumerate(records.rows):
            if not edits.keep[row]:
                continue
            text = record
            if row in edits.names:
                text = records.with_cell(text, column, records.quoted(edits.names[row]))
            elif edits.sources[row] != row:
                text = records.with_cell(text, column, records.cell(records.rows[edits.sources[row]], column))
            if self._paths is not None:
                text = self._with_moved_path(text, folder)
            if clean.has_weights:
                text = records.with_last_cell(text, self._number(edits.weights[row]))
            rows.append(text + records.blanks[row])
        header = records.header
        try:
            return records.encode(
                records.with_last_cell(header, WEIGHT_COLUMN) if clean.has_weights else header, rows
            )
        except UnicodeEncodeError as error:
            raise InputError(
                f"a class has {error.object[error.start : error.end]!r} in its name, which the encoding "
                f"{error.encoding} of {self._path} lacks. Save the file in the encoding UTF-8."
            ) from error

    def _with_moved_path(self, record: str, folder: Path) -> str:
        """Return a row of a list of images with its path as seen from another folder."""
        place = self._csv.columns.index(str(self._paths))
        (cell,) = next(self._records.dialect.reader([self._records.cell(record, place)]), [""])
        path = self._path.parent / cell.strip()
        if path == Path(cell.strip()) or folder.resolve() == self._path.parent.resolve():
            return record  # it is absolute, or nothing moves
        moved = relative_path(path, folder.resolve())
        return self._records.with_cell(record, place, self._records.quoted(moved))

    def _usual_spellings(self, clean: CleanLabels) -> Ints:
        """Return for each class a row in which its label is spelled as in most of the first rows."""
        records, column = self._records, self._csv.columns.index(self._label)
        sources = np.full(len(clean.classes), -1, dtype=np.int64)
        for number in range(len(clean.classes)):
            rows = clean.positions[clean.given == number][:_SPELLINGS].tolist()
            cells = [records.cell(records.rows[row], column) for row in rows]
            if cells:
                sources[number] = rows[cells.index(Counter(cells).most_common(1)[0][0])]
        return sources

    def _number(self, value: float) -> str:
        text = f"{value:.6g}"
        return self._records.quoted(text.replace(".", ",") if self._has_decimal_commas else text)

    @cached_property
    def _has_decimal_commas(self) -> bool:
        if self._decimal is not None:
            return self._decimal == "comma"
        cells = [
            cell
            for cells in self._records.dialect.reader(list(self._records.rows[:_SAMPLED]))
            for cell in cells
        ]
        n_commas, n_points = (
            sum(pattern.fullmatch(cell.strip()) is not None for cell in cells)
            for pattern in (_DECIMAL_COMMA, _DECIMAL_POINT)
        )
        usual = self._csv.default_decimal == "comma"
        return n_commas > n_points if n_commas != n_points else usual
