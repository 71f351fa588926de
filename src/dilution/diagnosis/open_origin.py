"""Which kind of data a diagnosis was given, to show or clean them later."""

from pathlib import Path
from typing import Any

import pandas as pd

from dilution.data import UnsplitData
from dilution.data.formats.csv_table import CsvTable
from dilution.data.formats.frame_table import FrameTable
from dilution.data.formats.image_list import find_path_column
from dilution.data.formats.table_columns import assign_roles
from dilution.data.formats.table_files import open_table
from dilution.data.formats.table_options import TableOptions
from dilution.data.registry import own_source
from dilution.data.sources import ImageFolderSource, TableSource
from dilution.diagnosis.csv_origin import CsvOrigin
from dilution.diagnosis.origin import ExamplesOrigin, Origin
from dilution.diagnosis.typed_origin import FrameOrigin, ParquetOrigin


def open_origin(
    data: Any,
    examples: UnsplitData | None = None,
    *,
    label: str | None = None,
    noisy_label: str | None = None,
) -> Origin:
    """Return what the user gave, whose header alone is read.

    Parameters
    ----------
    data
        The data, as for :func:`dilution.diagnose`.
    examples
        Its examples; None: what depends on them, the names of images, is unknown.
    label, noisy_label
        Columns of a DataFrame.

    Raises
    ------
    DataError
        If a file cannot be read.
    InputError
        If a column does not exist.
    """
    if isinstance(data, pd.DataFrame):
        return _open_frame(data, label, noisy_label)
    source = own_source(data) if isinstance(data, str | Path) else None
    if isinstance(source, TableSource):
        return _open_table(source.path, source.options)
    if isinstance(source, ImageFolderSource) and examples is not None:
        return ExamplesOrigin(examples.places or examples.names, source.path)
    return ExamplesOrigin()


def _open_table(path: Path, options: str) -> CsvOrigin | ParquetOrigin:
    """Return a table in a file, whose options are those behind its ``#``."""
    table = open_table(path, options)
    roles = assign_roles(options, table.columns, table.index, path)
    label = roles.labels[-1]
    if isinstance(table, CsvTable):
        return CsvOrigin(path, table, label, roles.options.decimal, find_path_column(path, options))
    return ParquetOrigin(path, table, label)


def _open_frame(frame: pd.DataFrame, label: str | None, noisy_label: str | None) -> FrameOrigin:
    """Return a DataFrame whose columns of labels are named, or have the usual names."""
    table = FrameTable(frame)
    options = TableOptions(label, noisy_label).write(table.columns)
    return FrameOrigin(frame, table, assign_roles(options, table.columns, (), None).labels[-1])
