"""Mirrors on the loopback that answer downloads, well or badly."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
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
