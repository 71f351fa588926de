"""Folders of results: what is there that this program has not written, or somebody changed, stays as it is.

A hidden file in the folder lists the files that were written, with a digest of each, and which command they
are of.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeGuard

from dilution.errors import DataError, InputError
from dilution.utils.atomic import check_replaceable, check_writable, write_atomic
from dilution.utils.regular_file import read_regular
from dilution.utils.strict_json import parse_json

MARKER = ".dilution-files.json"
_MAX_MARKER = 1_000_000  # bytes: the names and digests of ten thousand files
_MAX_NAMES = 5  # in an error message
_MAX_COMMAND = 40  # characters of a command in it

_claimed: dict[Path, str] = {}
"""Command of each file that this process has claimed, which is recorded once the file is written."""


def claim(folder: str | Path, names: Iterable[str], *, overwrite: bool = False, command: str = "") -> Path:
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
    command
        Command that will write them, such as ``"plan"``: files of another one are those of others.

    Raises
    ------
    InputError
        If the folder has something of such a name that :func:`write_output` has not written as it is, or that
        another command has.
    DilutionError
        If the folder cannot be written to, or a file in it that may be replaced cannot be read.
    """
    folder, names = check_writable(Path(folder)), sorted(set(names))
    for name in sorted({*names, MARKER}):
        check_replaceable(folder / name)
    foreign, written = [name for name in names if not is_own_output(folder / name)], _read(folder)
    if written is None:
        foreign.insert(0, MARKER)
    if foreign and not overwrite:
        raise _refusal(folder, foreign)
    writers = {} if written is None else written.commands
    others = [name for name in names if (folder / name).exists() and writers.get(name, command) != command]
    if command and others and not overwrite:
        raise InputError(
            f"{folder} has {_listed(others)} of `dilution {writers[others[0]][:_MAX_COMMAND]}`. Choose "
            "another --out, or --overwrite (overwrite=True) to replace."
        )
    for name in foreign:
        if name == MARKER or (folder / name).is_symlink():
            (folder / name).unlink()
        else:
            _record(folder, {name: file_digest(folder / name)})
    for name in names if command else ():
        _claimed[(folder / name).absolute()] = command
    return folder


def write_output(path: Path, content: bytes, command: str = "") -> Path:
    """Write a file of a result and return its path; a reader never sees a part of it.

    Parameters
    ----------
    path
        File to write, in a folder of results.
    content
        The whole file.
    command
        Command that it is of. Default: that which has claimed it.

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
    command = command or _claimed.get(path.absolute(), "")
    _record(path.parent, {path.name: _digest(content)}, {path.name: command} if command else None)
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
    written = _read(path.parent)
    digest = None if written is None else written.files.get(path.name)
    return digest is not None and digest == file_digest(path)  # a file that is not listed may have any size


class _Written(NamedTuple):
    """What the hidden file lists: the digest of each file, and the command that some are of."""

    files: dict[str, str]
    commands: dict[str, str]


def _read(folder: Path) -> _Written | None:
    """Return what the list of a folder says; None if something else is in its place."""
    try:
        content = parse_json(read_regular(folder / MARKER, _MAX_MARKER))
    except FileNotFoundError:
        return _Written({}, {})
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    files, commands = content.get("files"), content.get("commands", {})
    return _Written(files, commands) if _is_table(files) and _is_table(commands) else None


def _is_table(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _record(folder: Path, digests: dict[str, str], commands: dict[str, str] | None = None) -> None:
    before = _read(folder) or _Written({}, {})
    after = _Written(
        dict(sorted({**before.files, **digests}.items())),
        dict(sorted({**before.commands, **(commands or {})}.items())),
    )
    if after != before:
        write_atomic(folder / MARKER, (json.dumps(after._asdict(), indent=1) + "\n").encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")


def _refusal(folder: Path, names: list[str]) -> InputError:
    return InputError(
        f"{folder} has {_listed(names)}, which dilution has not written, or which was changed since. Choose "
        "another --out, or --overwrite (overwrite=True) to replace."
    )
