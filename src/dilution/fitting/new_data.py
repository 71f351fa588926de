"""One data argument for predictions: a table, files of images, or arrays, as the model was fitted to them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet, InputEncoding, UnsplitData
from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.table_encoding import TableEncoding
from dilution.data.formats.table_options import TableOptions, parse_options, shown_path, unknown_column
from dilution.data.labels import read_labels
from dilution.data.registry import name_with_columns
from dilution.data.sources import ImageFolderSource, NpzSource, TableSource, custom_source
from dilution.errors import InputError, short_repr
from dilution.fitting.new_arrays import convert, read_array_file, read_given
from dilution.fitting.new_examples import GivenLabels, HeldExamples, NewExamples
from dilution.fitting.new_images import ImageFiles, is_image_file, read_folder

if TYPE_CHECKING:
    import pandas as pd

    from dilution.data.formats.table_files import TableFile

VALID = (
    "a CSV or Parquet file, a folder of images, one image file, a .npy or .npz file; or a DataFrame, an "
    "array or tensor, a list of image files, Arrays or UnsplitData"
)
"""What can be predicted, for messages."""

_FILES = {".csv", ".tsv", ".parquet", ".npz"}


class InputRule(Protocol):
    """What a model takes; attributes are those of :class:`dilution.fitting.FittedModel`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Image shape."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the pixels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def encoding(self) -> InputEncoding | None:
        """How tables or files become images."""


def open_new_data(data: Any, rule: InputRule, *, label: str | None = None, ids: Any = None) -> NewExamples:
    """Return new examples as a model takes them.

    Parameters
    ----------
    data
        One of `VALID`. A path may have options behind a ``#``, as for training data.
    rule
        What the model takes.
    label
        Column of labels to compare with, of a table. Default: the column of the label in the training data,
        if there is one.
    ids
        Column of ids of a table, or one id per example. Default: as for training data.

    Raises
    ------
    InputError
        If it is something else, or of another kind, shape, type or range than the training data.
    DataError
        If a file cannot be read.
    """
    if isinstance(data, str | Path):
        return _open_path(data, rule, label, ids)
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | Path) for item in data):
        _check_takes_images(rule, f"a list that begins with {data[0]!r}")
        return _open_files([Path(item) for item in data], rule)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _open_frame(data, rule, label, ids)
    if isinstance(data, DataSet):
        raise InputError(f"the data are {data!r}, two splits; pass one of them, such as data.test.")
    for name, value in {"label": label, "ids": ids}.items():
        if isinstance(value, str):
            raise InputError(
                f"{name} is {value!r}, a column of a table, and the data are none. Leave it out."
            )
    if isinstance(data, UnsplitData):
        return _open_arrays(data.arrays, rule, data.names)
    if isinstance(data, Arrays):
        return _open_arrays(data, rule, None)
    if isinstance(data, np.ndarray | Tensor | Sequence) or hasattr(data, "__array__"):
        if isinstance(rule.encoding, TableEncoding):
            raise InputError(
                f"the data are a {type(data).__name__}, and the model was fitted to a table with the columns "
                f"{_columns(rule.encoding)}. Pass a DataFrame with these columns."
            )
        images, notes = convert(data, rule.shape, rule.dtype, _noun(rule))
        return HeldExamples(images, _given_ids(ids, len(images)), None, notes)
    raise InputError(f"the data are a {type(data).__name__}; they must be {VALID}. Convert them.")


def _open_path(data: str | Path, rule: InputRule, label: str | None, ids: Any) -> NewExamples:
    path = Path(data).expanduser()
    if is_image_file(path) and path.is_file():
        _check_takes_images(rule, str(path))
        return _open_files([path], rule)
    if path.suffix.lower() == ".npy":
        return _open_array_file(path, rule)
    if path.is_file() and path.suffix.lower() not in _FILES:
        raise InputError(f"{path} ends in {path.suffix!r}; new data must be {VALID}. Convert it.")
    source = custom_source(str(name_with_columns(data, label, None, ids)))
    if isinstance(source, TableSource):
        return _open_table(source.path, source.options, rule)
    if isinstance(source, ImageFolderSource):
        _check_takes_images(rule, str(path))
        if source.options:
            raise InputError(
                f"{source.options!r} follows the # of {source.path}; the model takes images of "
                f"{rule.shape[1]}×{rule.shape[2]}. Leave it out."
            )
        return read_folder(source.path, rule.shape, _image_encoding(rule), rule.classes)
    if isinstance(source, NpzSource):
        return _open_array_file(source.path, rule)
    reason = "does not exist" if source is None else "is of another kind"
    raise InputError(f"{short_repr(str(data))} {reason}; new data must be {VALID}. Check the name.")


