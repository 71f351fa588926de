"""Data sets in ``.npz`` files of a user."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.from_arrays import ARGUMENTS, CheckedArrays, check_arrays
from dilution.errors import DataError, InputError, unknown
from dilution.utils.npz_size import RefusedArraysError, check_arrays_fit, load_arrays

_REMEDY = "Write it with numpy.savez(file, images=images, labels=labels)."
_NPY_MAGIC = b"\x93NUMPY"

_DAMAGED = (
    *(OSError, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(zlib.error, lzma.LZMAError, struct.error),
)
"""What reading a damaged file may raise; RuntimeError: it is encrypted."""


def load(path: Path) -> DataSet:
    """Return the data set in a ``.npz`` file, named after the file.

    Parameters
    ----------
    path
        File with `images` or `features`, and `labels`; optionally `test_images` or `test_features`,
        `test_labels`, `noisy_labels` and `classes`. The rules are those of
        :func:`dilution.data.from_arrays.from_numpy`. Pickled objects are never loaded, because unpickling a
        file from others can execute any code.

    Raises
    ------
    DataError
        If the file is missing, damaged, no ``.npz``, or holds Python objects.
    InputError
        If a key is missing or unknown, or an array breaks a rule.
    """
    arrays = _check(path)
    try:
        return arrays.to_data_set(path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_unsplit(path: Path) -> UnsplitData:
    """Return the examples in the order of the file, without those of a test split that the file brings.

    Parameters and errors are those of :func:`load`.
    """
    return _check(path).to_unsplit_data()


def _check(path: Path) -> CheckedArrays:
    arrays = _read(path)
    try:
        classes = arrays.pop("classes", None)
        names = None if classes is None else [str(name) for name in classes.ravel().tolist()]
        return check_arrays(**arrays, classes=names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # NumPy does not close a damaged file that it opened itself
        with path.open("rb") as stream:
            if stream.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
                raise DataError(f"{path} holds one bare array; it must be a .npz file. {_REMEDY}")
            stream.seek(0)
            _check_keys(check_arrays_fit(stream), path)
            return load_arrays(stream)
    except InputError:  # a ValueError, but of no damage
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a .npz file. {_REMEDY}") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} cannot be read; it must be a whole .npz file. {_REMEDY}") from error
    except MemoryError as error:
        raise DataError(f"{path} does not fit into memory. {error}. {_REMEDY}") from error
    except RefusedArraysError as error:
        remedy = _REMEDY
        if error.objects:
            remedy = f"Save {error.objects}.astype('str') for text, or one array of equal shapes."
        raise DataError(f"{path} {error}. {remedy}") from error
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged and cannot be unpacked ({error}). {_REMEDY}") from error


def _check_keys(keys: Sequence[str], path: Path) -> None:
    """Raise InputError unless all keys have a meaning and the data are there; nothing is unpacked before."""
    for key in keys:
        if key not in ARGUMENTS:
            error = unknown("key", key, ARGUMENTS)  # so that a misspelt test_labels is noticed
            raise InputError(f"{path}: {error}")
    for needed in (("images", "features"), ("labels",)):
        if not any(key in keys for key in needed):
            raise InputError(
                f"{path}: there is no {' or '.join(needed)}, only {', '.join(keys) or 'nothing'}; images or "
                f"features, and labels, are needed. {_REMEDY}"
            )
