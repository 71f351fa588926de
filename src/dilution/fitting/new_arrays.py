"""New examples in arrays, in memory or in ``.npy`` and ``.npz`` files, under the rules of training data."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.conversion import to_array, to_features, to_uint8
from dilution.data.labels import read_labels
from dilution.errors import DataError, InputError
from dilution.fitting.new_examples import GivenLabels, HeldExamples
from dilution.utils.npz_size import (
    RefusedArraysError,
    check_array_fits,
    check_arrays_fit,
    load_array,
    load_arrays,
)

_DAMAGED = (
    *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(zlib.error, lzma.LZMAError, struct.error, zipfile.BadZipFile),
)
_REMEDY = "Write it with numpy.save(file, images), or numpy.savez(file, images=images)."
_INPUTS = ("images", "features")


def convert(
    values: Any, shape: tuple[int, int, int], dtype: torch.dtype, name: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Return an array as the images that a model takes, and notes on its conversion.

    Parameters
    ----------
    values
        Array or tensor. For a model of features, shape (n, features), any finite numbers; for one of images,
        shape (n, height, width) or (n, channels, height, width), uint8 or floats in [0, 1].
    shape, dtype
        Image shape and type that the model takes.
    name
        Name of the array in messages.

    Raises
    ------
    InputError
        If the array has another shape, type or range.
    """
    array = to_array(values, name)
    if array.ndim > 0 and len(array) == 0:
        raise InputError(f"{name} have shape {array.shape} and hold no example. Pass at least one.")
    if dtype == torch.uint8:
        images, notes = to_uint8(array, name)
        _check_shape(images.shape[1:], shape, "images", array, name)
        return torch.from_numpy(images), notes
    if shape[1:] == (1, 1):
        if array.ndim == 1:
            raise InputError(
                f"{name} have shape {array.shape}; they must be (n, features). One example is {name}[None]."
            )
        if array.ndim == 4 and array.shape[2:] == (1, 1):
            array = array[:, :, 0, 0]
        features = to_features(array, name)
        _check_shape(features.shape[1:], shape, "features", array, name)
        return torch.from_numpy(features), ()
    if array.dtype.kind != "f" or array.ndim != 4:
        raise InputError(
            f"{name} are {array.dtype} of shape {array.shape}; this model was fitted to floats of shape (n, "
            f"{', '.join(map(str, shape))}) that were not scaled. Convert them in the same way."
        )
    _check_shape(array.shape[1:], shape, "images", array, name)
    floats = np.array(array, dtype=np.float32)
    if not np.isfinite(floats).all():
        raise InputError(f"{name} hold values that are NaN or infinite; all must be finite. Fill them.")
    return torch.from_numpy(floats), ()


def _check_shape(
    own: tuple[int, ...], shape: tuple[int, int, int], noun: str, array: NDArray[Any], name: str
) -> None:
    if tuple(own) == shape:
        return
    if noun == "features":
        raise InputError(
            f"{name} have shape {array.shape}, {own[0]} features; the model was fitted to {shape[0]}. Pass "
            "the same features in the same order."
        )
    shown, needed = ("×".join(map(str, sides)) for sides in (own, shape))
    raise InputError(
        f"{name} have shape {array.shape}, images of {shown}; the model was fitted to images of {needed} "
        "(channels, height, width). Resize or convert them."
    )


def read_array_file(
    path: Path, shape: tuple[int, int, int], dtype: torch.dtype, classes: tuple[str, ...]
) -> HeldExamples:
    """Return the examples in a ``.npy`` file, or in a ``.npz`` file with ``images`` or ``features``.

    ``labels`` in a ``.npz`` file are compared with the predictions; pickled objects are never loaded.

    Raises
    ------
    DataError
        If the file is missing, damaged or holds Python objects.
    InputError
        If it has no such array, or one breaks a rule of :func:`convert`.
    """
    arrays = _read(path)
    key = next((name for name in ("", *_INPUTS) if name in arrays), None)
    if key is None or sum(name in arrays for name in _INPUTS) > 1:
        raise InputError(
            f"{path} has the arrays {', '.join(arrays) or 'none'}; exactly one of images and features is "
            f"needed. {_REMEDY}"
        )
    try:
        images, notes = convert(arrays[key], shape, dtype, key or "images")
        given = None
        if "labels" in arrays:
            given = read_given(arrays["labels"], len(images), classes, "labels of the file")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    ignored = [name for name in arrays if name not in (key, "labels")]
    if ignored:
        verb = "is" if len(ignored) == 1 else "are"
        notes = (*notes, f"{', '.join(ignored)} of the file {verb} ignored")
    return HeldExamples(images, None, given, notes)


def read_given(labels: Any, n: int, classes: tuple[str, ...], source: str) -> GivenLabels:
    """Return labels of n examples as classes of a model."""
    column = read_labels(labels, source, lambda row: f"that of example {row}")
    if len(column.codes) != n:
        raise InputError(
            f"there are {len(column.codes):,} labels for {n:,} examples; there must be one per example. "
            "Check that both come from the same rows."
        )
    return GivenLabels.of_column(column, classes, source)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name; that of a ``.npy`` file has the name ``""``."""
    is_bare = path.suffix.lower() == ".npy"
    try:
        with path.open("rb") as file:
            if is_bare:
                check_array_fits(file, path.stat().st_size, "the file")
                return {"": load_array(file, "the file")}
            check_arrays_fit(file)
            return load_arrays(file)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a file that does.") from error
    except RefusedArraysError as error:
        raise DataError(f"{path} {error}. {_REMEDY}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory. Split it.") from error
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged and cannot be read ({error}). {_REMEDY}") from error
