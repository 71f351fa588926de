"""Files of transition matrices: arrays of NumPy, or rows of numbers in a CSV file."""

import io
from pathlib import Path

import numpy as np

from dilution.errors import DataError, InputError
from dilution.noise.transition import Matrix
from dilution.utils.npz_size import check_array_fits, load_array
from dilution.utils.references import user_folder
from dilution.utils.regular_file import check_regular, expand_home

MAX_BYTES = 1 << 30
"""Of a file: T of 10,000 classes takes 800 MB."""

_SUFFIXES = (".npy", ".csv")


def file_content(path: str) -> bytes:
    """Return the content of a file of a transition matrix.

    Parameters
    ----------
    path
        The file, relative to the current folder.

    Raises
    ------
    DataError
        If it cannot be read, or is too large.
    """
    file = user_folder() / expand_home(path)
    check_regular(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"the transition matrix {path} cannot be read: {error.strerror}. Name a file such as the "
            "transition.csv of dilution diagnose, relative to the current folder."
        ) from None
    if len(content) > MAX_BYTES:
        raise DataError(
            f"{path} has more than {MAX_BYTES:,} bytes; a transition matrix has fewer. Write it as .npy."
        )
    return content


def array_of(content: bytes) -> Matrix:
    """Return the array in the content of an ``.npy`` file, float64.

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError
        If it is no array of numbers.
    """
    file = io.BytesIO(content)
    check_array_fits(file, len(content), "T", MAX_BYTES)
    loaded = load_array(file, "T")
    if loaded.dtype.kind not in "fiub":
        raise TypeError(f"it holds {loaded.dtype}")
    return loaded.astype(np.float64)


def read_matrix(path: str | Path) -> Matrix:
    """Return the numbers in an ``.npy`` file, or in a ``.csv`` file of one row per class without a header.

    Parameters
    ----------
    path
        The file, relative to the current folder.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it has no table of numbers.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"T is {str(path)!r}; a file of a transition matrix ends in {' or '.join(_SUFFIXES)}. Write it "
            "with numpy.save."
        )
    content = file_content(str(path))
    try:
        if suffix == ".npy":
            return array_of(content)
        if not content.strip():
            raise ValueError("it is empty")
        return np.loadtxt(io.StringIO(content.decode("utf-8-sig")), delimiter=",", ndmin=2)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0].rstrip(".")
        raise InputError(
            f"{path} has no transition matrix ({reason}); it must hold numbers alone, one row per true class "
            "and one column per noisy class, in the order of the classes. Write it with numpy.save."
        ) from None
