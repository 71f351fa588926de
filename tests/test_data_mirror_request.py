"""Requests to mirrors that do anything: the file, or a reason in a few words, within limits."""

import gc
import gzip
import hashlib
import io
import itertools
import shutil
import ssl
import subprocess
import threading

import pytest
from mirrors import raw_mirrors

from dilution.data import mirror_request as module
from dilution.data.mirror_request import MirrorError, redirect_target, request_file

CONTENT = bytes(range(256)) * 20


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(module, "_TIMEOUTS", (5, 0.3))
    monkeypatch.setattr(module, "_MAX_BYTES", 1 << 20)


@pytest.fixture
def serve():
    with raw_mirrors() as start:
        yield start


def answer(body=CONTENT, status="200 OK", **headers):
    """Return an answer with these headers; the length is not announced unless a header does so."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
    return lambda _: itertools.chain([head], [body] if isinstance(body, bytes) else body)


def redirect(location, body=b""):
    return answer(body, "302 Found", Location=location)


def requested(url):
    """Return what is written for a URL, whose checksum must be the one that is returned."""
    file = io.BytesIO()
    digest = request_file(f"{url}file", file)
    assert digest == hashlib.sha256(file.getvalue()).hexdigest()
    return file.getvalue()


def endless(part=bytes(1 << 16)):
    return itertools.repeat(part)


def chunked(*parts):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


PACKED = gzip.compress(bytes(1 << 26), mtime=0)  # 64 MiB, beyond the limit
SENT = {
    "length": (answer(Content_Length=len(CONTENT)), CONTENT),
    "no length": (answer(), CONTENT),
    "a length that is too short": (answer(Content_Length=10), CONTENT[:10]),
    "a length that is no number": (answer(Content_Length="abc"), CONTENT),
    "a negative length": (answer(Content_Length=-5), CONTENT),
    "chunks": (answer(chunked(CONTENT, b"x", b""), Transfer_Encoding="chunked"), CONTENT + b"x"),
    "gzip": (answer(PACKED, Content_Encoding="gzip"), PACKED),
    "gzip in gzip": (answer(gzip.compress(PACKED), Content_Encoding="gzip, gzip"), gzip.compress(PACKED)),
    "an encoding that there is not": (answer(Content_Encoding="x"), CONTENT),
}


@pytest.mark.parametrize(("sent", "expected"), SENT.values(), ids=SENT)
def test_what_is_sent_is_written_as_it_is(serve, sent, expected):
    assert requested(serve(sent)) == expected


STATUS = b"HTTP/1.1 200 OK\r\n"
REFUSED = {
    "no end": (answer(endless()), "sent more than 1 MiB"),
    "a length beyond the limit": (answer(endless(), Content_Length=10**15), "sent more than 1 MiB"),
    "chunks without end": (
        answer(itertools.repeat(chunked(bytes(1000))), Transfer_Encoding="chunked"),
        "sent more than 1 MiB",
    ),
    "a chunk without a size": (answer(endless(b"1" * 65536), Transfer_Encoding="chunked"), "was cut off"),
    "a chunk of a size that is no number": (answer(b"xyz\r\n", Transfer_Encoding="chunked"), "was cut off"),
    "a length that is too long": (answer(Content_Length=10**5), "was cut off"),
    "two lengths": (answer(Content_Length="5, 7"), "InvalidHeader"),
    "nothing": (lambda _: [], "ConnectionError"),
    "no HTTP": (lambda _: endless(b"x" * 65536), "ConnectionError"),
    "a header without end": (lambda _: itertools.chain([STATUS, b"X: "], endless(b"x" * 65536)), "Error"),
    "headers without end": (lambda _: itertools.chain([STATUS], endless(b"X: y\r\n")), "Error"),
    "another status": (answer(endless(), "404 Not Found"), "HTTP 404"),
    "a part": (answer(status="206 Partial Content"), "HTTP 206"),
    "a redirect without an address": (answer(status="302 Found"), "HTTP 302"),
}  # fmt: skip


# requests closes the socket of an answer that is no HTTP when it is collected, which Python warns of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("sent", "message"), REFUSED.values(), ids=REFUSED)
def test_other_answers_are_refused_in_a_few_words(serve, sent, message):
    with pytest.raises(MirrorError, match=message) as refusal:
        request_file(serve(sent), io.BytesIO())
    assert len(str(refusal.value)) < 60
    del refusal
    gc.collect()  # so that the warning comes here


def test_a_mirror_that_falls_silent_is_given_up(serve):
    silent = threading.Event()

    def parts():
        yield CONTENT
        silent.wait(30)

    with pytest.raises(MirrorError, match=r"sent nothing for 0\.3 seconds"):
        request_file(serve(answer(parts())), io.BytesIO())
    silent.set()


# A request that was given up closes its socket when it is collected, which Python warns of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", ["status", "headers", "content"])
def test_a_mirror_that_sends_a_byte_now_and_then_is_given_up_at_the_limit(serve, monkeypatch, where):
    """A part is complete with its last byte, which such a mirror never sends: no part is written."""
    ended = threading.Event()
    before = {"status": b"", "headers": b"HTTP/1.1 200 OK\r\nX: ", "content": b"HTTP/1.1 200 OK\r\n\r\n"}

    def drip(_):
        yield before[where]
        while not ended.wait(0.02):
            yield b"x"

    monkeypatch.setattr(module, "_MAX_SECONDS", 0.2)
    with pytest.raises(MirrorError, match="took more than"):
        request_file(serve(drip), io.BytesIO())
    ended.set()
    for thread in threading.enumerate():
        if thread.name == "dilution-download":
            thread.join(30)
    gc.collect()  # so that the warning comes here


ADDRESSES = {
    ("https://a.org/x", "http://a.org/x"): "redirects to plain http",
    ("https://a.org/x", "HTTP://a.org/x"): "redirects to plain http",
    ("https://a.org/x", "https://b.org/x"): None,
    ("https://a.org/x", "/y"): None,
    ("https://a.org/x", "//b.org/y"): None,
    ("https://a.org/x", "ftp://a.org/x"): "not of https",
    ("https://a.org/x", "file:///etc/passwd"): "not of https",
    ("http://127.0.0.1/x", "file:///etc/passwd"): "not of https",
    ("http://127.0.0.1/x", "data:text/plain,x"): "not of https",
    ("http://127.0.0.1/x", "http://127.0.0.1/y"): None,
    ("http://127.0.0.1/x", "http://:80/y"): "to no address",
    ("http://127.0.0.1/x", "http://[::1"): "to no address",
    ("http://127.0.0.1/x", "http://a:99999999/"): "to no address",
    ("http://127.0.0.1/x", "http://a:b/"): "to no address",
}  # fmt: skip


@pytest.mark.parametrize(("addresses", "message"), ADDRESSES.items())
def test_a_redirect_must_lead_to_http_and_from_https_to_https(addresses, message):
    if message is None:
        assert redirect_target(*addresses).startswith(("http://", "https://"))
    else:
        with pytest.raises(MirrorError, match=message):
            redirect_target(*addresses)


def test_redirects_are_followed_and_their_content_is_not_read(serve):
    target = serve(answer())
    assert requested(serve(redirect(f"{target}elsewhere", endless()))) == CONTENT


def test_redirects_without_end_are_given_up(serve):
    counted = []
    url = serve(lambda path: [counted.append(path)] and redirect("/again")(path))
    with pytest.raises(MirrorError, match="redirects more than 5 times"):
        request_file(url, io.BytesIO())
    assert len(counted) == 6


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://" + "a" * 70 + ".org/", "http://a b/", "file:///etc/passwd"]
)
def test_a_redirect_to_nowhere_is_a_failure_of_the_mirror(serve, location):
    file = io.BytesIO()
    with pytest.raises(MirrorError):
        request_file(serve(redirect(location)), file)
    assert file.getvalue() == b""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Certificate and key of 127.0.0.1 and localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificate")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def serve_https(certificate, monkeypatch):
    """Start mirrors of https that this process trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with raw_mirrors(context) as start:
        yield start


def test_a_mirror_of_https_may_redirect_to_another_of_https(serve_https):
    other = serve_https(answer()).replace("127.0.0.1", "localhost")
    assert requested(serve_https(redirect(other))) == CONTENT


@pytest.mark.parametrize("location", ["plain", "file:///etc/passwd"])
def test_nothing_is_asked_of_where_https_may_not_lead(serve, serve_https, location):
    asked = []
    plain = serve(lambda path: [asked.append(path)] and answer()(path))
    with pytest.raises(MirrorError, match="redirects to"):
        request_file(serve_https(redirect(plain if location == "plain" else location)), io.BytesIO())
    assert asked == []


def test_a_mirror_with_a_certificate_of_nobody_is_refused(serve_https, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(MirrorError, match="SSLError"):
        request_file(serve_https(answer()), io.BytesIO())
