"""One file over HTTP, as a mirror sends it: limits of size, time and redirects, and nothing unpacked."""

import hashlib
import time
from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

_TIMEOUTS = (10, 60)  # seconds to connect, and between two parts of the content
_MAX_SECONDS = 3600.0
_MAX_BYTES = 1 << 28  # the largest file of a built-in data set, CIFAR-10, takes 170 MB
_MAX_REDIRECTS = 5
_PART = 1 << 10  # bytes: of a slow mirror each is written as it comes


class MirrorError(OSError):
    """A mirror does not send a file, or does what it may not do; the text says what, as a predicate."""


def request_file(url: str, file: BinaryIO) -> str:
    """Write what a URL sends to a file, and return its SHA-256 in hex.

    The bytes are those that are sent: they are not unpacked, whatever the mirror says of their encoding,
    since a small answer could unpack to any size.

    Parameters
    ----------
    url
        The URL: https, or http.
    file
        The file, open for writing.

    Raises
    ------
    MirrorError
        If nothing is sent, too much, or too slowly, or a redirect leads from https to something else, to
        another kind of address, or never to a file.
    OSError
        If the file cannot be written.
    """
    outcome: list[str | BaseException] = []
    _within_limit(partial(_request, url, file, time.monotonic() + _MAX_SECONDS), outcome)
    result = outcome.pop()  # popped, so that no cycle keeps the connection in the error's frames open
    try:
        if isinstance(result, BaseException):
            raise result
        return result
    finally:
        del result


def _within_limit(request: Callable[[], str], outcome: list[str | BaseException]) -> None:
    """Make a request in a thread, and give it up at the limit: a mirror can send one byte per minute.

    The limit of time between two parts does not end such a request, nor does a look at the clock for each
    part, because a part is only complete with its last byte. The thread ends with this process.
    """

    def run() -> None:
        try:
            outcome.append(request())
        except BaseException as error:
            outcome.append(error)

    thread = Thread(target=run, daemon=True, name="dilution-download")
    thread.start()
    thread.join(_MAX_SECONDS)
    if not outcome:
        raise MirrorError(f"took more than {_MAX_SECONDS / 60:.0f} minutes")


def _request(url: str, file: BinaryIO, end: float) -> str:
    """Make requests until one is answered by a file; `end` is the time at which they are given up."""
    from requests import (
        RequestException,
        Response,
        Session,
    )  # lazily, as pooch does: only a download needs it
    from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

    class OneAnswer(Session):
        """A session that follows no redirect.

        requests reads the whole content of each, which may have no end, even where it is asked not to follow.
        """

        def get_redirect_target(self, resp: Response) -> None:
            """Return None, as for an answer that is no redirect."""

    with OneAnswer() as session:
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                with session.get(
                    url,
                    stream=True,
                    allow_redirects=False,
                    headers={"Accept-Encoding": "identity"},
                    timeout=_TIMEOUTS,
                ) as response:
                    if response.is_redirect:
                        url = redirect_target(url, response.headers["location"])
                        continue
                    if response.status_code != 200:
                        raise MirrorError(f"HTTP {response.status_code}")
                    return _write(response.raw.stream(_PART, decode_content=False), file, end)
            except ReadTimeoutError:
                raise MirrorError(f"sent nothing for {_TIMEOUTS[1]} seconds") from None
            except ProtocolError:
                raise MirrorError("was cut off") from None
            except (RequestException, HTTPError) as error:
                raise MirrorError(type(error).__name__) from error
            except ValueError:  # of the idna encoding; the message repeats the address
                raise MirrorError("redirects to no address") from None
    raise MirrorError(f"redirects more than {_MAX_REDIRECTS} times")


def redirect_target(url: str, location: str) -> str:
    """Return the URL to which a redirect leads.

    Parameters
    ----------
    url
        The URL that was asked for.
    location
        The header of that name of its answer.

    Raises
    ------
    MirrorError
        If it leads from https to plain http, where whoever is between could replace what is sent; to a file
        of this machine or another kind of address; or nowhere.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise MirrorError("redirects to no address") from None
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise MirrorError("redirects to plain http")
    if parts.scheme not in ("http", "https"):
        raise MirrorError("redirects to an address that is not of https")
    if not is_address:
        raise MirrorError("redirects to no address")
    return target


def _write(parts: Iterable[bytes], file: BinaryIO, end: float) -> str:
    """Write parts to a file, and return their SHA-256 in hex; raise MirrorError at a limit."""
    digest, size = hashlib.sha256(), 0
    for part in parts:
        size += len(part)
        if size > _MAX_BYTES:
            raise MirrorError(f"sent more than {_MAX_BYTES >> 20:,} MiB")
        if time.monotonic() > end:
            raise MirrorError(f"took more than {_MAX_SECONDS / 60:.0f} minutes")
        digest.update(part)
        file.write(part)
        file.flush()
    return digest.hexdigest()
