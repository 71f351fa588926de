"""A data set that a user's own function returns: ``module:function``, called without arguments."""

import hashlib
import operator
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from dilution.data.arrays import Arrays, DataSet, Labelled
from dilution.data.conversion import to_array
from dilution.data.from_arrays import ARGUMENTS, in_two, to_halves
from dilution.errors import InputError, unknown
from dilution.utils.references import raised, resolve, source_digest

_AT_ONCE = 1024  # images hashed at once: those of a pack are read for it

_FORMS = (
    "a pair of images (or rows of features) and labels, four arrays (train_x, train_y, test_x, test_y), a "
    "dict of arguments of dilution.from_numpy, a DataSet, Arrays, or a torch Dataset of pairs of tensor and "
    "int"
)


def load(name: str) -> DataSet:
    """Return the data set that a function returns; it is called once in a process and for each source file.

    Parameters
    ----------
    name
        ``"module:function"``; modules of the current directory are found first. The function takes no
        arguments, must return the same at each call, and returns one of: a tuple of images or features
        and labels, as :func:`dilution.data.from_arrays.from_numpy` takes them; a tuple of four, the last two of
        them the test half; a dict of arguments of that function; a :class:`DataSet`; :class:`Arrays`; or a
        map-style torch ``Dataset`` of pairs (tensor, int), which is read into memory: tensors of uint8 or
        floats, of shape (features,), (height, width) or (channels, height, width).

    Raises
    ------
    InputError
        If there is no such function, it raised, or returned something else or arrays that break a rule.
    """
    return _made(name, _source(name))[0]


def labelled(name: str) -> Labelled:
    """Return the examples in the order of the function, those of a test half left out.

    Parameters and errors are those of :func:`load`.
    """
    return _made(name, _source(name))[1]


def identity(name: str) -> str:
    """Return the SHA-256 over all that the function returned, in hex. It is called once more for it.

    Raises
    ------
    InputError
        As :func:`load`; or if the second call returned other data than the first.
    """
    return _identity(name, _source(name))


def file_of(name: str) -> Path:
    """Return the file of the function's module."""
    _source(name)
    return Path(str(sys.modules[name.partition(":")[0]].__file__))


def _source(name: str) -> str:
    """Import a function and return what identifies its source file."""
    resolve(name, "data set")
    return source_digest(name, "data set")


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _made(name: str, source: str) -> tuple[DataSet, Labelled]:  # noqa: ARG001  (part of the cache's key)
    return _called(name)


def _called(name: str) -> tuple[DataSet, Labelled]:
    call = resolve(name, "data set")
    try:
        given = call()
    except (Exception, SystemExit) as error:
        raise InputError(
            f"data set is {name!r}; called without arguments it raised {raised(error)}. Mend the function."
        ) from None
    try:
        return _data_set(name, given)
    except InputError as error:
        raise InputError(f"data set is {name!r}, which returned what cannot be used: {error}") from error


def _data_set(name: str, given: Any) -> tuple[DataSet, Labelled]:
    """Return what a function returned as a data set, and whole."""
    if isinstance(given, DataSet):
        return given, Labelled(given.train)
    if isinstance(given, Arrays):
        return in_two(name, given), Labelled(given)
    if isinstance(given, Dataset):
        whole = _materialised(given)
        return in_two(name, whole), Labelled(whole)
    train, test = to_halves(**_arguments(given))
    title = str(given.get("name", name)) if isinstance(given, dict) else name
    return in_two(title, train) if test is None else DataSet(title, train, test), Labelled(train)


def _arguments(given: Any) -> dict[str, Any]:
    """Return the arguments of :func:`to_halves` that a dict or tuple stands for."""
    if isinstance(given, dict):
        for key in given:
            if key not in (*ARGUMENTS, "name"):
                raise unknown("argument of from_numpy", str(key), (*ARGUMENTS, "name"))
        return {key: value for key, value in given.items() if key != "name"}
    if not isinstance(given, tuple) or len(given) not in (2, 4):
        many = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise InputError(f"its type is {type(given).__name__}{many}; it must be {_FORMS}.")
    found: dict[str, Any] = {}
    for half, x, y in zip(("", "test_"), given[::2], given[1::2], strict=False):
        array = to_array(x, f"{half}x")
        found[f"{half}{'features' if array.ndim == 2 else 'images'}"] = array
        found[f"{half}labels"] = y
    return found


