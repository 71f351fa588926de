"""New rows of tables: files and DataFrames, under the encoding of the training data."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dilution.data.formats.table_encoding import TableEncoding
from dilution.data.formats.table_options import TableOptions, parse_options, shown_path, unknown_column
from dilution.data.label_values import is_missing
from dilution.data.labels import read_labels
from dilution.errors import InputError
from dilution.fitting.new_arrays import convert
from dilution.fitting.new_examples import GivenLabels, HeldExamples, given_ids
from dilution.fitting.new_rules import InputRule, no_table

if TYPE_CHECKING:
    import pandas as pd

    from dilution.data.formats.table_files import TableFile


def open_table_file(path: Path, options: str, rule: InputRule) -> HeldExamples:
    """Return the rows of a table in a file."""
    from dilution.data.formats.table_files import open_table  # lazily: pandas takes a while to import

    if not isinstance(rule.encoding, TableEncoding):
        raise no_table(str(path), rule)
    try:
        table = open_table(path, options)
        parsed = parse_options(options, table.columns)

        def name_with_decimal(mark: str) -> str:
            separator = "," if options else "#"
            return f"{shown_path(path)}{f'#{options}' if options else ''}{separator}decimal={mark}"

        return _read_table(table, parsed, rule, rule.encoding, name_with_decimal)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def open_frame(frame: "pd.DataFrame", rule: InputRule, label: str | None, ids: Any) -> HeldExamples:
    """Return the rows of a DataFrame."""
    from dilution.data.formats.frame_table import FrameTable

    if not isinstance(rule.encoding, TableEncoding):
        if rule.dtype == torch.uint8 or rule.shape[1:] != (1, 1):
            raise no_table("the DataFrame", rule)
        images, notes = convert(frame.to_numpy(), rule.shape, rule.dtype, "features")
        return HeldExamples(images, given_ids(ids, len(images)), None, notes)
    table = FrameTable(frame)
    columns = {"label": label, "ids": ids if isinstance(ids, str) else None}
    for argument, name in columns.items():
        if name is not None and name not in table.columns:
            raise InputError(f"{argument} is {name!r}: {unknown_column(name, table.columns, table.columns)}")

    def name_with_decimal(mark: str) -> str:
        marks = {",": ""} if mark == "point" else {r"\.": "", ",": "."}
        return f"frame.replace({marks}, regex=True)"

    options = TableOptions(label=label, ids=columns["ids"])
    examples = _read_table(table, options, rule, rule.encoding, name_with_decimal)
    if ids is None or isinstance(ids, str):
        return examples
    return HeldExamples(examples.images, given_ids(ids, len(frame)), examples.given, examples.notes)


def _read_table(
    table: "TableFile",
    options: TableOptions,
    rule: InputRule,
    encoding: TableEncoding,
    name_with_decimal: Any,
) -> HeldExamples:
    from dilution.data.formats.table_new_rows import read_new_rows

    features = {column.name for column in encoding.columns}
    label = options.label
    if label is None and encoding.label in table.columns and encoding.label not in features:
        label = encoding.label
    id_column = options.ids
    if id_column is None and encoding.ids in table.columns and encoding.ids not in features:
        id_column = encoding.ids
    roles = tuple(filter(None, (label, id_column)))
    new = read_new_rows(
        encoding, table, roles=roles, decimal=options.decimal, name_with_decimal=name_with_decimal
    )
    given, names = None, [new.rows.name(row) for row in range(len(new.rows.frame))]
    notes = new.notes
    if label is not None and len(names):
        column = read_labels(new.rows.frame[label], f"labels in column {label!r}", partial(_label_in, names))
        given = GivenLabels.of_column(column, rule.classes, f"column {label!r}")
        notes = (*notes, *given.notes)
    ids: tuple[str, ...] = tuple(names)
    if id_column is not None and options.ids is None and not _are_ids(new.rows.frame[id_column]):
        notes = (*notes, f"column {id_column!r} has missing or repeated ids, so that rows are named by place")
        id_column = None
    if id_column is not None:
        from dilution.data.example_ids import read_ids

        ids = read_ids(new.rows.frame[id_column], f"column {id_column!r}", new.rows.name)
    return HeldExamples(torch.from_numpy(new.features), ids, given, notes)


def _are_ids(column: "pd.Series[Any]") -> bool:
    """Return whether each row has an id of its own."""
    return bool(column.is_unique and not column.map(is_missing).any())


def _label_in(names: Sequence[str], row: int) -> str:
    return f"the label in {names[row]}"
