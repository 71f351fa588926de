"""ZIP files whose directory is limited before it is read, and entries that unpack to no more than they take.

Python makes an object of each entry of a directory.
"""

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


def check_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Check that no entry is compressed and all fit in the file, as in those of ``torch.save``.

    Parameters
    ----------
    archive
        The ZIP file.
    size
        Bytes of the file.

    Raises
    ------
    ValueError
        If it is compressed, or announces more bytes than it has; the text is a sentence without its end.
    """
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("it announces more bytes than it has")


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