def _open_array_file(path: Path, rule: InputRule) -> NewExamples:
    if isinstance(rule.encoding, TableEncoding):
        raise InputError(
            f"{path} holds arrays, and the model was fitted to a table with the columns "
            f"{_columns(rule.encoding)}. Name a CSV or Parquet file with these columns."
        )
    return read_array_file(path, rule.shape, rule.dtype, rule.classes)


def _open_files(paths: list[Path], rule: InputRule) -> NewExamples:
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is no file; each must be an image. Leave it out, or correct its name.")
    return ImageFiles(Path(), [str(path) for path in paths], rule.shape, _image_encoding(rule))


def _check_takes_images(rule: InputRule, name: str) -> None:
    if rule.dtype == torch.uint8 and not isinstance(rule.encoding, TableEncoding):
        return
    if isinstance(rule.encoding, TableEncoding):
        needs = f"a table with the columns {_columns(rule.encoding)}"
    else:
        needs = f"arrays of shape (n, {', '.join(map(str, rule.shape))})"
    raise InputError(f"{name} holds images, and the model was fitted to {needs}. Pass such data.")


def _image_encoding(rule: InputRule) -> ImageEncoding | None:
    return rule.encoding if isinstance(rule.encoding, ImageEncoding) else None


def _open_table(path: Path, options: str, rule: InputRule) -> NewExamples:
    from dilution.data.formats.table_files import open_table  # lazily: pandas takes a while to import

    if not isinstance(rule.encoding, TableEncoding):
        raise _no_table(str(path), rule)
    try:
        table = open_table(path, options)
        parsed = parse_options(options, table.columns)

        def name_with_decimal(mark: str) -> str:
            separator = "," if options else "#"
            return f"{shown_path(path)}{f'#{options}' if options else ''}{separator}decimal={mark}"

        return _read_table(table, parsed, rule, rule.encoding, name_with_decimal)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _open_frame(frame: "pd.DataFrame", rule: InputRule, label: str | None, ids: Any) -> NewExamples:
    from dilution.data.formats.frame_table import FrameTable

    if not isinstance(rule.encoding, TableEncoding):
        if rule.dtype == torch.uint8 or rule.shape[1:] != (1, 1):
            raise _no_table("the DataFrame", rule)
        images, notes = convert(frame.to_numpy(), rule.shape, rule.dtype, "features")
        return HeldExamples(images, _given_ids(ids, len(images)), None, notes)
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
    return HeldExamples(examples.images, _given_ids(ids, len(frame)), examples.given, examples.notes)


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
    roles = tuple(filter(None, (label, options.ids)))
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
    if options.ids is not None:
        from dilution.data.example_ids import read_ids

        ids = read_ids(new.rows.frame[options.ids], f"column {options.ids!r}", new.rows.name)
    return HeldExamples(torch.from_numpy(new.features), ids, given, notes)


def _label_in(names: Sequence[str], row: int) -> str:
    return f"the label in {names[row]}"


def _open_arrays(arrays: Arrays, rule: InputRule, names: tuple[str, ...] | None) -> NewExamples:
    """Return labelled examples, which were made of a table or of files in the same way, or are arrays."""
    encoding = arrays.encoding if isinstance(arrays.encoding, TableEncoding) else None
    own = rule.encoding if isinstance(rule.encoding, TableEncoding) else None
    if encoding != own:
        raise InputError(
            f"the data are {arrays!r}, which were made of a table in another way than those that the model "
            "was fitted to. Pass the table itself: a path, or a DataFrame."
        )
    if arrays.shape != rule.shape or arrays.dtype != rule.dtype:
        raise InputError(
            f"the data are {arrays!r} of {arrays.dtype}; the model was fitted to {rule.dtype} of shape (n, "
            f"{', '.join(map(str, rule.shape))}). Convert them."
        )
    labels = arrays.labels if arrays.observed is None else arrays.observed
    given = read_given(
        [arrays.classes[number] for number in labels.tolist()], len(arrays), rule.classes, "labels"
    )
    return HeldExamples(arrays, names, given, given.notes)


def _given_ids(ids: Any, n: int) -> tuple[str, ...] | None:
    if ids is None:
        return None
    values = list(ids)
    if len(values) != n:
        raise InputError(f"there are {len(values):,} ids for {n:,} examples; there must be one per example.")
    from dilution.data.example_ids import read_ids

    return read_ids(values, "ids", lambda row: f"example {row}")


def _no_table(name: str, rule: InputRule) -> InputError:
    return InputError(
        f"{name} is a table, and the model was fitted to {_noun(rule)} of shape (n, "
        f"{', '.join(map(str, rule.shape))}) without names of columns. Pass an array, or name a .npy file."
    )


def _noun(rule: InputRule) -> str:
    return "features" if rule.shape[1:] == (1, 1) and rule.dtype != torch.uint8 else "images"


def _columns(encoding: TableEncoding) -> str:
    from dilution.data.formats.table_options import list_columns

    return list_columns([column.name for column in encoding.columns])
