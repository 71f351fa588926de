"""Arrays of decoded images in ``.npy`` files, written with a checksum and mapped into memory to be read.

A file must have the very header that its array has, so that nothing is parsed that somebody else has made.
"""

import io
import math
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dilution.utils.atomic import create_file, temporary_path


def save_array(path: Path, array: NDArray[Any]) -> int:
    """Write an array and return its CRC-32; the file has its name once it is complete."""
    array = np.ascontiguousarray(array)
    temporary, content = temporary_path(path), _bytes(array)
    with create_file(temporary) as file:  # np.save does not say why a file could not be written
        file.write(_header(array.dtype, array.shape))
        file.write(content)
    temporary.replace(path)
    return zlib.crc32(content)


def map_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array in a file that :func:`save_array` wrote, mapped into memory for reading.

    Parameters
    ----------
    path
        The file.
    dtype, shape
        Type and shape that the array must have.

    Raises
    ------
    OSError
        If the file does not exist, is a link, or cannot be read.
    ValueError
        If it is no such file; the text says why.
    """
    header = _header(np.dtype(dtype), shape)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is no file")
        n_bytes = len(header) + math.prod(shape) * np.dtype(dtype).itemsize
        if status.st_size != n_bytes:
            raise ValueError(f"{path.name} has {status.st_size:,} bytes and must have {n_bytes:,}")
        if file.read(len(header)) != header:
            raise ValueError(f"{path.name} has another type or shape than its images")
        return np.memmap(file, dtype, "r", len(header), shape)


def check_content(array: NDArray[Any], checksum: int, name: str) -> None:
    """Raise ValueError unless an array that was mapped has the content that was written, finite numbers."""
    if zlib.crc32(_bytes(array)) != checksum:
        raise ValueError(f"{name} does not match its checksum")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    header, descr = io.BytesIO(), np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    return header.getvalue()


def _bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, without copying them."""
    return array.reshape(-1).view(np.uint8).data
