"""MNIST: its files in any place and state, downloads from mirrors, and the IDX format."""

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mirrors import Answer, mirrors

from dilution.data import registry
from dilution.data.builtin.mnist import FASHION_MNIST, MNIST, Checksums, IdxDataSet, _parse_idx, _unpack
from dilution.errors import DataError

TRAIN = "train-images-idx3-ubyte"


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def contents() -> dict[str, bytes]:
    """Unpacked contents of four tiny files that stand in for MNIST's, by name."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": idx_bytes(rng.integers(0, 256, (20, 28, 28))),
        "train-labels-idx1-ubyte": idx_bytes(np.arange(20) % 10),
        "t10k-images-idx3-ubyte": idx_bytes(rng.integers(0, 256, (10, 28, 28))),
        "t10k-labels-idx1-ubyte": idx_bytes(np.arange(10)[::-1]),
    }


@pytest.fixture
def mnist(contents: dict[str, bytes]) -> IdxDataSet:
    """MNIST with the tiny files, and without mirrors."""
    files = {
        name: Checksums(
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(gzip.compress(content, mtime=0)).hexdigest(),
        )
        for name, content in contents.items()
    }
    return replace(MNIST, files=files, mirrors=())


def with_mirrors(mnist: IdxDataSet, *urls: str) -> IdxDataSet:
    return replace(mnist, mirrors=urls)


def write(folder: Path, contents: dict[str, bytes], *, packed: bool = False) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    for name, body in contents.items():
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(body, compresslevel=1) if packed else body)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[str], Answer]], str]]:
    """Start local mirrors: a function from file name to answer becomes a URL."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with mirrors() as start:
        yield start


def good(contents: dict[str, bytes]) -> Callable[[str], Answer]:
    def answer(file: str) -> Answer:
        body = gzip.compress(contents[file.removesuffix(".gz")], mtime=0)
        return 200, body, len(body)

    return answer


def login_page(_: str) -> Answer:
    return 200, b"<html>sign in</html>", 20


def absent(_: str) -> Answer:
    return 404, b"", 0


def cut(contents: dict[str, bytes]) -> Callable[[str], Answer]:
    def answer(file: str) -> Answer:
        status, body, length = good(contents)(file)
        return status, body[: length // 2], length

    return answer


NOWHERE = "http://127.0.0.1:9/mnist/"  # the discard port: nothing listens there


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["mnist", "."])
def test_files_are_found_in_both_folders_gzipped_and_plain(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, packed: bool, sub: str
) -> None:
    write(tmp_path / sub, contents, packed=packed)
    data = mnist.load(tmp_path)
    assert data.name == "mnist"
    assert data.train.images.shape == (20, 1, 28, 28)
    assert data.train.images.dtype == torch.uint8
    assert data.train.images[3].numpy().tobytes() == contents[TRAIN][16 + 3 * 784 : 16 + 4 * 784]
    assert data.test.labels.tolist() == list(range(9, -1, -1))
    assert data.test.classes == tuple("0123456789")


def test_an_altered_file_is_named_and_not_read(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet
) -> None:
    altered = contents[TRAIN][:-1] + bytes([contents[TRAIN][-1] ^ 1])  # one bit
    write(tmp_path, {**contents, TRAIN: altered}, packed=True)
    with pytest.raises(DataError, match=rf"{TRAIN}\.gz is altered.*dilution data fetch mnist"):
        mnist.load(tmp_path)
    assert [status.state for status in mnist.check(tmp_path)] == ["altered"] + ["present"] * 3


def test_check_tells_present_missing_and_broken_files_apart(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet
) -> None:
    write(tmp_path, contents)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\x1f\x8bbroken")
    first, second, _, fourth = mnist.check(tmp_path)
    assert first.file == tmp_path / TRAIN
    assert first.sha256 == hashlib.sha256(contents[TRAIN]).hexdigest()
    assert (first.state, first.size) == ("present", len(contents[TRAIN]))
    assert (second.state, second.size, second.sha256) == ("missing", 0, "")
    assert second.file == tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    assert (fourth.state, fourth.size, fourth.sha256) == ("altered", 8, "")


def test_missing_files_are_downloaded_and_then_no_network_is_needed(
    tmp_path: Path,
    contents: dict[str, bytes],
    mnist: IdxDataSet,
    serve: Callable,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    online = with_mirrors(mnist, serve(good(contents))).load(tmp_path)
    offline = with_mirrors(mnist, NOWHERE).load(tmp_path)
    assert torch.equal(online.train.images, offline.train.images)
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(
        name + ".gz" for name in contents
    )
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name == "pooch"] == []


@pytest.mark.parametrize("bad", ["html", "absent", "cut", "nowhere"])
def test_after_a_bad_mirror_the_next_one_is_tried(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, serve: Callable, bad: str
) -> None:
    answers = {"html": login_page, "absent": absent, "cut": cut(contents)}
    first = serve(answers[bad]) if bad in answers else NOWHERE
    statuses = with_mirrors(mnist, first, serve(good(contents))).fetch(tmp_path)
    assert [status.state for status in statuses] == ["present"] * 4


def test_when_all_mirrors_fail_one_line_says_why_and_what_to_do(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, serve: Callable
) -> None:
    urls = [serve(login_page), serve(absent), serve(cut(contents)), NOWHERE]
    with pytest.raises(DataError) as caught:
        with_mirrors(mnist, *urls).load(tmp_path)
    message = str(caught.value)
    for part in ("sent other content", "HTTP 404", "ConnectionError", "by hand"):
        assert part in message
    assert f"{urls[0]}{TRAIN}.gz" in message
    assert str(tmp_path / "mnist") in message
    assert "\n" not in message
    assert list((tmp_path / "mnist").iterdir()) == []  # nothing broken is left behind


