"""One data argument for predictions: a table, files of images, or arrays, as the model was fitted to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.formats.hugging_face import is_hugging_face
from dilution.data.formats.table_encoding import TableEncoding
from dilution.data.formats.torch_items import is_map_style
from dilution.data.from_objects import VirtualData, as_frame
from dilution.data.open_examples import open_examples
from dilution.data.registry import builtin_name, load, name_with_columns, own_source
from dilution.data.sources import (
    CallableSource,
    ImageFolderSource,
    NpzSource,
    TableSource,
)
from dilution.errors import InputError, short_repr, unknown
from dilution.fitting.new_arrays import convert, read_array_file
from dilution.fitting.new_examples import HeldExamples, NewExamples, given_ids
from dilution.fitting.new_images import ImageFiles, is_image_file, read_folder, read_list
from dilution.fitting.new_objects import (
    as_pair,
    open_dataset,
    open_hugging_face,
    open_items,
    open_labelled,
    open_pair,
)
from dilution.fitting.new_rules import (
    InputRule,
    check_takes_images,
    columns_of,
    image_encoding,
    no_array,
    noun_of,
)
from dilution.fitting.new_tables import open_frame, open_table_file
from dilution.utils.regular_file import expand_home

VALID = (
    "a CSV or Parquet file, a folder or CSV list of images, one image file, a .npy, .npz or .pack file, the "
    "name of a data set, or a function as module:function; or a DataFrame, an array or tensor, a pair (X, "
    "y), a list of image files, a torch Dataset, one of Hugging Face, a Dilution, Arrays or UnsplitData"
)
"""What can be predicted, for messages."""

_FILES = {".csv", ".tsv", ".parquet", ".npz"}
_KNOWN = {*_FILES, ".npy"}


def open_new_data(
    data: Any,
    rule: InputRule,
    *,
    label: str | None = None,
    ids: Any = None,
    split: str | None = None,
    root: str | Path | None = None,
) -> NewExamples:
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
    split
        ``"train"`` or ``"test"`` of a named data set, pack or function. Default: train, as in the fit.
    root
        Folder of downloaded data, as for :func:`dilution.load`.

    Raises
    ------
    InputError
        If it is something else, or of another kind, shape, type or range than the training data.
    DataError
        If a file cannot be read.
    """
    if isinstance(data, str | Path) and _has_splits(data):
        return _open_named(data, rule, label, ids, split, root)
    if split is not None:
        raise InputError(
            f"split is {split!r}, and only named data sets, packs and functions have splits here. Leave it "
            "out."
        )
    if isinstance(data, str | Path):
        return _open_path(data, rule, label, ids)
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | Path) for item in data):
        check_takes_images(rule, f"a list that begins with {data[0]!r}")
        return _open_files([Path(item) for item in data], rule)
    if (frame := as_frame(data)) is not None:
        return open_frame(frame, rule, label, ids)
    if isinstance(data, DataSet):
        raise InputError(f"the data are {data!r}, two splits; pass one of them, such as data.test.")
    if is_hugging_face(data):
        return open_hugging_face(data, rule, label, ids)
    if (pair := as_pair(data)) is not None:
        return open_pair(*pair, rule, ids)
    _refuse_columns(label, ids)
    if isinstance(data, UnsplitData):
        return open_labelled(data.arrays, rule, data.names)
    if isinstance(data, VirtualData):
        data = data.to_arrays()
    if isinstance(data, Arrays):
        return open_labelled(data, rule, None)
    if is_map_style(data):
        return open_dataset(data, rule, ids)
    if isinstance(data, np.ndarray | Tensor | Sequence) or hasattr(data, "__array__"):
        if isinstance(rule.encoding, TableEncoding):
            raise no_array(data, rule.encoding)
        images, notes = convert(data, rule.shape, rule.dtype, noun_of(rule))
        return HeldExamples(images, given_ids(ids, len(images)), None, notes)
    raise InputError(f"the data are a {type(data).__name__}; they must be {VALID}. Convert them.")


