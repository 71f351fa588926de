"""Folders of results: what is there that this program has not written, or somebody changed, stays as it is.

A hidden file in the folder lists the files that were written, with a digest of each.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from dilution.errors import DataError, InputError
from dilution.utils.atomic import check_replaceable, check_writable, write_atomic
from dilution.utils.regular_file import read_regular
from dilution.utils.strict_json import parse_json

MARKER = ".dilution-files.json"
_MAX_MARKER = 1_000_000  # bytes: the names and digests of ten thousand files
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
        Whether files of others may be replaced. Folders, pipes and devices never are.

    Raises
    ------
    InputError
        If the folder has something of such a name that :func:`write_output` has not written as it is.
    DilutionError
        If the folder cannot be written to, or a file in it that may be replaced cannot be read.
    """
    folder = check_writable(Path(folder))
    for name in sorted({*names, MARKER}):
        check_replaceable(folder / name)
    foreign = sorted(name for name in set(names) if not is_own_output(folder / name))
    if _read(folder) is None:
        foreign.insert(0, MARKER)
    if foreign and not overwrite:
        raise _refusal(folder, foreign)
    for name in foreign:
        if name == MARKER or (folder / name).is_symlink():
            (folder / name).unlink()
        else:
            _record(folder, {name: file_digest(folder / name)})
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
    check_replaceable(path)
    foreign = [MARKER] if _read(path.parent) is None else []
    foreign += [] if is_own_output(path) else [path.name]
    if foreign:
        raise _refusal(path.parent, foreign)
    write_atomic(path, content)
    _record(path.parent, {path.name: _digest(content)})
    return path


def replace_work(path: Path, content: bytes, digest: str) -> Path:
    """Replace a file of a person whose work the new content includes, and return its path.

    The new file belongs to the person too: :func:`write_output` does not replace it.

    Parameters
    ----------
    path
        File to replace, in a folder of results.
    content
        The whole new file.
    digest
        Digest of the content that the new one includes (:func:`file_digest`).

    Raises
    ------
    InputError
        If the file has another content by now.
    DilutionError
        If it cannot be read or written.
    """
    if path.is_symlink() or file_digest(path) != digest:
        raise InputError(
            f"{path} was changed after it was read, and stays as it is. Run the same command again."
        )
    return write_atomic(path, content)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of the content of a file, in hex.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Check its name and permissions."
        ) from error


def is_own_output(path: Path) -> bool:
    """Return whether there is nothing, or the file that :func:`write_output` has written."""
    if not os.path.lexists(path):
        return True
    if path.is_symlink() or not path.is_file():
        return False
    digest = (_read(path.parent) or {}).get(path.name)  # a file that is not listed may have any size
    return digest is not None and digest == file_digest(path)


def _read(folder: Path) -> dict[str, str] | None:
    """Return the digests of the files that were written; None if something else is in the list's place."""
    try:
        content = parse_json(read_regular(folder / MARKER, _MAX_MARKER))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    digests = content.get("files") if isinstance(content, dict) else None
    if not isinstance(digests, dict) or not all(isinstance(digest, str) for digest in digests.values()):
        return None
    return digests


def _record(folder: Path, digests: dict[str, str]) -> None:
    before = _read(folder) or {}
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
