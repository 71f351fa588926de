"""Folders of results: a file there that this program has not written, or somebody changed, stays as it is.

A hidden file in the folder lists the files that were written, with a digest of each.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from dilution.errors import InputError
from dilution.utils.atomic import check_writable, write_atomic

MARKER = ".dilution-files.json"
_MAX_NAMES = 5  # in an error message


def claim(folder: str | Path, names: Iterable[str], *, overwrite: bool = False) -> Path:
    """Create a folder of results if it does not exist, and return it once the files may be written.

    Call it before a long computation whose result goes there.

    Parameters
    ----------
    folder
        The folder.
    names
        Names of the files that will be written.
    overwrite
        Whether files of others may be replaced.

    Raises
    ------
    InputError
        If the folder has a file of such a name that :func:`write_output` has not written as it is.
    DilutionError
        If the folder cannot be written to.
    """
    folder = check_writable(Path(folder))
    foreign = sorted(name for name in set(names) if not _is_ours(folder / name))
    if overwrite:
        for name in foreign:
            if (folder / name).is_symlink():
                (folder / name).unlink()
            else:
                _record(folder, {name: _digest((folder / name).read_bytes())})
    elif foreign:
        raise _refusal(folder, foreign)
    return folder


def write_output(path: Path, content: bytes) -> Path:
    """Write a file of a result and return its path; a reader never sees a part of it.

    Parameters
    ----------
    path
        File to write, in a folder of results.
    content
        The whole file.

    Raises
    ------
    InputError
        If the file exists and was not written by this function as it is.
    DilutionError
        If it cannot be written.
    """
    if not _is_ours(path):
        raise _refusal(path.parent, [path.name])
    write_atomic(path, content)
    _record(path.parent, {path.name: _digest(content)})
    return path


def _is_ours(path: Path) -> bool:
    """Return whether there is no file, or that which was written."""
    if path.is_symlink():
        return False
    if not path.is_file():
        return True  # there is none; what else is there is an error as it is written
    return _read(path.parent).get(path.name) == _digest(path.read_bytes())


def _read(folder: Path) -> dict[str, str]:
    """Return the digests of the files that were written; none if the list is missing or damaged."""
    try:
        digests = json.loads((folder / MARKER).read_bytes())["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _record(folder: Path, digests: dict[str, str]) -> None:
    before = _read(folder)
    after = dict(sorted({**before, **digests}.items()))
    if after != before:
        write_atomic(folder / MARKER, (json.dumps({"files": after}, indent=1) + "\n").encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refusal(folder: Path, names: list[str]) -> InputError:
    listed = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
    return InputError(
        f"{folder} has {listed}, which dilution has not written, or which was changed since. Choose another "
        "--out, or --overwrite (overwrite=True) to replace."
    )