def _refuse_columns(label: str | None, ids: Any) -> None:
    """Refuse names of columns for data that have none."""
    for name, value in {"label": label, "ids": ids}.items():
        if isinstance(value, str):
            raise InputError(
                f"{name} is {value!r}, a column of a table, and the data are none. Leave it out."
            )


def _open_path(data: str | Path, rule: InputRule, label: str | None, ids: Any) -> NewExamples:
    path = expand_home(data)
    if is_image_file(path) and path.is_file():
        check_takes_images(rule, str(path))
        return _open_files([path], rule)
    if path.suffix.lower() == ".npy":
        return _open_array_file(path, rule)
    if path.is_file() and path.suffix.lower() not in _FILES:
        raise InputError(f"{path} ends in {path.suffix!r}; new data must be {VALID}. Convert it.")
    source = own_source(name_with_columns(data, label, None, ids))
    if isinstance(source, TableSource):
        column = _path_column(source, rule)
        if column is not None:
            return read_list(
                source.path, source.options, column, rule.shape, image_encoding(rule), rule.classes
            )
        return open_table_file(source.path, source.options, rule)
    if isinstance(source, ImageFolderSource):
        check_takes_images(rule, str(path))
        if source.options:
            raise InputError(
                f"{source.options!r} follows the # of {source.path}; the model takes images of "
                f"{rule.shape[1]}×{rule.shape[2]}. Leave it out."
            )
        return read_folder(source.path, rule.shape, image_encoding(rule), rule.classes)
    if isinstance(source, NpzSource):
        return _open_array_file(source.path, rule)
    reason = "does not exist" if source is None else "is of another kind"
    raise InputError(f"{short_repr(str(data))} {reason}; new data must be {VALID}. Check the name.")


def _has_splits(data: str | Path) -> bool:
    """Return whether a name is that of a built-in data set, a pack or a function."""
    if builtin_name(data) is not None:
        return True
    path = expand_home(data)
    if path.suffix.lower() == ".pack":
        return True
    if path.suffix.lower() in _KNOWN or path.exists() or is_image_file(path):
        return False
    return isinstance(own_source(data), CallableSource)


def _open_named(
    data: str | Path, rule: InputRule, label: str | None, ids: Any, split: str | None, root: str | Path | None
) -> NewExamples:
    """Return the examples of a split of data that are opened by name, as the fit opens them."""
    _refuse_columns(label, ids)
    if split not in (None, "train", "test"):
        raise unknown("split", str(split), ("train", "test"))
    if split is None:
        examples = open_examples(data, root=root)
        return open_items(examples, rule, ids)
    data_set = load(data, root)
    arrays = data_set.train if split == "train" else data_set.test
    return open_items(UnsplitData(arrays, notes=data_set.notes), rule, ids)


def _path_column(source: TableSource, rule: InputRule) -> str | None:
    """Return the column of paths if the model takes images and a table lists some; None otherwise."""
    from dilution.data.formats.image_list import find_path_column  # lazily: pandas takes a while to import

    if rule.dtype != torch.uint8 or isinstance(rule.encoding, TableEncoding):
        return None
    return find_path_column(source.path, source.options)


def _open_array_file(path: Path, rule: InputRule) -> NewExamples:
    if isinstance(rule.encoding, TableEncoding):
        raise InputError(
            f"{path} holds arrays, and the model was fitted to a table with the columns "
            f"{columns_of(rule.encoding)}. Name a CSV or Parquet file with these columns."
        )
    return read_array_file(path, rule.shape, rule.dtype, rule.classes)


def _open_files(paths: list[Path], rule: InputRule) -> NewExamples:
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path} is no file; each must be an image. Leave it out, or correct its name.")
    return ImageFiles(Path(), [str(path) for path in paths], rule.shape, image_encoding(rule))
