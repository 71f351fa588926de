"""Failing downloads: the next mirror or a message of one line, and no broken file under its final name."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from mirrors import mirrors

NOWHERE = "http://127.0.0.1:9/"  # the discard port: nothing listens there
SHAPES = {
    "train-images-idx3-ubyte": (20, 28, 28),
    "train-labels-idx1-ubyte": (20,),
    "t10k-images-idx3-ubyte": (10, 28, 28),
    "t10k-labels-idx1-ubyte": (10,),
}


def idx(shape):
    array = np.random.default_rng(0).integers(0, 10, shape, dtype=np.uint8)
    return bytes([0, 0, 8, array.ndim]) + np.array(shape, dtype=">u4").tobytes() + array.tobytes()


CONTENTS = {name: idx(shape) for name, shape in SHAPES.items()}
GZIPPED = {f"{name}.gz": gzip.compress(body, mtime=0) for name, body in CONTENTS.items()}
SUMS = {
    name: tuple(hashlib.sha256(content).hexdigest() for content in (body, GZIPPED[f"{name}.gz"]))
    for name, body in CONTENTS.items()
}
# The command line, with four small files in the place of MNIST and mirrors of the loopback.
COMMAND = f"""
import sys
from dataclasses import replace
from dilution.cli import main
from dilution.data import registry
from dilution.data.builtin.mnist import MNIST, Checksums

files = {{name: Checksums(*sums) for name, sums in {SUMS!r}.items()}}
mirrors = tuple(sys.argv.pop(1).split(","))
registry._BY_NAME["mnist"] = replace(MNIST, files=files, mirrors=mirrors)
main()
"""


def good(file):
    return 200, GZIPPED[file], len(GZIPPED[file])


def login_page(_):
    page = b"<html><body>Please sign in to the network of this hotel.</body></html>"
    return 200, page, len(page)


def other_content(file):
    body = GZIPPED[file]
    return 200, body[:-1] + bytes([body[-1] ^ 1]), len(body)


def cut(file):
    body = GZIPPED[file]
    return 200, body[: len(body) // 2], len(body)


def absent(_):
    return 404, b"", 0


def broken(_):
    return 500, b"", 0


def slow(file):
    body = GZIPPED[file]

    def parts():
        for start in range(0, len(body), 64):
            yield body[start : start + 64]
            time.sleep(0.1)

    return 200, parts(), len(body)


BAD = (login_page, other_content, cut, absent, broken)


@pytest.fixture
def serve():
    with mirrors() as start:
        yield start


def fetching(folder, *mirrors):
    """Start `dilution data fetch mnist` with these mirrors."""
    words = ["data", "fetch", "mnist", "--data-root", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, ",".join(mirrors), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("bad", [*BAD, None], ids=lambda bad: bad.__name__ if bad else "nowhere")
def test_after_a_bad_mirror_the_next_one_is_tried(tmp_path, serve, bad):
    process = fetching(tmp_path, NOWHERE if bad is None else serve(bad), serve(good))
    printed, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert printed.count("present") == len(GZIPPED)
    assert files(tmp_path / "mnist") == GZIPPED


def test_where_every_mirror_is_bad_the_message_is_one_line_and_no_file_is_left(tmp_path, serve):
    process = fetching(tmp_path, *[serve(bad) for bad in BAD], NOWHERE)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    (line,) = error.splitlines()
    for part in ("could not be downloaded", "sent other content", "HTTP 404", "HTTP 500", "by hand"):
        assert part in line
    assert files(tmp_path) == {}


def test_without_a_network_one_line_says_what_to_do(tmp_path):
    process = fetching(tmp_path, NOWHERE)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert len(error.splitlines()) == 1
    assert "--data-root or DILUTION_DATA" in error
    assert files(tmp_path) == {}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_download_that_is_ended_midway_leaves_no_broken_file(tmp_path, serve, end):
    process = fetching(tmp_path, serve(slow))
    started = time.monotonic()
    while not any(path.is_file() and path.stat().st_size for path in tmp_path.rglob("*")):
        assert time.monotonic() - started < 60
        time.sleep(0.05)
    process.send_signal(end)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not [path for path in (tmp_path / "mnist").iterdir() if path.is_file()]
    process = fetching(tmp_path, serve(good))
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    written = {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir() if path.is_file()}
    assert written == GZIPPED
