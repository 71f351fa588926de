"""Pipes and devices are no files: reading one may never end. Nor is what no file can be named."""

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
        exists = path.exists()
    except (OSError, ValueError) as error:  # ValueError: it contains a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{short_repr(str(path))} cannot be a file to read ({reason}). Correct the name, or the "
            "permissions of its folder."
        ) from error
    if exists and not path.is_file() and not path.is_dir():
        raise InputError(
            f"{path} is a pipe, a socket or a device; it must be a file. Write its content to a file first."
        )


def is_file(text: str | Path) -> bool:
    """Return whether a text is the path of a file; one that cannot be a path, such as a long one, is not."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
