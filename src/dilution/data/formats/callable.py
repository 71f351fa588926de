"""Data sets that a user's function returns: ``module:function``, called without arguments."""

import hashlib
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_two_classes
from dilution.data.conversion import to_array
from dilution.data.from_arrays import (
    ARGUMENTS,
    CheckedArrays,
    check_arrays,
    label_examples,
    leave_out_unused,
)
from dilution.data.labels import LabelColumn, read_labels
from dilution.data.pixel_range import check_range, describe_levels
from dilution.data.splits import with_own_test_split
from dilution.errors import InputError, unknown
from dilution.utils.references import describe_exception, resolve, source_digest

_HASH_BLOCK = 1024  # images that are hashed at once, since those of a pack are read for it

_N_REREAD = 32  # items that are read twice, to notice random transforms

_VALID_RESULTS = (
    "a pair of images (or rows of features) and labels, four arrays (train_x, train_y, test_x, test_y), a "
    "dict of arguments of dilution.from_numpy, a DataSet, Arrays, a torch Dataset of pairs of tensor and "
    "label, or two of these, the second of them the test split"
)


def load(name: str) -> DataSet:
    """Return the data set that a function returns; it is called once per process and version of its file.

    Parameters
    ----------
    name
        ``"module:function"``; modules of the current directory are found first. The function takes no
        arguments, must return the same data at each call, and returns one of: a tuple of images or features
        and labels, as :func:`dilution.data.from_arrays.from_numpy` takes them; a tuple of four, the last two
        of them the test split; a dict of arguments of that function; a :class:`DataSet`; :class:`Arrays`; or
        a map-style torch ``Dataset`` of pairs (tensor, label), which is read into memory: rows of shape
        (features,), or images of shape (height, width) or (channels, height, width), uint8 or floats in
        [0, 1], which keep their values. If it has an attribute `classes`, labels that are numbers are
        positions in it. A pair of such Datasets is the train split and the test split.

    Raises
    ------
    InputError
        If there is no such function, it raised, or returned something else or arrays that break a rule.
    """
    return _load_both(name, _source(name))[0]


def load_unsplit(name: str) -> UnsplitData:
    """Return the examples in the order of the function, without those of a test split that it returns.

    Parameters and errors are those of :func:`load`.
    """
    return _load_both(name, _source(name))[1]


def identity(name: str) -> str:
    """Return the SHA-256 of all data that the function returns, in hex; for that it is called once more.

    Raises
    ------
    InputError
        As :func:`load`; or if the second call returned other data than the first.
    """
    return _identity(name, _source(name))


def module_file(name: str) -> Path:
    """Return the file of the function's module."""
    _source(name)
    return Path(str(sys.modules[name.partition(":")[0]].__file__))


def _source(name: str) -> str:
    """Import the function and return the digest of its source file."""
    resolve(name, "data set")
    return source_digest(name, "data set")


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _load_both(name: str, source: str) -> tuple[DataSet, UnsplitData]:  # noqa: ARG001  (part of the cache's key)
    return _call(name)


def _call(name: str) -> tuple[DataSet, UnsplitData]:
    """Call the function and convert what it returns."""
    function = resolve(name, "data set")
    try:
        result = function()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"data set is {name!r}; called without arguments it raised {describe_exception(error)}. Correct "
            "the function."
        ) from None
    try:
        return _convert(name, result)
    except InputError as error:
        raise InputError(f"data set is {name!r}, which returned invalid data: {error}") from error


