"""ZIP files whose directory is limited before it is read: Python makes an object of each of its entries."""

import zipfile
from typing import Any, BinaryIO, cast

_DATA_SET = 1 << 20  # bytes of a directory: more than 100 arrays with the longest names take


class LargeDirectoryError(zipfile.BadZipFile):
    """A ZIP file has more entries than anything that is read has; the text is a sentence without its end."""


def open_zip(file: BinaryIO, max_directory: int = _DATA_SET) -> zipfile.ZipFile:
    """Return the ZIP file in an open file, for reading.

    An entry takes 46 bytes in the directory and ten times as much in memory, and it may stand for a file of
    no bytes.

    Parameters
    ----------
    file
        The file, open.
    max_directory
        Most bytes that the directory may have.

    Raises
    ------
    LargeDirectoryError
        If the directory is larger.
    zipfile.BadZipFile
        If the file is damaged.
    OSError, NotImplementedError
        If the file cannot be read, or is of another kind.
    """
    limited = _LimitedReads(file, max_directory)
    archive = zipfile.ZipFile(cast(BinaryIO, limited))
    limited.limit = None
    return archive


class _LimitedReads:
    """A file of which no more is read at once than a limit, while there is one.

    Parameters
    ----------
    file, limit
        The file, and the bytes.
    """

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        self._file, self.limit = file, limit

    def read(self, size: int = -1) -> bytes:
        """Read as the file does; the directory of a ZIP file is read at once."""
        if self.limit is None:
            return self._file.read(size)
        if size > self.limit:
            raise LargeDirectoryError(
                f"its directory has {size:,} bytes; at most {self.limit:,} are read, which many files take"
            )
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
