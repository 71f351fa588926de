"""Files of data sets: download from the first mirror that works, and the state of each file on disk."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Literal
from urllib.parse import urljoin, urlsplit

from dilution.errors import DataError

_TIMEOUTS = (10, 60)  # seconds to connect, and between two parts of the content
_MAX_SECONDS = 3600.0
_TOO_LONG = f"took more than {_MAX_SECONDS / 60:.0f} minutes"
_MAX_BYTES = 1 << 30  # the largest file of a built-in data set, CIFAR-10, takes 170 MB


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
    matches. An existing file is replaced. A mirror that sends more than a GiB, takes more than an hour, or
    leads from https to plain http is given up. (``pooch.retrieve`` knows one URL per file, leaves its
    temporary file after a kill, and leaves files that only their owner can read.)

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
                request = pooch.HTTPDownloader(timeout=_TIMEOUTS, hooks={"response": _refuse_plain_http})
                with part.open("wb") as opened:
                    _within_limit(partial(request, mirror + file, _LimitedFile(opened), None))
                if pooch.file_hash(str(part)) == sha256:
                    return part.replace(folder / file)
                reason = "sent other content"
            except (OSError, ValueError) as error:  # OSError includes the errors of requests
                reason = _reason(error)
            failures.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise DataError(
        f"{file} could not be downloaded ({'; '.join(failures)}); it is needed in {folder}. Download it by "
        f"hand from {mirrors[0]}{file}, or name a folder that has it with --data-root or DILUTION_DATA."
    )


def _within_limit(request: Callable[[], object]) -> None:
    """Make a request in a thread, and give it up at the limit: a mirror can send one byte per minute.

    The limit of time between two parts does not end such a request, nor does a look at the clock for each
    part, because a part is only complete with its last byte. The thread ends with this process.
    """
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            request()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = Thread(target=run, daemon=True, name="dilution-download")
    thread.start()
    thread.join(_MAX_SECONDS)
    if not outcome:
        raise _RefusedError(_TOO_LONG)
    error = outcome.pop()  # popped, so that no cycle keeps the connection in the error's frames open
    try:
        if error is not None:
            raise error
    finally:
        del error


class _LimitedFile:
    """A file that takes no more than :data:`_MAX_BYTES`, and no longer than :data:`_MAX_SECONDS`."""

    def __init__(self, opened: BinaryIO) -> None:
        self._file, self._size, self._end = opened, 0, time.monotonic() + _MAX_SECONDS

    def write(self, content: bytes) -> int:
        """Write a part; raise OSError at a limit."""
        self._size += len(content)
        if self._size > _MAX_BYTES:
            raise _RefusedError(f"sent more than {_MAX_BYTES >> 20:,} MiB")
        if time.monotonic() > self._end:
            raise _RefusedError(_TOO_LONG)
        return self._file.write(content)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


class _RefusedError(OSError):
    """A mirror does what it may not do; the text says what."""


def _refuse_plain_http(response: Any, *_: object, **__: object) -> None:
    """Refuse a redirect from https to plain http: whoever is between could read and replace what is sent."""
    if response.is_redirect and urlsplit(response.url).scheme == "https":
        target = urljoin(response.url, response.headers["location"])
        if urlsplit(target).scheme != "https":
            raise _RefusedError("redirects to plain http")


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


def _reason(error: OSError | ValueError) -> str:
    """Return why a request failed in a few words; the messages of requests run over several lines."""
    if isinstance(error, _RefusedError):
        return str(error)
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "redirects to no address"  # the message repeats the address
    return getattr(error, "strerror", None) or type(error).__name__
