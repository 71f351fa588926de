"""CIFAR-10 and CIFAR-100: both layouts, and pickles that want more than a data set should."""

import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dilution.data import load, registry
from dilution.data.builtin import cifar
from dilution.data.builtin.cifar import CIFAR10, CIFAR100
from dilution.data.builtin.safe_pickle import read_pickle
from dilution.errors import DataError
from dilution.study import Run
from dilution.study.prepare import prepare

N = 6
both = pytest.mark.parametrize("which", [CIFAR10, CIFAR100], ids=lambda which: which.name)


def as_python_2(images, labels, key):
    """Return a pickle with the opcodes of the original files: text as byte strings, numpy by its old name."""

    def text(value):
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value):
        return b"K" + bytes([value])

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"tU\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1" + number(0) + number(1) + b"tR"
    kind += b"(" + number(3) + b"U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + number(0) + b"tb"
    shape = b"(" + b"".join(b"J" + struct.pack("<i", size) for size in images.shape) + b"t"
    array += b"(" + number(1) + shape + kind + b"\x89" + text(images.tobytes()) + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + listed + b"u."


def content(which, seed):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (N, 3072), dtype=np.uint8)
    return images, [int(label) for label in draw.integers(0, len(which.classes), N)]


def write_python(which, root, first=0):
    folder = root / which.folder
    folder.mkdir(parents=True)
    for seed, name in enumerate(which.md5, start=first):
        (folder / name).write_bytes(as_python_2(*content(which, seed), which.key))
    return folder


def write_binary(which, root):
    folder = root / which.binary
    folder.mkdir(parents=True)
    for seed, name in enumerate(which.files):
        images, labels = content(which, seed)
        before = [bytes([7] * (which.before - 1) + [label]) for label in labels]
        records = (first + row.tobytes() for first, row in zip(before, images, strict=True))
        (folder / name).write_bytes(b"".join(records))
    return folder


@pytest.mark.parametrize("sub", [".", "own"])
@pytest.mark.parametrize("write", [write_python, write_binary])
@both
def test_both_layouts_hold_the_same(tmp_path, which, write, sub):
    write(which, tmp_path / (which.name if sub == "own" else "."))
    data = load(which.name, tmp_path)
    halves = len(which.md5) - 1
    assert (len(data.train), len(data.test)) == (N * halves, N)
    assert data.train.classes == which.classes
    assert data.train.shape == (3, 32, 32)
    images, labels = content(which, halves - 1)  # the last file of the training half
    assert data.train.images[-N:].numpy().tobytes() == images.tobytes()
    assert data.train.labels[-N:].tolist() == labels
    assert data.test.labels.tolist() == content(which, halves)[1]


@both
def test_there_are_as_many_class_names_as_classes(which):
    assert len(set(which.classes)) == len(which.classes) == registry.DATASETS[which.name].classes


def test_foreign_images_that_are_others_make_another_run(tmp_path):
    run = Run.of(dataset="cifar10", n=20, alpha=1, model="perceptron", images="cifar100", steps=1)
    keys = set()
    for first in (0, 50):
        root = tmp_path / str(first)
        write_python(CIFAR10, root)
        write_python(CIFAR100, root, first)
        keys |= {each.key for each in prepare([run], str(root))}
    assert len(keys) == 2


def test_files_that_are_not_the_originals_make_another_run(tmp_path):
    write_python(CIFAR10, tmp_path / "a")
    write_binary(CIFAR10, tmp_path / "b")
    first, second = (registry.fingerprint("cifar10", tmp_path / name) for name in "ab")
    assert first == second != ""  # the content counts, not the layout
    folder = write_python(CIFAR10, tmp_path / "c")
    images, labels = content(CIFAR10, 0)
    labels[0] = (labels[0] + 1) % 10
    (folder / "data_batch_1").write_bytes(as_python_2(images, labels, "labels"))
    assert registry.fingerprint("cifar10", tmp_path / "c") not in (first, "")
    (finding, *_) = registry.check("cifar10", tmp_path / "a")
    assert finding.state == "altered"
    assert "the original's c99cafc1" in finding.damaged[0]


def test_the_originals_are_known_by_their_checksums(tmp_path, monkeypatch):
    folder = write_python(CIFAR100, tmp_path)
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in CIFAR100.md5}
    known = replace(CIFAR100, md5=sums)
    assert {finding.state for finding in cifar.check(known, tmp_path)} == {"present"}
    assert cifar.identity(known, tmp_path, cifar.load(known, tmp_path)) == ""


