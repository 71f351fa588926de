import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mirrors import Answer, mirrors

from dilution.data import registry
from dilution.data.builtin import mnist
from dilution.data.builtin.mnist import Checksums
from dilution.errors import DataError

TRAIN = "train-images-idx3-ubyte"


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four tiny files that stand in for MNIST: name to unpacked content."""
    rng = np.random.default_rng(0)
    content = {
        "train-images-idx3-ubyte": idx_bytes(rng.integers(0, 256, (20, 28, 28))),
        "train-labels-idx1-ubyte": idx_bytes(np.arange(20) % 10),
        "t10k-images-idx3-ubyte": idx_bytes(rng.integers(0, 256, (10, 28, 28))),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(10)[::-1]),
    }
    sums = {
        name: Checksums(
            hashlib.sha256(body).hexdigest(),
            hashlib.sha256(gzip.compress(body, mtime=0)).hexdigest(),
        )
        for name, body in content.items()
    }
    monkeypatch.setattr(mnist, "FILES", sums)
    return content


def write(folder: Path, content: dict[str, bytes], *, packed: bool = False) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name, body in content.items():
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(body, compresslevel=1) if packed else body)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], Answer]], str]]:
    """Start local mirrors: a function from file name to answer becomes a URL."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with mirrors() as start:
        yield start


def good(content: dict[str, bytes]) -> Callable[[str], Answer]:
    def answer(file: str) -> Answer:
        body = gzip.compress(content[file.removesuffix(".gz")], mtime=0)
        return 200, body, len(body)

    return answer


def html(_: str) -> Answer:
    return 200, b"<html>sign in</html>", 20


def absent(_: str) -> Answer:
    return 404, b"", 0


def cut(content: dict[str, bytes]) -> Callable[[str], Answer]:
    def answer(file: str) -> Answer:
        status, body, length = good(content)(file)
        return status, body[: length // 2], length

    return answer


NOWHERE = "http://127.0.0.1:9/mnist/"  # the discard port: nothing listens there


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["mnist", "."])
def test_files_are_found_in_both_folders_gzipped_and_plain(
    tmp_path: Path, small: dict[str, bytes], packed: bool, sub: str
) -> None:
    write(tmp_path / sub, small, packed=packed)
    data = mnist.load(tmp_path, mirrors=())
    assert data.name == "mnist"
    assert data.train.images.shape == (20, 1, 28, 28)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images[3].numpy().tobytes() == small[TRAIN][16 + 3 * 784 : 16 + 4 * 784]
    assert data.test.labels.tolist() == list(range(9, -1, -1))
    assert data.test.classes == tuple("0123456789")


def test_an_altered_file_is_named_and_never_read(tmp_path: Path, small: dict[str, bytes]) -> None:
    altered = small[TRAIN][:-1] + bytes([small[TRAIN][-1] ^ 1])  # one bit
    write(tmp_path, {**small, TRAIN: altered}, packed=True)
    with pytest.raises(DataError, match=rf"{TRAIN}\.gz is altered.*dilution data fetch mnist"):
        mnist.load(tmp_path, mirrors=())
    assert [finding.state for finding in mnist.check(tmp_path)] == ["altered"] + ["present"] * 3


def test_check_tells_present_missing_and_broken_files_apart(tmp_path: Path, small: dict[str, bytes]) -> None:
    write(tmp_path, small)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\x1f\x8bbroken")
    first, second, _, fourth = registry.check("mnist", tmp_path)
    assert first.file == tmp_path / TRAIN
    assert first.sha256 == hashlib.sha256(small[TRAIN]).hexdigest()
    assert (first.state, first.size) == ("present", len(small[TRAIN]))
    assert (second.state, second.size, second.sha256) == ("missing", 0, "")
    assert second.file == tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    assert (fourth.state, fourth.size, fourth.sha256) == ("altered", 8, "")


