"""Data sets in ``.npz`` files of a user."""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.from_arrays import ARGUMENTS, CheckedArrays, check_arrays
from dilution.errors import DataError, InputError, unknown

_REMEDY = "Write it with numpy.savez(file, images=images, labels=labels)."


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
        for key in arrays:
            if key not in ARGUMENTS:
                raise unknown("key", key, ARGUMENTS)  # so that a misspelt test_labels is noticed
        for keys in (("images", "features"), ("labels",)):
            if not any(key in arrays for key in keys):
                raise InputError(
                    f"there is no {' or '.join(keys)}, only {', '.join(arrays) or 'nothing'}; images or "
                    f"features, and labels, are needed. {_REMEDY}"
                )
        classes = arrays.pop("classes", None)
        names = None if classes is None else [str(name) for name in classes.ravel().tolist()]
        return check_arrays(**arrays, classes=names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # NumPy does not close a damaged file that it opened itself
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                return {key: _entry(loaded, key, path) for key in loaded.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a .npz file. {_REMEDY}") from error
    except (OSError, ValueError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read; it must be a whole .npz file. {_REMEDY}") from error
    raise DataError(f"{path} holds one bare array; it must be a .npz file. {_REMEDY}")


def _entry(file: np.lib.npyio.NpzFile, key: str, path: Path) -> NDArray[Any]:
    try:
        entry: NDArray[Any] = file[key]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {key} cannot be unpacked ({error}). {_REMEDY}") from error
    except MemoryError as error:
        raise DataError(f"{path}: {key} does not fit into memory. {error}. {_REMEDY}") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DataError(f"{path} is damaged: {key} is no array. {_REMEDY}") from error
        raise DataError(
            f"{path} holds Python objects under {key}; only plain numbers and strings are loaded, "
            f"never pickles. Save {key}.astype('str') for text, or one array of equal shapes."
        ) from error
    return entry
