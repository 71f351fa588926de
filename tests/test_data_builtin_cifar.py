"""CIFAR-10 and CIFAR-100: both layouts, missing and altered files, and the download."""

import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pickles import as_python_2

from dilution.data import load, registry
from dilution.data.builtin import cifar
from dilution.data.builtin.cifar import CIFAR10, CIFAR100
from dilution.errors import DataError
from dilution.study import Run
from dilution.study.prepare import prepare

N = 6
both = pytest.mark.parametrize("which", [CIFAR10, CIFAR100], ids=lambda which: which.name)


def content(which, seed):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (N, 3072), dtype=np.uint8)
    return images, [int(label) for label in draw.integers(0, len(which.classes), N)]


def write_python(which, root, first=0):
    folder = root / which.folder
    folder.mkdir(parents=True)
    for seed, name in enumerate(which.md5, start=first):
        (folder / name).write_bytes(as_python_2(*content(which, seed), which.label_key))
    return folder


def write_binary(which, root):
    folder = root / which.binary_folder
    folder.mkdir(parents=True)
    for seed, name in enumerate(which.binary_files):
        images, labels = content(which, seed)
        before = [bytes([7] * (which.header_bytes - 1) + [label]) for label in labels]
        records = (first + row.tobytes() for first, row in zip(before, images, strict=True))
        (folder / name).write_bytes(b"".join(records))
    return folder


@pytest.mark.parametrize("sub", [".", "named"])
@pytest.mark.parametrize("write", [write_python, write_binary])
@both
def test_both_layouts_hold_the_same(tmp_path, which, write, sub):
    write(which, tmp_path / (which.name if sub == "named" else "."))
    data = load(which.name, tmp_path)
    n_train_files = len(which.md5) - 1
    assert (len(data.train), len(data.test)) == (N * n_train_files, N)
    assert data.train.classes == which.classes
    assert data.train.shape == (3, 32, 32)
    images, labels = content(which, n_train_files - 1)  # the last file of the train split
    assert data.train.images[-N:].numpy().tobytes() == images.tobytes()
    assert data.train.labels[-N:].tolist() == labels
    assert data.test.labels.tolist() == content(which, n_train_files)[1]


@both
def test_there_are_as_many_class_names_as_classes(which):
    assert len(set(which.classes)) == len(which.classes) == registry.DATASETS[which.name].classes


def test_other_images_of_another_data_set_make_another_run(tmp_path):
    run = Run.of(dataset="cifar10", n=20, alpha=1, model="perceptron", image_source="cifar100", steps=1)
    keys = set()
    for first in (0, 50):
        root = tmp_path / str(first)
        write_python(CIFAR10, root)
        write_python(CIFAR100, root, first)
        keys |= {prepared.key for prepared in prepare([run], str(root))}
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
    (status, *_) = registry.check("cifar10", tmp_path / "a")
    assert status.state == "altered"
    assert "the original's c99cafc1" in status.damaged[0]


def test_the_originals_are_known_by_their_checksums(tmp_path):
    folder = write_python(CIFAR100, tmp_path)
    sums = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in CIFAR100.md5}
    known = replace(CIFAR100, md5=sums)
    assert {status.state for status in known.check(tmp_path)} == {"present"}
    assert known.identity(tmp_path, lambda: known.load(tmp_path)) == ""


def test_an_incomplete_layout_is_named(tmp_path):
    (write_python(CIFAR10, tmp_path) / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3; .*dilution data fetch cifar10"):
        load("cifar10", tmp_path)


def test_of_the_archive_only_the_files_of_the_data_set_are_written(tmp_path, monkeypatch):
    folder = write_python(CIFAR100, tmp_path / "source")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, CIFAR100.folder)
        for name in ("../escaped", "/absolute", f"{CIFAR100.folder}/../../other"):
            archive.addfile(tarfile.TarInfo(name))
    which = replace(CIFAR100, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())

    def download(file, sha256, folder, mirrors):
        folder.mkdir(parents=True)
        (folder / file).write_bytes(buffer.getvalue())
        return folder / file

    monkeypatch.setattr(cifar, "download", download)
    root = tmp_path / "root"
    assert len(which.load(root).test) == N
    written = sorted(str(path.relative_to(tmp_path)) for path in root.rglob("*") if path.is_file())
    assert written == ["root/cifar100/cifar-100-python/test", "root/cifar100/cifar-100-python/train"]
    assert not (tmp_path / "escaped").exists()


def packed(folder, which=CIFAR100):
    """Return a data set with its archive, which holds the files of a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, which.folder)
    content = buffer.getvalue()
    nowhere = ("http://127.0.0.1:9/",)
    return replace(which, sha256=hashlib.sha256(content).hexdigest(), mirrors=nowhere), content


def test_an_archive_that_was_downloaded_by_hand_is_unpacked_and_kept(tmp_path):
    which, content = packed(write_python(CIFAR100, tmp_path / "source"))
    archive = tmp_path / "root" / which.name / which.archive
    archive.parent.mkdir(parents=True)
    archive.write_bytes(content)
    assert len(which.load(tmp_path / "root").test) == N
    assert archive.read_bytes() == content


def test_nothing_is_unpacked_into_a_folder_that_is_a_link(tmp_path):
    which, content = packed(write_python(CIFAR100, tmp_path / "source"))
    archive = tmp_path / "root" / which.name / which.archive
    archive.parent.mkdir(parents=True)
    archive.write_bytes(content)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (archive.parent / which.folder).symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a link, and files are written there"):
        which.load(tmp_path / "root")
    assert not list(elsewhere.iterdir())


def test_without_files_and_network_one_line_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz could not be downloaded.*by hand"):
        replace(CIFAR10, mirrors=("http://127.0.0.1:9/",)).load(tmp_path)


@pytest.mark.parametrize("write", [write_python, write_binary])
def test_a_label_beyond_the_classes_is_refused(tmp_path, write):
    which = replace(CIFAR10, classes=CIFAR10.classes[:1])
    write(CIFAR10, tmp_path)
    with pytest.raises(DataError, match=r"holds the label \d; labels run from 0 to 0"):
        which.load(tmp_path)


def test_a_binary_file_that_was_cut_off_is_refused(tmp_path):
    path = write_binary(CIFAR10, tmp_path) / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin is 18,437 bytes long; .*whole records of 3,073"):
        load("cifar10", tmp_path)


def test_the_real_cifar_10_has_its_known_content():
    root = os.environ.get("DILUTION_DATA")
    if not root or not CIFAR10.is_present(Path(root)):
        pytest.skip("DILUTION_DATA does not name a folder that holds CIFAR-10")
    data = load("cifar10", root)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert torch.bincount(data.train.labels).tolist() == [5000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.train.labels[:5].tolist() == [6, 9, 9, 4, 1]  # frog, truck, truck, deer, automobile
