"""Downloads: limits of size and time, no way from https to plain http. Mirrors that fail are in faults/."""

import gc
import hashlib
import threading
from types import SimpleNamespace

import pytest
from mirrors import mirrors

from dilution.data import download as module
from dilution.data.download import download
from dilution.errors import DataError

CONTENT = b"x" * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def send(_):
    return 200, CONTENT, len(CONTENT)


def test_the_right_content_gets_its_name(tmp_path):
    with mirrors() as serve:
        path = download("file", SHA256, tmp_path / "new", [serve(send)])
    assert path == tmp_path / "new" / "file"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("_MAX_BYTES", 4096, "sent more than 0 MiB"), ("_MAX_SECONDS", -1.0, "took more than")],
)
def test_a_mirror_beyond_a_limit_is_given_up_and_nothing_is_left(
    tmp_path, monkeypatch, limit, value, message
):
    monkeypatch.setattr(module, limit, value)
    with mirrors() as serve, pytest.raises(DataError, match=message):
        download("file", SHA256, tmp_path, [serve(send)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "location", "refused"),
    [
        ("https://a.org/x", "http://a.org/x", True),
        ("https://a.org/x", "https://b.org/x", False),
        ("https://a.org/x", "/y", False),
        ("https://a.org/x", "//b.org/y", False),
        ("https://a.org/x", "ftp://a.org/x", True),
        ("http://127.0.0.1/x", "http://127.0.0.1/y", False),
    ],
)
def test_a_redirect_from_https_must_stay_with_https(url, location, refused):
    response = SimpleNamespace(is_redirect=True, url=url, headers={"location": location})
    if refused:
        with pytest.raises(OSError, match="redirects to plain http"):
            module._refuse_plain_http(response)
    else:
        module._refuse_plain_http(response)


# A request that was given up closes its socket when it is collected, which Python warns of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_mirror_that_sends_a_byte_now_and_then_is_given_up_at_the_limit(tmp_path, monkeypatch):
    """A part is complete with its last byte, which such a mirror never sends: no part is written."""
    waiting = threading.Event()

    def drip(_):
        def parts():
            yield CONTENT[:1]
            waiting.wait(60)

        return 200, parts(), len(CONTENT)

    monkeypatch.setattr(module, "_MAX_SECONDS", 0.2)
    with mirrors() as serve:
        with pytest.raises(DataError, match="took more than"):
            download("file", SHA256, tmp_path, [serve(drip)])
        waiting.set()
    for thread in threading.enumerate():
        if thread.name == "dilution-download":
            thread.join(30)
    gc.collect()  # so that the warning comes here
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("Invalid IPv6 URL"), UnicodeError("label too long")])
def test_a_redirect_to_no_address_is_a_failure_of_the_mirror(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", fail)
    with pytest.raises(DataError, match="redirects to no address"):
        download("file", SHA256, tmp_path, ["https://a.org/"])
