"""The arrays in ``.npz`` and ``.npy`` files: their headers before they are unpacked, their texts after."""

import math
import struct
import sys
import tokenize
from collections import Counter
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from dilution.utils.available_memory import available_memory
from dilution.utils.printable import printable
from dilution.utils.zip_directory import LargeDirectoryError, open_zip

_MAX_ARRAYS = 100
_MAX_NAME = 100  # characters of a name in a message
_COPIES = 2  # of the arrays while they are read
_NO_HEADER = (
    *(ValueError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError),
    *(struct.error, tokenize.TokenError),
)
"""What NumPy raises where a header is none: it is a literal of Python."""
_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


class RefusedArraysError(ValueError):
    """A file holds what no data set does; the text is a predicate, to follow the name of the file.

    Parameters
    ----------
    text
        The predicate.
    objects
        Name of the array that holds Python objects, if that is the reason.
    """

    def __init__(self, text: str, objects: str = "") -> None:
        super().__init__(text)
        self.objects = objects


def check_arrays_fit(file: BinaryIO, limit: int | None = None) -> list[str]:
    """Check by their headers that the arrays in a ``.npz`` file are plain and fit, and return their names.

    A header may announce any size: of a type without width, an array of 10¹⁸ elements takes no byte.

    Parameters
    ----------
    file
        The file, open; afterwards it is at its start.
    limit
        Bytes that the arrays may take together. Default: half of the memory that is free.

    Raises
    ------
    RefusedArraysError
        If there are more arrays than a data set has, two have one name, one is no array, has a type without
        width, holds Python objects, or is larger or smaller than its header announces, or all together exceed
        the limit.
    zipfile.BadZipFile, OSError, EOFError, zlib.error, NotImplementedError, RuntimeError
        If the file is damaged, packed in another way, or encrypted.
    """
    total = 0
    try:
        opened_archive = open_zip(file)
    except LargeDirectoryError as error:
        raise RefusedArraysError(f"is no file of arrays: {error}") from error
    with opened_archive as archive:
        members = archive.infolist()
        if len(members) > _MAX_ARRAYS:
            raise RefusedArraysError(f"has {len(members):,} arrays; at most {_MAX_ARRAYS} are read")
        names = [member.filename.removesuffix(".npy") for member in members]
        for twice in [name for name, count in Counter(names).items() if count > 1]:
            raise RefusedArraysError(f"holds two arrays under the name {printable(twice[:_MAX_NAME])}")
        for member, name in zip(members, names, strict=True):
            if PurePosixPath(member.filename).suffix != ".npy":
                raise RefusedArraysError(f"holds {printable(name[:_MAX_NAME])}, which is no array")
            with archive.open(member) as opened:
                total += _array_bytes(opened, name, member.file_size)
    _check_total(total, limit)
    file.seek(0)
    return names


def check_array_fits(file: BinaryIO, size: int, name: str, limit: int | None = None) -> None:
    """Check the array in a ``.npy`` file of `size` bytes, as :func:`check_arrays_fit` does."""
    _check_total(_array_bytes(file, name, size), limit)
    file.seek(0)


def load_arrays(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """Return the arrays in a ``.npz`` file that :func:`check_arrays_fit` has checked, by name.

    Raises
    ------
    RefusedArraysError
        If a text has a character that there is not; Python fails at the first use of such a text.
    zipfile.BadZipFile, OSError, ValueError, EOFError, zlib.error, NotImplementedError, RuntimeError
        If the file is damaged.
    """
    with np.load(file, allow_pickle=False) as loaded:
        return {name: with_valid_text(loaded[name], name) for name in loaded.files}


def load_array(file: BinaryIO, name: str) -> NDArray[Any]:
    """Return the array in a ``.npy`` file that :func:`check_array_fits` has checked; errors as there."""
    return with_valid_text(npy_format.read_array(file, allow_pickle=False), name)


def with_valid_text(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array, whose texts must have code points of Unicode; NumPy stores any 32 bits.

    Parameters
    ----------
    array
        Any plain array.
    name
        Its name, for the message.

    Raises
    ------
    RefusedArraysError
        If a text has another code point.
    """
    for field in array.dtype.names or ():
        with_valid_text(array[field], name)
    if array.dtype.kind == "U" and array.size:
        codes = np.ascontiguousarray(array).reshape(-1).view(f"{array.dtype.str[0]}u4")
        if (largest := int(codes.max())) > sys.maxunicode:
            raise RefusedArraysError(
                f"holds {printable(name[:_MAX_NAME])} with a character of the code 0x{largest:x}, "
                f"and the last of Unicode is 0x{sys.maxunicode:x}"
            )
    return array


def _array_bytes(file: Any, name: str, size: int) -> int:
    """Return the bytes of an array by its header, and check that `size` bytes hold header and array."""
    shown = printable(name[:_MAX_NAME])
    try:
        version = npy_format.read_magic(file)
        shape, _, dtype = _READERS[version](file)
    except _NO_HEADER as error:
        raise RefusedArraysError(f"holds {shown}, which is no array") from error
    if dtype.hasobject:
        raise RefusedArraysError(
            f"holds Python objects under {shown}; only plain numbers and strings are loaded, never pickles",
            objects=shown,
        )
    if dtype.itemsize == 0:
        raise RefusedArraysError(
            f"holds {shown} of the type {dtype.str}, which has no width, so that its length has no limit"
        )
    if any(length < 0 for length in shape):
        raise RefusedArraysError(f"holds {shown}, which is no array")
    n_bytes = math.prod(shape) * dtype.itemsize
    if file.tell() + n_bytes != size:
        raise RefusedArraysError(
            f"holds {shown} in {size:,} bytes, and its header announces {file.tell() + n_bytes:,} (shape "
            f"{'×'.join(map(str, shape)) or 'of one number'}, {dtype})"
        )
    if math.prod(length for length in shape if length) * dtype.itemsize > np.iinfo(np.intp).max:
        raise RefusedArraysError(f"holds {shown}, which is no array")
    return n_bytes


def _check_total(total: int, limit: int | None) -> None:
    if limit is None:
        free = available_memory()
        if free is not None and _COPIES * total > free:
            raise RefusedArraysError(
                f"holds arrays that take {_COPIES * total / 1e9:,.1f} GB while they are read; "
                f"{free / 1e9:,.1f} GB of memory are free"
            )
    elif total > limit:
        raise RefusedArraysError(f"holds arrays of {total:,} bytes; at most {limit:,} are read")