def _convert(name: str, result: Any) -> tuple[DataSet, UnsplitData]:
    """Return the result of a function as a data set, and unsplit."""
    if isinstance(result, DataSet):
        (train, test), unused = leave_out_unused((result.train, result.test))
        notes = (*_describe_levels(train), *unused)
        data = replace(result, train=train, test=test, notes=(*result.notes, *notes)) if notes else result
        grouped = with_own_test_split(data.name, train, test, data.notes)
        return grouped, UnsplitData.without_test_split(train, test, data.notes)
    if isinstance(result, Arrays):
        check_two_classes(result.labels, result.classes)
        (train,), unused = leave_out_unused((result,))
        arrays = CheckedArrays(train, notes=(*_describe_levels(train), *unused))
    elif isinstance(result, Dataset):
        arrays = _read_datasets(result)
    elif (
        isinstance(result, tuple | list) and len(result) == 2 and all(isinstance(x, Dataset) for x in result)
    ):
        arrays = _read_datasets(*result)
    else:
        arrays = check_arrays(**_arguments(result))
    title = str(result.get("name", name)) if isinstance(result, dict) else name
    return arrays.to_data_set(title), arrays.to_unsplit_data()


def _describe_levels(arrays: Arrays) -> tuple[str, ...]:
    is_image = arrays.shape[1:] != (1, 1)
    return describe_levels(arrays.images, "images") if is_image and isinstance(arrays.images, Tensor) else ()


def _arguments(result: Any) -> dict[str, Any]:
    """Return a dict or tuple as arguments of :func:`dilution.data.from_arrays.check_arrays`."""
    if isinstance(result, dict):
        for key in result:
            if key not in (*ARGUMENTS, "name"):
                raise unknown("argument of from_numpy", str(key), (*ARGUMENTS, "name"))
        return {key: value for key, value in result.items() if key != "name"}
    if not isinstance(result, tuple) or len(result) not in (2, 4):
        length = f" of {len(result)}" if isinstance(result, tuple | list) else ""
        raise InputError(f"its type is {type(result).__name__}{length}; it must be {_VALID_RESULTS}.")
    arguments: dict[str, Any] = {}
    for prefix, x, y in zip(("", "test_"), result[::2], result[1::2], strict=False):
        array = to_array(x, f"{prefix}x")
        arguments[f"{prefix}{'features' if array.ndim == 2 else 'images'}"] = array
        arguments[f"{prefix}labels"] = y
    return arguments


@dataclass(frozen=True)
class _DatasetItems:
    """Items of a torch Dataset: images, labels, its attribute `classes` if there is one, and notes."""

    images: Tensor
    column: LabelColumn
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def _read_datasets(train: "Dataset[Any]", test: "Dataset[Any] | None" = None) -> CheckedArrays:
    """Read a map-style torch Dataset into memory, and that of a test split if there is one."""
    items = [_read_items(dataset) for dataset in (train, test) if dataset is not None]
    notes = tuple(dict.fromkeys(note for split in items for note in split.notes))
    columns, classes = [split.column for split in items], items[0].classes
    are_numbers = all(column.kind == "numbers" for column in columns)
    if classes is not None and are_numbers and all(split.classes == classes for split in items):
        if all(_are_positions(column, classes) for column in columns):
            columns = [
                replace(column, names=tuple(classes[int(number)] for number in column.names), kind="text")
                for column in columns
            ]
        else:
            notes += (
                f"the attribute classes of {type(train).__name__} does not fit the labels and is not used",
            )
            classes = None
    else:
        classes = None
    test_images, test_column = (items[1].images, columns[1]) if test is not None else (None, None)
    arrays = label_examples(items[0].images, columns[:1], test_images, test_column, classes=classes)
    return replace(arrays, notes=(*notes, *arrays.notes))


def _are_positions(column: LabelColumn, classes: tuple[str, ...]) -> bool:
    """Return whether labels that are numbers are positions in the names of classes."""
    in_range = all(0 <= int(number) < len(classes) for number in column.names)
    return in_range and len(set(classes)) == len(classes)


