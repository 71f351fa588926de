"""Atomic writes: a file is written as a whole or not at all."""

import contextlib
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from dilution.errors import DilutionError, InputError

_MAX_NAME = 40  # characters of a name in that of its temporary file; names have 255 bytes at most


def check_writable(folder: Path) -> Path:
    """Create a folder if it does not exist, and return it once a file was written to it.

    Call it before a long computation whose result goes there.

    Raises
    ------
    DilutionError
        If the path is no folder, or the folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise DilutionError(
            f"{folder} cannot be written to: {error.strerror or error}. Choose a folder that you may write "
            "to."
        ) from error
    return folder


def write_atomic(path: Path, content: bytes) -> Path:
    """Write a file and return its path; a reader never sees a part of it.

    The bytes go to a temporary file in the same folder, whose name nobody can foresee. It is renamed once
    they are on the disk. If the path is a link, the link is replaced, and not the file that it leads to.

    Parameters
    ----------
    path
        File to write. An existing file is replaced, a missing folder is created.
    content
        The whole file.

    Raises
    ------
    DilutionError
        If the file cannot be written. No temporary file is left, and an existing file is unchanged.
    InputError
        If there is a folder, a pipe or a device of this name.
    """
    check_replaceable(path)
    part = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with create_file(part) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        raise DilutionError(
            f"{path} could not be written: {error.strerror or error}. The file takes "
            f"{len(content) / 1000:.0f} kB; choose a folder that you may write to and that has room."
        ) from error
    return path


def check_replaceable(path: Path) -> None:
    """Refuse to write a file in the place of a folder, a pipe, a socket or a device.

    Raises
    ------
    InputError
        If the path is one of these. A link is none of them: it is replaced itself.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # there is nothing, or nothing that can be seen, which writing reports
        return
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
    raise InputError(
        f"{path} is {kind}, and a file is written there; only files are replaced. Remove it yourself, or "
        "choose another name."
    )


def temporary_path(path: Path) -> Path:
    """Return a name beside a file for its content until it is complete; nobody can foresee it."""
    return path.with_name(f".{path.name[:_MAX_NAME]}.{secrets.token_hex(8)}.part")


def create_file(path: Path) -> BinaryIO:
    """Create and open a file that does not exist, with the permissions of the user's umask.

    Raises
    ------
    OSError
        If there is something of that name, even a link that leads nowhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def flush_folder(folder: Path) -> None:
    """Write the names in a folder through to the disk; some file systems cannot."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
