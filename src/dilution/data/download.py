"""Downloaded files: what is there, and how a missing one is fetched from the first good mirror."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from dilution.errors import DataError


@dataclass(frozen=True)
class Finding:
    """What a check found for one file of a data set.

    Parameters
    ----------
    file
        Where it is, or where a download would put it.
    state
        ``"present"``, ``"missing"``, or ``"altered"``: it is not the original.
    sha256
        Of the content after unpacking, in hex; empty if it is missing or cannot be unpacked.
    size
        Bytes on disk, before unpacking; 0 if missing.
    expected
        SHA-256 of the original's content, in hex; empty where none is known.
    damaged
        What of a pack does not fit its checksums, in words.
    """

    file: Path
    state: Literal["present", "missing", "altered"]
    sha256: str
    size: int
    expected: str = ""
    damaged: tuple[str, ...] = ()


def download(file: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> Path:
    """Fetch one file from the first mirror that sends the right content.

    The bytes go to a temporary place in the same folder and get their own name only after the
    checksum fits, so that a broken file is never found under it. A file that is there already
    and has another checksum is replaced.

    Parameters
    ----------
    file
        Its name, on the mirrors and in `folder`.
    sha256
        Of the file as sent, in hex.
    folder
        Made if it does not exist.
    mirrors
        URLs of folders, each ending in a slash, tried in turn; at least one.

    Returns
    -------
    Path
        The file in `folder`.

    Raises
    ------
    DataError
        If the folder cannot be written, or no mirror sends the right content.
    """
    import pooch  # lazily: only a download needs it

    failures = []
    with _scratch(folder) as scratch:
        part = Path(scratch) / file
        for mirror in mirrors:
            try:
                pooch.HTTPDownloader(timeout=(10, 60))(mirror + file, str(part), None)
                if pooch.file_hash(str(part)) == sha256:
                    return part.replace(folder / file)
                reason = "sent another content"
            except OSError as error:  # those of requests are OSErrors too
                reason = _reason(error)
            failures.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise DataError(
        f"{file} could not be downloaded ({'; '.join(failures)}); it is needed in {folder}. Put it "
        f"there by hand, from {mirrors[0]}{file}, or name a folder that has it with --data-root "
        "or DILUTION_DATA."
    )


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder inside `folder`, so that a rename out of it is one step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".download-", dir=folder)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written ({error.strerror}); downloads need a writable folder. "
            "Name another with --data-root or DILUTION_DATA."
        ) from error


def _reason(error: OSError) -> str:
    # The messages of requests run over several lines: keep what a user can act on.
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return error.strerror or type(error).__name__