def _read_items(dataset: "Dataset[Any]") -> _DatasetItems:
    """Read the items of a map-style torch Dataset into memory."""
    type_name = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise InputError(
            f"{type_name} has no length; a torch Dataset must be map-style, with __len__ and __getitem__. "
            "Collect what it yields into tensors and return these."
        )
    n = len(dataset)
    if not n:
        raise InputError(f"{type_name} has 0 items; at least two are needed.")
    labels = []
    for index in range(n):
        image, label = _item(dataset, index)
        labels.append(label)
        if index == 0:
            images = torch.empty(n, *image.shape, dtype=image.dtype)
        if image.shape != images.shape[1:] or image.dtype != images.dtype:
            raise InputError(
                f"item {index} is {image.dtype} of shape {tuple(image.shape)}, item 0 {images.dtype} "
                f"of {tuple(images.shape[1:])}; all must agree. Bring them to one size."
            )
        images[index] = image
    notes = (*_describe_random_items(dataset, images), *_check_pixels(images, type_name))
    column = read_labels(labels, f"labels of {type_name}", lambda row: f"the label of item {row}")
    classes = getattr(dataset, "classes", None)
    names = tuple(map(str, classes)) if isinstance(classes, list | tuple) else None
    return _DatasetItems(images, column, names, notes)


def _describe_random_items(dataset: "Dataset[Any]", images: Tensor) -> tuple[str, ...]:
    """Return a note if items differ when they are read again, as by a random transform; some are compared."""
    rows = np.unique(np.linspace(0, len(images) - 1, _N_REREAD).astype(int)).tolist()
    differs = [row for row in rows if not torch.equal(_item(dataset, row)[0], images[row])]
    if not differs:
        return ()
    return (
        f"items of {type(dataset).__name__} differ when they are read again, the first is item {differs[0]}: "
        "one random draw of each is kept, and studies and plans refuse data that differ between two calls; "
        "leave random transforms out of the Dataset",
    )


def _check_pixels(images: Tensor, name: str) -> tuple[str, ...]:
    """Check the range of images, which rows of features do not have, and return notes on it."""
    if images.shape[2:] == (1, 1):
        return ()
    try:
        if images.is_floating_point():
            low, high = map(float, images.aminmax())
            check_range(low, high, "images")
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return describe_levels(images, "images")


def _item(dataset: "Dataset[Any]", index: int) -> tuple[Tensor, Any]:
    """Return an image of shape (channels, height, width), uint8 or float32, and its label."""
    try:
        item = dataset[index]
    except Exception as error:
        raise InputError(
            f"item {index} of {type(dataset).__name__} raised {describe_exception(error)}."
        ) from None
    rule = "items must be pairs of a tensor and a label"
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(f"item {index} is a {type(item).__name__}; {rule}.")
    image, label = item
    if not isinstance(image, Tensor | np.ndarray):
        raise InputError(
            f"item {index} holds a {type(image).__name__}; {rule}. Give the Dataset a transform that makes "
            "tensors, such as torchvision.transforms.ToTensor()."
        )
    return _check_image(torch.as_tensor(image).detach().cpu(), index), label


def _check_image(image: Tensor, index: int) -> Tensor:
    """Return an image or a row of features as (channels, height, width), uint8 or float32."""
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise InputError(
            f"item {index} is {image.dtype}; tensors must be torch.uint8 or floats. Convert them."
        )
    if image.ndim == 1:
        return image.float()[:, None, None]
    if image.ndim not in (2, 3):
        raise InputError(
            f"item {index} has shape {tuple(image.shape)}; it must be (features,), (height, width) or "
            "(channels, height, width)."
        )
    image = image if image.dtype == torch.uint8 else image.float()
    return image if image.ndim == 3 else image[None]


@lru_cache(maxsize=16)
def _identity(name: str, source: str) -> str:
    digest = _digest(_load_both(name, source)[0])
    if _digest(_call(name)[0]) != digest:  # otherwise worker processes would train on other data
        raise InputError(
            f"data set is {name!r}; called twice it returned different data; it must return the same each "
            "time. Give its random numbers a fixed seed, inside the function."
        )
    return digest


def _digest(data: DataSet) -> str:
    """Return the SHA-256 of both splits, in hex."""
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        digest.update(repr((len(split), split.shape, split.dtype, split.classes)).encode())
        digest.update(split.labels.numpy().tobytes())
        digest.update(b"" if split.observed is None else split.observed.numpy().tobytes())
        for rows in torch.arange(len(split)).split(_HASH_BLOCK):
            digest.update(split.take(rows).numpy().tobytes())
    return digest.hexdigest()
