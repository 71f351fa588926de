"""Pipes and devices are no files: reading one may never end."""

from pathlib import Path

from dilution.errors import InputError


def check_regular(path: Path) -> None:
    """Check that a path, or what it links to, is no pipe, socket or device.

    Parameters
    ----------
    path
        A file, a folder, or nothing.

    Raises
    ------
    InputError
        If it is something else.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(
            f"{path} is a pipe, a socket or a device; it must be a file. Write its content to a file first."
        )
