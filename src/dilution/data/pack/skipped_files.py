"""The list of files that a packing skipped, one line each; its end shows whether it was changed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dilution.errors import DataError
from dilution.utils.atomic import write_atomic
from dilution.utils.printable import printable
from dilution.utils.regular_file import read_regular

SkippedFile = tuple[str, str]
"""Name of a file that was skipped, and the reason."""

_END = b"# written by dilution data pack; SHA-256 of the text before: "
_MAX_BYTES = 1 << 30


def check(target: Path) -> None:
    """Refuse to pack where something else than the list of an earlier packing would be replaced.

    Parameters
    ----------
    target
        The pack.

    Raises
    ------
    DataError
        If there is such a thing.
    """
    path = _path(target)
    try:
        text, line, digest = read_regular(path, _MAX_BYTES).rpartition(_END)
        is_own = line != b"" and digest == _digest(text)
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        is_own = False
    if not is_own:
        raise DataError(
            f"{path} could not be removed: this program has not written it, or it was changed since. A "
            "packing lists the files that it skips there. Remove it yourself, or pack to another file."
        )


def write(target: Path, skipped: Sequence[SkippedFile]) -> None:
    """Write the list of skipped files; if there are none, delete the list of an earlier pack of this name.

    Parameters
    ----------
    target
        The pack.
    skipped
        The files.

    Raises
    ------
    DataError
        If something else is in its place, or it cannot be removed.
    DilutionError
        If it cannot be written.
    """
    check(target)
    path = _path(target)
    if skipped:
        text = "\n".join(f"{printable(name)}: {reason}" for name, reason in skipped).encode() + b"  "
        write_atomic(path, text + _END + _digest(text))
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path} could not be removed: {error.strerror}. It belongs to an earlier pack; this one skipped "
            "no files. Remove it yourself."
        ) from error


def _path(target: Path) -> Path:
    return target.with_name(f"{target.name}.skipped.txt")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode() + b"\n"
