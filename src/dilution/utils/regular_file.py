"""Pipes and devices are no files: reading one may never end. Nor is what no file can be named."""

import os
import stat
from pathlib import Path

from dilution.errors import InputError, short_repr


def check_regular(path: Path) -> None:
    """Check that a path, or what it links to, is no pipe, socket or device.

    Parameters
    ----------
    path
        A file, a folder, or nothing.

    Raises
    ------
    InputError
        If it is something else, its name is longer than that of a file can be, or a folder may not be read.
    """
    try:
        if "\0" in str(path):
            raise ValueError("it contains a zero byte")  # Python takes it for a file that does not exist
        exists = path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{short_repr(str(path))} cannot be a file to read ({reason}). Correct the name, or the "
            "permissions of its folder."
        ) from error
    if exists and not path.is_file() and not path.is_dir():
        raise InputError(
            f"{path} is a pipe, a socket or a device; it must be a file. Write its content to a file first."
        )


def file_size(path: Path) -> int:
    """Return the bytes of a file; 0 if there is none, also if another process deletes it at this moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError:
        if path.exists():  # otherwise a part of the path is no folder, or links in a circle
            raise
        return 0


def path_stamp(path: Path) -> str:
    """Return a text that changes with a file: its size, and the times when content and status changed last.

    Raises
    ------
    OSError
        If there is no such file.
    """
    status = path.stat()
    return f"{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"


def expand_home(text: str | Path) -> Path:
    """Return a path with the home folder in place of ``~``; one of no user stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # it begins with ~ and the name of no user
        return Path(text)


def is_file(text: str | Path) -> bool:
    """Return whether a text is the path of a file; one that cannot be a path, such as a long one, is not."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file that is no link, pipe or device, without waiting for one.

    Parameters
    ----------
    path
        The file.
    max_bytes
        Largest size.

    Raises
    ------
    OSError
        If the file does not exist or cannot be read.
    ValueError
        If it is something else than a file, or larger; the text says which.
    """
    if path.is_symlink():
        raise ValueError("it is a link")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it has more than {max_bytes:,} bytes")
    return content
