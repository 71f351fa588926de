"""The IDX format of MNIST: a header with the shape, then the bytes; plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilution.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
IDX_MAGIC = b"\x00\x00\x08"  # two zero bytes, then the code of unsigned bytes


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path
        The file. Whether it is gzipped is seen from its content, not from its name.

    Returns
    -------
    ndarray
        uint8, of the shape that the header gives, writable.

    Raises
    ------
    DataError
        If the file cannot be read or unpacked, is no IDX file of unsigned bytes, or is longer or
        shorter than its header says.
    """
    return parse(unpack(path), path)


def unpack(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is gzipped; DataError if that fails."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a readable file. "
            "Check its name and permissions."
        ) from error
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} cannot be unpacked ({error}); a whole gzip file was expected. "
            "Delete it and fetch it again."
        ) from error


def parse(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array in unpacked IDX bytes; `path` is only named in the error message."""
    if len(content) < 4 or not content.startswith(IDX_MAGIC):
        raise DataError(
            f"{path} starts with the bytes {content[:4].hex(' ') or '(none)'}; an IDX file of "
            "unsigned bytes starts with 00 00 08. Delete it and fetch it again."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(
            f"{path} is {len(content):,} bytes long; its header alone takes {start}. "
            "It was cut off: delete it and fetch it again."
        )
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path} is {len(content):,} bytes long unpacked; its header announces {expected:,} "
            f"(shape {'×'.join(map(str, shape))}). Delete it and fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()