def test_fetch_replaces_an_altered_file_and_leaves_good_ones_alone(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, serve: Callable
) -> None:
    write(tmp_path / "mnist", contents, packed=True)
    (tmp_path / "mnist" / f"{TRAIN}.gz").write_bytes(b"altered")
    requested = []

    def answer(file: str) -> Answer:
        requested.append(file)
        return good(contents)(file)

    statuses = with_mirrors(mnist, serve(answer)).fetch(tmp_path)
    assert [status.state for status in statuses] == ["present"] * 4
    assert requested == [f"{TRAIN}.gz"]


@pytest.mark.parametrize("sub", ["mnist", "."])
def test_a_downloaded_file_comes_before_an_altered_plain_one(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, serve: Callable, sub: str
) -> None:
    write(tmp_path / sub, {**contents, TRAIN: b"mine"})
    with_mirrors(mnist, serve(good(contents))).fetch(tmp_path)
    assert len(mnist.load(tmp_path).train) == 20
    assert (tmp_path / sub / TRAIN).read_bytes() == b"mine"


def test_a_downloaded_file_has_ordinary_permissions(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet, serve: Callable
) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    for status in with_mirrors(mnist, serve(good(contents))).fetch(tmp_path):
        assert status.file.stat().st_mode == ordinary.stat().st_mode


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet
) -> None:
    root = tmp_path / "a-file"
    root.write_text("")
    with pytest.raises(DataError, match=r"a-file/mnist cannot be written \(Not a dir.*data-root"):
        with_mirrors(mnist, NOWHERE).fetch(root)


def test_the_real_mnist_has_its_known_content() -> None:
    root = os.environ.get("DILUTION_DATA")
    if not root or any(MNIST.locate(name, Path(root)) is None for name in MNIST.files):
        pytest.skip("DILUTION_DATA does not name a folder that holds MNIST")
    assert [status.state for status in registry.check("mnist")] == ["present"] * 4
    data, description = registry.load("mnist"), registry.DATASETS["mnist"]
    assert (len(data.train), len(data.test)) == (description.train, description.test) == (60_000, 10_000)
    assert tuple(data.train.images.shape[1:]) == description.shape
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.bincount(data.train.labels).tolist()[:2] == [5923, 6742]
    # the mean that is commonly used to normalise MNIST
    assert data.train.images.float().mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert registry.load("mnist") is data


def test_files_of_mnist_in_the_root_folder_are_not_taken_for_those_of_fashion_mnist(
    tmp_path: Path, contents: dict[str, bytes], mnist: IdxDataSet
) -> None:
    write(tmp_path, contents)
    fashion = replace(FASHION_MNIST, files=mnist.files, mirrors=())
    assert mnist.is_present(tmp_path)
    assert not fashion.is_present(tmp_path)
    assert {status.state for status in fashion.check(tmp_path)} == {"missing"}
    write(tmp_path / "fashion-mnist", contents, packed=True)
    assert fashion.load(tmp_path).test.classes[9] == "ankle boot"


def test_only_one_data_set_of_idx_files_is_looked_for_in_the_root_folder() -> None:
    data_sets = [entry for entry in registry._BUILTIN if isinstance(entry, IdxDataSet)]
    assert [entry.name for entry in data_sets if entry.in_root] == ["mnist"]
    assert {tuple(entry.files) for entry in data_sets} == {tuple(MNIST.files)}  # why only one may be


def test_the_real_fashion_mnist_has_its_known_content() -> None:
    root = os.environ.get("DILUTION_DATA")
    if not root or not FASHION_MNIST.is_present(Path(root)):
        pytest.skip("DILUTION_DATA does not name a folder that holds Fashion-MNIST")
    assert [status.state for status in registry.check("fashion-mnist")] == ["present"] * 4
    data = registry.load("fashion-mnist")
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert torch.bincount(data.train.labels).tolist() == [6_000] * 10
    assert data.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert data.test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    # the mean that is commonly used to normalise Fashion-MNIST
    assert data.train.images.float().mean() / 255 == pytest.approx(0.2860, abs=5e-5)


def read_idx(path: Path) -> np.ndarray:
    return _parse_idx(_unpack(path), path)


ARRAY = np.arange(2 * 3 * 300).reshape(2, 3, 300) % 251  # a length that needs two bytes


@pytest.mark.parametrize("name", ["a.gz", "a"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_gzipped_or_plain_file_is_read_whatever_its_name(tmp_path: Path, name: str, packed: bool) -> None:
    content = idx_bytes(ARRAY)
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    array = read_idx(tmp_path / name)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    np.testing.assert_array_equal(array, ARRAY)


GOOD = idx_bytes(ARRAY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"\(none\)"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"<html>404</html>", "3c 68 74 6d"),
        (b"\x00\x00\x0d" + GOOD[3:], "00 00 0d"),
        (GOOD[:9], "9 bytes long; its header alone takes 16"),
        (GOOD[:-1], r"1,815 bytes long unpacked; its header announces 1,816 \(shape 2×3×300\)"),
        (GOOD + b"x", "1,817 bytes"),
        (gzip.compress(GOOD)[:-20], "cannot be unpacked"),
        (gzip.compress(GOOD)[:-1], "cannot be unpacked"),
        (gzip.compress(GOOD)[:20] + b"xxxxxxxxxx" + gzip.compress(GOOD)[30:], "cannot be unpacked"),
        (b"\x1f\x8bno gzip at all", "cannot be unpacked"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(path)