def _materialised(given: "Dataset[Any]") -> Arrays:
    """Read a map-style dataset into memory."""
    if isinstance(given, IterableDataset) or not hasattr(given, "__len__"):
        raise InputError(
            f"{type(given).__name__} has no length; a torch Dataset must be map-style, with __len__ and "
            "__getitem__. Collect what it yields into tensors and return these."
        )
    count = len(given)
    if not count:
        raise InputError(f"{type(given).__name__} has 0 items; at least two are needed.")
    labels = torch.empty(count, dtype=torch.int64)
    for place in range(count):
        image, labels[place] = _item(given, place)
        if place == 0:
            images = torch.empty(count, *image.shape, dtype=image.dtype)
        if image.shape != images.shape[1:] or image.dtype != images.dtype:
            raise InputError(
                f"item {place} is {image.dtype} of shape {tuple(image.shape)}, item 0 {images.dtype} "
                f"of {tuple(images.shape[1:])}; all must agree. Bring them to one size."
            )
        images[place] = image
    names = getattr(given, "classes", None)
    told = tuple(map(str, names)) if isinstance(names, list | tuple) else ()
    return Arrays(images, labels, told if len(told) > int(labels.max()) else ())


def _item(given: "Dataset[Any]", place: int) -> tuple[Tensor, int]:
    """Return an image of shape (channels, height, width), uint8 or float32, and its label."""
    try:
        item = given[place]
    except Exception as error:
        raise InputError(f"item {place} of {type(given).__name__} raised {raised(error)}.") from None
    rule = "items must be pairs of a tensor and an int"
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(f"item {place} is a {type(item).__name__}; {rule}.")
    image, label = item
    if not isinstance(image, Tensor | np.ndarray):
        raise InputError(
            f"item {place} holds a {type(image).__name__}; {rule}. Give the Dataset a transform that makes "
            "tensors, such as torchvision.transforms.ToTensor()."
        )
    try:
        number = operator.index(label)
    except TypeError:
        raise InputError(f"the label of item {place} is {label!r}; {rule}, the number of a class.") from None
    tensor = torch.as_tensor(image).detach().cpu()
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        raise InputError(
            f"item {place} is {tensor.dtype}; tensors must be torch.uint8 or floats. Convert them."
        )
    if tensor.ndim == 1:
        return tensor.float()[:, None, None], number
    if tensor.ndim not in (2, 3):
        raise InputError(
            f"item {place} has shape {tuple(tensor.shape)}; it must be (features,), (height, width) or "
            "(channels, height, width)."
        )
    tensor = tensor if tensor.dtype == torch.uint8 else tensor.float()
    return tensor if tensor.ndim == 3 else tensor[None], number


@lru_cache(maxsize=16)
def _identity(name: str, source: str) -> str:
    found = _digest(_made(name, source)[0])
    if _digest(_called(name)[0]) != found:  # worker processes would train on other data than the run says
        raise InputError(
            f"data set is {name!r}; called twice it returned different data; it must return the same each "
            "time. Give its random numbers a fixed seed, inside the function."
        )
    return found


def _digest(data: DataSet) -> str:
    """Return the SHA-256 over both halves, in hex."""
    digest = hashlib.sha256()
    for half in (data.train, data.test):
        digest.update(repr((len(half), half.shape, half.dtype, half.classes)).encode())
        digest.update(half.labels.numpy().tobytes())
        digest.update(b"" if half.observed is None else half.observed.numpy().tobytes())
        for rows in torch.arange(len(half)).split(_AT_ONCE):
            digest.update(half.take(rows).numpy().tobytes())
    return digest.hexdigest()
