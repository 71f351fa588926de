"""A user's own data set in one `.npz` file."""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.data.arrays import DataSet
from dilution.data.convert import from_numpy
from dilution.errors import DataError, InputError, unknown

REQUIRED = ("images", "labels")
KEYS = (*REQUIRED, "test_images", "test_labels", "classes")

_REMEDY = "Write it with numpy.savez(file, images=…, labels=…)."


def load(path: Path) -> DataSet:
    """Return the data set in a `.npz` file, named after the file.

    Parameters
    ----------
    path
        Holds `images` and `labels`, and may hold `test_images`, `test_labels` and `classes`; the
        rules are those of :func:`dilution.data.convert.from_numpy`. Pickled objects are never
        loaded, because unpickling a foreign file can run any code.

    Raises
    ------
    DataError
        If the file is missing, damaged, no `.npz`, or holds Python objects.
    InputError
        If a key is missing or unknown, or an array breaks a rule.
    """
    arrays = _read(path)
    try:
        for key in arrays:
            if key not in KEYS:
                raise unknown("key", key, KEYS)  # a misspelt test_labels must not go unnoticed
        for key in REQUIRED:
            if key not in arrays:
                raise InputError(
                    f"there is no {key}, only {', '.join(arrays) or 'nothing'}; images and labels "
                    f"are needed. {_REMEDY}"
                )
        classes = arrays.pop("classes", None)
        names = None if classes is None else [str(name) for name in classes.ravel().tolist()]
        found = from_numpy(**arrays, classes=names, name=path.stem)
        unseen = sorted(set(found.test.labels.tolist()) - set(found.train.labels.tolist()))
        if unseen:
            raise InputError(
                f"the test half holds class {found.test.classes[unseen[0]]!r}, of which training has no "
                "picture; no network can learn it. Add pictures of it, or leave it out of the test half."
            )
        return found
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # NumPy leaves a damaged file open unless it is given one that is closed for it.
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
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DataError(f"{path} is damaged: {key} is no array. {_REMEDY}") from error
        raise DataError(
            f"{path} holds Python objects under {key}; only plain numbers and strings are loaded, "
            f"never pickles. Save {key}.astype('str') for text, or one array of equal shapes."
        ) from error
    return entry
