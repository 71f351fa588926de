"""Writing a file whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from dilution.errors import DilutionError


def check_writable(folder: Path) -> Path:
    """Return `folder`, made if it did not exist, once a file could be written there.

    Raises
    ------
    DilutionError
        If it is no folder, or cannot be made or written to: better before an hour of training than after.
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


def write_whole(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, creating its folder; a reader never sees half a file.

    The bytes go to a temporary name beside `path`, which then takes its place in one step.

    Parameters
    ----------
    path
        Where to write. An existing file is replaced.
    content
        The whole file.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    DilutionError
        If the file cannot be written. Nothing is left behind, and an older file is untouched.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise DilutionError(
            f"{path} could not be written: {error.strerror or error}. The file is "
            f"{len(content) / 1000:.0f} kB; choose the name of a file in a folder that you may write to and "
            "that has room."
        ) from error
    return path
