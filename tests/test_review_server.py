"""The server of a review, asked without a browser."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviews import review_of_images

from dilution.errors import InputError
from dilution.review.answers import FILE_NAME, AnswerFile
from dilution.review.server import HOST, ReviewServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    items, examples = review_of_images()
    with ReviewServer(items, AnswerFile(tmp_path / FILE_NAME, items, examples)) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            served.shutdown()
            thread.join()


def ask(
    server: ReviewServer, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a reply; a header of None is not sent."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.putrequest(method, path, skip_host=True)
    names = {"Host": f"{HOST}:{server.server_port}", "Content-Type": "application/json"}
    names |= {name.replace("_", "-"): value for name, value in headers.items()}
    if content is not None:
        names.setdefault("Content-Length", str(len(content)))
    for name, value in names.items():
        connection.putheader(name, value)
    connection.endheaders(content)
    reply = connection.getresponse()
    result = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return result


def answers_path(server: ReviewServer) -> str:
    return f"/{server.token}/answers"


def test_the_page_is_served_at_the_secret_address_only(server):
    status, headers, body = ask(server, "GET", f"/{server.token}/")
    assert status == 200
    assert b"Review of animals" in body
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"
    assert not [name for name in headers if name.lower().startswith("access-control")]
    for path in (
        "/",
        f"/{server.token}",
        f"/{server.token}x/",
        f"/{server.token}/../../etc/passwd",
        "/%C3%A9",
    ):
        assert ask(server, "GET", path)[0] == 404
    assert ask(server, "GET", f"/{server.token}/verified_labels.csv")[0] == 404


def test_an_answer_is_in_the_file_when_the_reply_arrives(server):
    status, _, body = ask(server, "POST", answers_path(server), {"answers": [[0, 1], [1, None]]})
    assert (status, json.loads(body)) == (200, {"warning": "", "answers": None})
    assert server.answers.path.read_text().splitlines()[1].startswith("0,dog,cat,dog,wrong,")
    assert b'"answers": [[0, 1]]' in ask(server, "GET", f"/{server.token}/")[2]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "", "127.0.0.1:1"])
def test_a_request_under_another_name_is_refused(server, host):
    assert ask(server, "GET", f"/{server.token}/", Host=host)[0] == 421
    assert ask(server, "POST", answers_path(server), {"answers": [[0, 1]]}, Host=host)[0] == 421
    assert not server.answers.path.exists()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Length": "5000000"}, 413),
        ({"Content_Length": "-1"}, 413),
    ],
)
def test_answers_of_other_pages_and_other_sizes_are_refused(server, headers, status):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    assert ask(server, "POST", answers_path(server), {"answers": [[0, 1]]}, **headers)[0] == status
    assert not server.answers.path.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"answers": 3}',
        b"[" * 100_000,
        {"answers": [[0]]},
        {"answers": [[-1, 0]]},
        {"answers": [[12, 0]]},
        {"answers": [[True, 0]]},
        {"answers": [[0, 3]]},
        {"answers": [[0, -3]]},
        {"answers": [[0, 1.0]]},
        {"answers": [["0", 1]]},
        {"answers": [[0, 1], [0, "dog"]]},
    ],
)
def test_what_is_no_list_of_answers_is_refused_as_a_whole(server, body):
    assert ask(server, "POST", answers_path(server), body)[0] == 400
    assert not server.answers.path.exists()


def test_an_answer_that_cannot_be_written_is_reported_and_the_next_one_saves_both(server):
    ask(server, "POST", answers_path(server), {"answers": [[0, 1]]})
    written = server.answers.path.read_bytes()
    server.answers.path.write_text("something else\n1\n")
    status, _, body = ask(server, "POST", answers_path(server), {"answers": [[1, 1]]})
    assert status == 409
    assert "lacks" in json.loads(body)["error"]
    server.answers.path.write_bytes(written)
    assert ask(server, "POST", answers_path(server), {"answers": [[1, 1]]})[0] == 200
    assert len(server.answers.path.read_text().splitlines()) == 3


def test_only_this_machine_is_listened_to(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_other_methods_are_refused(server):
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD"):
        assert ask(server, method, f"/{server.token}/")[0] == 501


def test_tokens_differ(tmp_path):
    items, examples = review_of_images()
    servers = [ReviewServer(items, AnswerFile(tmp_path / FILE_NAME, items, examples)) for _ in range(2)]
    for server in servers:
        server.server_close()
    assert servers[0].token != servers[1].token
    assert len(servers[0].token) >= 32


def test_a_port_in_use_is_named(tmp_path):
    items, examples = review_of_images()
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used"):
            ReviewServer(items, AnswerFile(tmp_path / FILE_NAME, items, examples), port=port)


@pytest.mark.parametrize("length", ["9" * 5_000, "1000001", "-1", "\xb2", "0x10", ""], ids=str.__len__)
def test_a_length_that_is_no_small_number_is_refused_before_anything_is_read(server, length):
    status, _, body = ask(server, "POST", answers_path(server), b"", Content_Length=length)
    assert status == 413
    assert b"at most 1,000,000 bytes" in body
