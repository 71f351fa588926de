"""Files of data sets: download from the first mirror that works, and the state of each file on disk."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dilution.errors import DataError


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
    """

    file: Path
    state: Literal["present", "missing", "altered"]
    sha256: str
    size: int
    expected: str = ""
    damaged: tuple[str, ...] = ()


def download(file: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> Path:
    """Download one file from the first mirror that sends the right content, and return its path.

    The bytes go to a temporary folder inside `folder`; the file is moved to its name only once the checksum
    matches. An existing file is replaced. (``pooch.retrieve`` knows one URL per file, leaves its temporary
    file after a kill, and leaves files that only their owner can read.)

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
        If the folder cannot be written to, or no mirror sends the right content.
    """
    import pooch  # lazily: only a download needs it

    failures = []
    with _temporary_folder(folder) as temporary:
        part = Path(temporary) / file
        for mirror in mirrors:
            try:
                pooch.HTTPDownloader(timeout=(10, 60))(mirror + file, str(part), None)
                if pooch.file_hash(str(part)) == sha256:
                    return part.replace(folder / file)
                reason = "sent other content"
            except OSError as error:  # includes the errors of requests
                reason = _reason(error)
            failures.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise DataError(
        f"{file} could not be downloaded ({'; '.join(failures)}); it is needed in {folder}. Download it by "
        f"hand from {mirrors[0]}{file}, or name a folder that has it with --data-root or DILUTION_DATA."
    )


def _temporary_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder inside `folder`, on the same file system: moving a file is one step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".download-", dir=folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}); downloads need a writable folder. "
            "Name another with --data-root or DILUTION_DATA."
        ) from error


def _reason(error: OSError) -> str:
    """Return why a request failed in a few words; the messages of requests run over several lines."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return error.strerror or type(error).__name__
