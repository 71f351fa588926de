"""Mirrors on the loopback that answer downloads, well or badly."""

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes | Iterable[bytes], int]
"""Status, body or its parts one after the other, and the length that is announced."""


@contextmanager
def mirrors() -> Iterator[Callable[[Callable[[str], Answer]], str]]:
    """Give a function that starts a mirror: from file name to answer, and returns its URL."""
    servers = []

    def start(answer: Callable[[str], Answer]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body, length = answer(self.path.rsplit("/", 1)[-1])
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked may be gone
                    for part in [body] if isinstance(body, bytes) else body:
                        self.wfile.write(part)
                        self.wfile.flush()

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/mnist/"

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def raw_mirrors(
    tls: ssl.SSLContext | None = None,
) -> Iterator[Callable[[Callable[[str], Iterable[bytes]]], str]]:
    """Give a function that starts a mirror: from path to the bytes of an answer, and returns its URL.

    The parts of an answer are sent, headers and all, as long as somebody reads them.
    """
    servers = []

    def start(answer: Callable[[str], Iterable[bytes]]) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), ExitStack() as stack:
                    connection = self.request
                    if tls is not None:
                        connection = stack.enter_context(tls.wrap_socket(connection, server_side=True))
                    lines = stack.enter_context(connection.makefile("rb"))
                    path = lines.readline().split()[1].decode()
                    while lines.readline().strip():
                        pass
                    for part in answer(path):
                        connection.sendall(part)
                    if isinstance(connection, ssl.SSLSocket):
                        connection.unwrap()

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/"

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
