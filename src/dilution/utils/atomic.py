"""Atomic writes: a file is written as a whole or not at all."""

import contextlib
import os
import tempfile
import threading
from pathlib import Path

from dilution.errors import DilutionError


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

    The bytes go to a temporary file in the same folder, which is then renamed.

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
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident():x}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        except BaseException:  # Ctrl-C too
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        remedy = "choose a folder that you may write to and that has room"
        if path.is_dir():
            remedy = "it is a folder; choose the name of a file"
        raise DilutionError(
            f"{path} could not be written: {error.strerror or error}. The file takes "
            f"{len(content) / 1000:.0f} kB; {remedy}."
        ) from error
    return path
