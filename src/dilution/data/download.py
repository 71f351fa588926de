"""Files of data sets: download from the first mirror that works, and the state of each file on disk."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dilution.data.mirror_request import MirrorError, request_file
from dilution.errors import DataError
from dilution.utils.atomic import check_replaceable, create_file, flush_folder


@dataclass(frozen=True)
class FileStatus:
    """State of one file of a data set.

    Parameters
    ----------
    file
        Path of the file, or the path to which a download would write it.
    state
        ``"present"``; ``"missing"``; or ``"altered"``, if it differs from the original or is damaged.
    sha256
        Of the unpacked content, in hex; empty if the file is missing or cannot be unpacked.
    size
        Bytes on disk; 0 if missing.
    expected
        SHA-256 of the unpacked original, in hex; empty if unknown.
    damaged
        Descriptions of what differs from the original or does not match a checksum.
    notes
        What of it is not used, one sentence each.
    """

    file: Path
    state: Literal["present", "missing", "altered"]
    sha256: str
    size: int
    expected: str = ""
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def download(file: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> Path:
    """Download one file from the first mirror that sends the right content, and return its path.

    The bytes go to a temporary folder inside `folder`; the file is moved to its name only once the checksum
    matches. An existing file of other content is replaced. A mirror that sends more than 256 MiB, takes more
    than an hour, or leads from https to plain http is given up. (``pooch.retrieve`` knows one URL per file,
    follows every redirect, leaves its temporary file after a kill, and leaves files that only their owner can
    read.)

    Parameters
    ----------
    file
        Name of the file, on the mirrors and in `folder`.
    sha256
        Checksum of the file as the mirrors send it, in hex.
    folder
        Folder to write to; created if it does not exist.
    mirrors
        URLs of folders, each ending in a slash, tried in order; at least one.

    Raises
    ------
    DataError
        If the folder is a link or cannot be written to, or no mirror sends the right content.
    InputError
        If there is a folder or a device of the file's name.
    """
    target = folder / file
    if _has_content(target, sha256):
        return target
    failures = []
    with _temporary_folder(folder) as temporary:
        for number, mirror in enumerate(mirrors):
            part = Path(temporary) / f"{number}"
            try:
                with create_file(part) as opened:
                    sent = request_file(mirror + file, opened)
                    opened.flush()
                    os.fsync(opened.fileno())
                reason = "sent other content"
            except OSError as error:
                sent, reason = "", str(error if isinstance(error, MirrorError) else error.strerror)
            if sent == sha256:
                return _moved(part, target)
            failures.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise DataError(
        f"{file} could not be downloaded ({'; '.join(failures)}); it is needed in {folder}. Download it by "
        f"hand from {mirrors[0]}{file}, or name a folder that has it with --data-root or DILUTION_DATA."
    )


def _has_content(path: Path, sha256: str) -> bool:
    """Return whether a file is there with this checksum, such as one that was downloaded by hand."""
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:  # another user's, perhaps; whether it can be replaced is seen then
        return False


def _moved(part: Path, target: Path) -> Path:
    """Give a file its name."""
    try:
        check_replaceable(target)
        part.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise DataError(
            f"{target} could not be written: {error.strerror}. Downloads need a writable folder. Name "
            "another with --data-root or DILUTION_DATA."
        ) from error
    return target


def _temporary_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder inside `folder`, on the same file system: moving a file is one step.

    Its name cannot be foreseen, and it is open to this user alone.
    """
    if folder.is_symlink():
        raise DataError(
            f"{folder} is a link, and files are downloaded there. Name another with "
            "--data-root or DILUTION_DATA, or put the files where the link leads."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".download-", dir=folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}); downloads need a writable folder. "
            "Name another with --data-root or DILUTION_DATA."
        ) from error