def test_a_layout_that_is_there_in_part_is_named(tmp_path):
    (write_python(CIFAR10, tmp_path) / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3; .*dilution data fetch cifar10"):
        load("cifar10", tmp_path)


def test_the_archive_is_fetched_unpacked_and_nothing_else_of_it_is_written(tmp_path, monkeypatch):
    folder = write_python(CIFAR100, tmp_path / "source")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, CIFAR100.folder)
        for name in ("../escaped", "/absolute", f"{CIFAR100.folder}/../../other"):
            archive.addfile(tarfile.TarInfo(name))
    which = replace(CIFAR100, sha256=hashlib.sha256(packed.getvalue()).hexdigest())

    def download(file, sha256, folder, mirrors):
        folder.mkdir(parents=True)
        (folder / file).write_bytes(packed.getvalue())
        return folder / file

    monkeypatch.setattr(cifar, "download", download)
    root = tmp_path / "root"
    assert len(cifar.load(which, root).test) == N
    written = sorted(str(path.relative_to(tmp_path)) for path in root.rglob("*") if path.is_file())
    assert written == ["root/cifar100/cifar-100-python/test", "root/cifar100/cifar-100-python/train"]
    assert not (tmp_path / "escaped").exists()


def test_without_files_and_network_one_line_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz could not be downloaded.*by hand"):
        cifar.load(CIFAR10, tmp_path, ["http://127.0.0.1:9/"])


class Evil:
    def __init__(self, call, *arguments):
        self.parts = call, arguments

    def __reduce__(self):
        return self.parts


def evil(tmp_path):
    """Pickles that do something when they are read."""
    proof = tmp_path / "executed"
    yield Evil(os.system, f"touch {proof}")
    yield Evil(eval, f"open({str(proof)!r}, 'w')")
    yield Evil(getattr, "text", "upper")
    yield Evil(np.load, str(proof))
    yield {"data": [Evil(os.mkdir, str(proof))]}
    yield np.array([Evil(os.mkdir, str(proof))], dtype=object)
    yield {"data": np.zeros(3)}  # floats: harmless, and no data set


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_malicious_pickle_is_refused_and_nothing_is_executed(tmp_path, protocol):
    for thing in evil(tmp_path):
        with pytest.raises(DataError, match=r"refused|whole pickle|expected"):
            read_pickle(pickle.dumps(thing, protocol), "data_batch_1")
        assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "module_and_name",
    [
        "posix\nsystem",
        "builtins\n__import__",
        "numpy\nload",
        "numpy.core.multiarray\nscalar",
        "_codecs\nencode",
    ],
)
def test_nothing_but_the_reconstruction_of_arrays_can_be_named(module_and_name):
    module, name = module_and_name.split("\n")
    with pytest.raises(DataError, match=rf"names {module}\.{name}; it may name numpy's array reconstruction"):
        read_pickle(f"c{module_and_name}\n(S'x'\ntR.".encode(), "data_batch_1")


def test_what_is_named_cannot_be_changed_for_the_next_reader():
    sets = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x07__doc__U\x01xs\x86b."
    with pytest.raises(DataError, match="changes what it names"):
        read_pickle(sets, "data_batch_1")


def test_an_array_cannot_claim_more_than_it_brings(tmp_path):
    images, labels = content(CIFAR10, 0)
    whole = as_python_2(images, labels, "labels")
    size = struct.pack("<i", N)
    for forged in (struct.pack("<i", 2**31 - 1), struct.pack("<i", -1), struct.pack("<i", N - 1)):
        with pytest.raises(DataError, match="whose shape does not fit"):
            read_pickle(whole.replace(b"J" + size, b"J" + forged, 1), "data_batch_1")


def test_every_cut_and_every_flipped_byte_ends_in_one_message_or_in_arrays():
    whole = as_python_2(np.arange(12, dtype=np.uint8).reshape(4, 3), [0, 1, 2, 3], "labels")
    for at in range(len(whole)):
        with pytest.raises(DataError):
            read_pickle(whole[:at], "data_batch_1")
        for bit in (1, 64, 128):
            altered = bytearray(whole)
            altered[at] ^= bit
            try:
                found = read_pickle(bytes(altered), "data_batch_1")
            except DataError:
                continue
            assert isinstance(found, dict)


@pytest.mark.parametrize("write", [write_python, write_binary])
def test_a_label_beyond_the_classes_is_refused(tmp_path, write):
    which = replace(CIFAR10, classes=CIFAR10.classes[:1])
    write(CIFAR10, tmp_path)
    with pytest.raises(DataError, match=r"holds the label \d; labels run from 0 to 0"):
        cifar.load(which, tmp_path)


def test_a_binary_file_that_was_cut_off_is_refused(tmp_path):
    path = write_binary(CIFAR10, tmp_path) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin is 18,437 bytes long; .*whole records of 3,073"):
        load("cifar10", tmp_path)


def test_the_cifar_10_that_is_here_is_whole():
    root = os.environ.get("DILUTION_DATA")
    if not root or not cifar._found(CIFAR10, Path(root)):
        pytest.skip("DILUTION_DATA does not name a folder that holds CIFAR-10")
    data = load("cifar10", root)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert torch.bincount(data.train.labels).tolist() == [5000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.train.labels[:5].tolist() == [6, 9, 9, 4, 1]  # frog, truck, truck, deer, automobile
