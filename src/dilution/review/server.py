"""The server of a review: one page on this machine, behind a secret address, and the answers it sends back.

It listens on 127.0.0.1 only. Every request must name that host, so that a page of the internet cannot reach
it by a name of its own, and the path has a secret token. Nothing but the page is served, and no page of
another origin may read an answer or send one.
"""

import json
import os
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dilution.errors import DilutionError, InputError
from dilution.review.answers import WRONG, AnswerFile
from dilution.review.items import ReviewItems
from dilution.review.page import render_page
from dilution.utils.printable import page_bytes
from dilution.utils.strict_json import parse_json

HOST = "127.0.0.1"
_MOST_BYTES = 1_000_000  # of a request: 2,000 answers take 30 kB
_PATIENCE = 30.0  # seconds to wait for the rest of a request
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Answers = list[tuple[int, int | None]]


class ReviewServer(ThreadingHTTPServer):
    """Serves the page of a review and writes the answers to its file.

    Parameters
    ----------
    items
        The examples.
    answers
        Where answers go.
    command
        Command that uses the answers.
    port
        Port on 127.0.0.1. Default: one that is free.

    Raises
    ------
    InputError
        If the port is in use or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere two programs could then listen on one port

    def __init__(self, items: ReviewItems, answers: AnswerFile, command: str = "", port: int = 0) -> None:
        self.items, self.answers, self.command = items, answers, command
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"port {port} of {HOST} cannot be used: {reason}. Choose another one, or 0 for a free one."
            ) from error

    @property
    def hosts(self) -> set[str]:
        """Values of the Host header that a request may have."""
        return {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        """Address of the page, which contains the token: keep it secret."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report defects; a browser that went away or sent nothing is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def page(self) -> bytes:
        """Return the page with the answers so far."""
        return page_bytes(render_page(self.items, self.answers.table, self.command, save_to="answers"))

    def record(self, body: bytes) -> str:
        """Write the answers in the body of a request; return a warning, or an empty text.

        Raises
        ------
        InputError
            If the body is not a list of answers.
        DilutionError
            If they cannot be written.
        """
        return self.answers.record(_read_answers(body, len(self.items), len(self.items.classes)))


class _Handler(BaseHTTPRequestHandler):
    """Answers the two requests of the page, and refuses all others."""

    server: ReviewServer
    server_version, sys_version = "dilution", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Send the page."""
        if self._is_allowed(""):
            self._reply(HTTPStatus.OK, self.server.page(), "text/html;charset=utf-8")

    def do_POST(self) -> None:
        """Write answers, and say whether they are in the file."""
        if not self._is_allowed("answers"):
            return
        origin, length = self.headers.get("Origin"), self.headers.get("Content-Length", "")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "answers come from the page only")
        elif self.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "answers are JSON")
        elif not length.isdecimal() or len(length) > len(str(_MOST_BYTES)) or int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {_MOST_BYTES:,} bytes are read")
        else:
            self._record(self.rfile.read(int(length)))

    def _record(self, body: bytes) -> None:
        try:
            warning = self.server.record(body)
        except _BadRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except DilutionError as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
        else:
            changed = list(self.server.answers.answers().items()) if warning else None
            reply = {"warning": warning, "answers": changed}  # those of another program too
            self._reply(HTTPStatus.OK, json.dumps(reply).encode(), "application/json")

    def _is_allowed(self, name: str) -> bool:
        """Return whether a request names this host and the path with the token; otherwise refuse it."""
        if self.headers.get("Host") not in self.server.hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
            return False
        expected = f"/{self.server.token}/{name}".encode()
        if not secrets.compare_digest(self.path.encode("utf-8", "replace"), expected):
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return False
        return True

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._reply(status, json.dumps({"error": reason}).encode(), "application/json")

    def _reply(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if kind.startswith("text/html"):
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:  # the page was closed
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Write no line per request."""


class _BadRequestError(InputError):
    """A request that the page does not send."""


def _read_answers(body: bytes, n_items: int, n_classes: int) -> Answers:
    """Return the answers in the body of a request, as pairs of item number and answer."""
    try:
        pairs = [(item, answer) for item, answer in parse_json(body)["answers"]]
    except (ValueError, LookupError, TypeError) as error:
        raise _BadRequestError("answers are pairs of an item and an answer") from error
    for item, answer in pairs:
        if type(item) is not int or not 0 <= item < n_items:  # a truth value is no number here
            raise _BadRequestError("an item is the number of an example on the page")
        if answer is not None and (type(answer) is not int or not WRONG <= answer < n_classes):
            raise _BadRequestError("an answer is the number of a class, −1, −2 or null")
    return pairs