def test_missing_files_are_downloaded_and_then_no_network_is_needed(
    tmp_path: Path,
    small: dict[str, bytes],
    serve: Callable,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    online = mnist.load(tmp_path, [serve(good(small))])
    offline = mnist.load(tmp_path, [NOWHERE])
    assert torch.equal(online.train.images, offline.train.images)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(
        name + ".gz" for name in small
    )
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "pooch"] == []


@pytest.mark.parametrize("bad", ["html", "absent", "cut", "nowhere"])
def test_a_bad_mirror_gives_way_to_the_next(
    tmp_path: Path, small: dict[str, bytes], serve: Callable, bad: str
) -> None:
    answers = {"html": html, "absent": absent, "cut": cut(small)}
    first = serve(answers[bad]) if bad in answers else NOWHERE
    findings = mnist.fetch(tmp_path, [first, serve(good(small))])
    assert [finding.state for finding in findings] == ["present"] * 4


def test_when_all_mirrors_fail_one_line_says_why_and_what_to_do(
    tmp_path: Path, small: dict[str, bytes], serve: Callable
) -> None:
    mirrors = [serve(html), serve(absent), serve(cut(small)), NOWHERE]
    with pytest.raises(DataError) as caught:
        mnist.load(tmp_path, mirrors)
    message = str(caught.value)
    for part in ("sent another content", "HTTP 404", "ConnectionError", "by hand"):
        assert part in message
    assert f"{mirrors[0]}{TRAIN}.gz" in message
    assert str(tmp_path / "mnist") in message
    assert "\n" not in message
    assert list((tmp_path / "mnist").iterdir()) == []  # nothing broken is left behind


def test_fetch_replaces_an_altered_file_and_leaves_good_ones_alone(
    tmp_path: Path, small: dict[str, bytes], serve: Callable
) -> None:
    write(tmp_path / "mnist", small, packed=True)
    (tmp_path / "mnist" / f"{TRAIN}.gz").write_bytes(b"altered")
    asked = []

    def answer(file: str) -> Answer:
        asked.append(file)
        return good(small)(file)

    findings = mnist.fetch(tmp_path, [serve(answer)])
    assert [finding.state for finding in findings] == ["present"] * 4
    assert asked == [f"{TRAIN}.gz"]


@pytest.mark.parametrize("sub", ["mnist", "."])
def test_an_altered_plain_file_is_overruled_by_the_fetched_one(
    tmp_path: Path, small: dict[str, bytes], serve: Callable, sub: str
) -> None:
    write(tmp_path / sub, {**small, TRAIN: b"mine"})
    mnist.fetch(tmp_path, [serve(good(small))])
    assert len(mnist.load(tmp_path, mirrors=()).train) == 20
    assert (tmp_path / sub / TRAIN).read_bytes() == b"mine"


def test_a_downloaded_file_may_be_read_by_whoever_may_read_the_folder(
    tmp_path: Path, small: dict[str, bytes], serve: Callable
) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    for finding in mnist.fetch(tmp_path, [serve(good(small))]):
        assert finding.file.stat().st_mode == ordinary.stat().st_mode


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, small: dict[str, bytes]) -> None:
    root = tmp_path / "a-file"
    root.write_text("")
    with pytest.raises(DataError, match=r"a-file/mnist cannot be written \(Not a dir.*data-root"):
        mnist.fetch(root, [NOWHERE])


def test_the_real_mnist_is_what_everyone_else_has() -> None:
    root = os.environ.get("DILUTION_DATA")
    if not root or any(mnist.locate(name, Path(root)) is None for name in mnist.FILES):
        pytest.skip("DILUTION_DATA does not name a folder that holds MNIST")
    assert [finding.state for finding in registry.check("mnist")] == ["present"] * 4
    data, told = registry.load("mnist"), registry.DATASETS["mnist"]
    assert (len(data.train), len(data.test)) == (told.train, told.test) == (60_000, 10_000)
    assert tuple(data.train.images.shape[1:]) == told.shape
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.bincount(data.train.labels).tolist()[:2] == [5923, 6742]
    # The mean brightness that everyone normalises MNIST with.
    assert data.train.images.float().mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert registry.load("mnist") is data
