"""Files of labels: what others share can be read, what is written is read again, and nothing is executed."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dilution.data import Arrays, is_present, load, read_label_file, with_label_file, write_label_file
from dilution.errors import DilutionError, InputError

NAMES = ("cat", "dog", "=1+1")


@pytest.fixture
def data() -> Arrays:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return Arrays(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), labels, NAMES)


NOISY = torch.tensor([1, 1, 2, 2, 0, 0])


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".pt", ".NPY"])
def test_labels_are_read_as_they_were_written(tmp_path, data, suffix):
    path = write_label_file(tmp_path / f"labels{suffix}", NOISY, data)
    assert torch.equal(read_label_file(path, data), NOISY)
    observed = with_label_file(data, path)
    assert torch.equal(observed.observed, NOISY)
    assert torch.equal(observed.labels, data.labels)


def test_a_written_file_is_what_others_read(tmp_path, data):
    for suffix in (".npy", ".pt"):
        write_label_file(tmp_path / f"labels{suffix}", NOISY, data)
    assert np.load(tmp_path / "labels.npy").tolist() == NOISY.tolist()
    assert torch.equal(torch.load(tmp_path / "labels.pt", weights_only=True), NOISY)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_tensors_of_whole_numbers_are_read(tmp_path, data, dtype):
    torch.save(NOISY.to(dtype), tmp_path / "labels.pt")
    assert torch.equal(read_label_file(tmp_path / "labels.pt", data), NOISY)


@pytest.mark.parametrize(
    "text",
    [
        "label,label_noisy\n0,1\n1,1\n2,2\n0,2\n1,0\n2,0\n",
        "noisy_label\ndog\ndog\n'=1+1\n'=1+1\ncat\ncat\n",
        "index,noisy_label\n0,1\n1,1\n2,2\n3,2\n4,0\n5,0\n",
        "\ufefflabels\r\n1\r\n1\r\n2\r\n2\r\n0\r\n0\r\n",
    ],
)
def test_csv_files_of_several_forms_are_read(tmp_path, data, text):
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    assert torch.equal(read_label_file(tmp_path / "labels.csv", data), NOISY)


def test_digits_that_are_names_of_classes_are_names(tmp_path):
    data = Arrays(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1, 0]), ("1", "2"))
    (tmp_path / "labels.csv").write_text("noisy_label\n1\n2\n2\n")
    assert read_label_file(tmp_path / "labels.csv", data).tolist() == [0, 1, 1]


def npy(values: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), allow_pickle=True)
    return buffer.getvalue()


def torch_file(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Evil:
    """An object whose pickle would run a command."""

    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


def evil_torch_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels/data.pkl", pickle.dumps(Evil()))
        archive.writestr("labels/data/0", b"")
    return buffer.getvalue()


def forged_torch_file(
    *,
    kind: bytes = b"ctorch\nLongStorage\n",
    key: bytes = b"X\1\0\0\x000",
    size: bytes = b"K\6\x85",
    entries: tuple[tuple[str, bytes], ...] = (),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return a file as torch.save writes it, with parts of the description of its tensor replaced."""
    storage = b"(X\7\0\0\0storage" + kind + key + b"X\3\0\0\0cpuK\6tQ"
    description = b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0" + size + b"K\1\x85\x89}tR."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in (("a/data.pkl", description), ("a/data/0", bytes(48)), *entries):
            archive.writestr(name, content)
    return buffer.getvalue()


SHARED = b")" + b"2\x86" * 40  # a tuple of 2^40 elements


def test_a_torch_file_without_changes_is_read(tmp_path, data):
    (tmp_path / "labels.pt").write_bytes(forged_torch_file())
    assert read_label_file(tmp_path / "labels.pt", data).tolist() == [0] * 6


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.pt", forged_torch_file(kind=SHARED), "nests tuples to more than"),
        ("labels.pt", forged_torch_file(key=SHARED), "nests tuples to more than"),
        ("labels.pt", forged_torch_file(size=SHARED), "nests tuples to more than"),
        ("labels.pt", forged_torch_file(size=b"G@\x18\0\0\0\0\0\0\x85"), "in another way than torch.save"),
        ("labels.pt", forged_torch_file(size=b"\x8a\x09" + b"\x7f" * 9 + b"\x85"), "in another way than"),
        ("labels.pt", forged_torch_file(key=b"r\xff\xff\xff\x3f"), "gives an object the number"),
        ("labels.pt", forged_torch_file(entries=(("b/0", b""),)), "two entries in it have one name"),
        ("labels.pt", forged_torch_file(compression=zipfile.ZIP_LZMA), "torch.save compresses none"),
        (
            "labels.csv",
            b"noisy_label\n" + b"9" * 5000 + b"\n1\n1\n1\n1\n1\n",
            "which is no class of the data",
        ),
        ("labels.npy", npy(["9" * 30] + ["1"] * 5), "which is no class of the data"),
        ("labels.csv", b"noisy_label\n" + b"1\n" * 100_000, "it has 100,000 rows"),
        ("labels.npy", npy([0, 1]), r"labels of shape \(2,\); the training split has 6 images"),
        ("labels.npy", npy([[0, 1, 2]] * 2), r"labels of shape \(2, 3\)"),
        ("labels.npy", npy([0, 1, 2, 3, 0, 0]), "labels from 0 to 3; with 3 classes they must lie in 0 … 2"),
        ("labels.npy", npy([-1, 1, 2, 0, 0, 0]), "labels from -1 to 2"),
        ("labels.npy", npy([0.0] * 6), "holds float64; labels are whole numbers"),
        ("labels.npy", npy(["cat"] * 5 + ["cow"]), r"holds 'cow', which is no class of the data \(1 such\)"),
        ("labels.npy", npy(np.array([{}] * 6, dtype=object)), "cannot be read as labels"),
        ("labels.npy", b"no array", "cannot be read as labels"),
        ("labels.csv", b"a,b\n1,2\n", "its columns are a, b"),
        ("labels.csv", b"", "cannot be read as labels"),
        (
            "labels.csv",
            b"id,given" + b"\n1,0" * 6,
            "id, given, and none is noisy_label.*the labels noisy_label",
        ),
        ("labels.csv", b"0\n1\n2\n0\n1\n2\n", "its first line, 0, is its header, and 5 labels follow"),
        ("labels.csv", b"noisy_label,x\n1\n", "differ in their number of cells"),
        ("labels.csv", b"label,noisy_label\n" + b"1,1\n" * 6, "differ from those of the data for 4 of 6"),
        ("labels.pt", torch_file({"a": torch.zeros(6)}), "cannot be read as labels"),
        ("labels.pt", torch_file(torch.zeros(6)), "it names torch.FloatStorage"),
        ("labels.pt", torch_file(torch.zeros(2, 3, dtype=torch.int64)), "labels have one dimension"),
        ("labels.pt", torch_file((torch.arange(12) % 3)[::2]), "a part of a larger one; save a copy"),
        ("labels.csv", b"noisy_label\n" + b"1" * 30 + b"\n1\n1\n1\n1\n1\n", "which is no class of the data"),
        ("labels.csv", b"noisy_label\n" + b"1" * 5000 + b"\n1\n1\n1\n1\n1\n", "which is no class"),
        (
            "labels.pt",
            torch_file(torch.tensor([0, 1])),
            r"labels of shape \(2,\); the training split has 6 images",
        ),
        (
            "labels.pt",
            torch_file(torch.tensor([0, 1, 2, 3, 0, 0])),
            "labels from 0 to 3; with 3 classes they",
        ),
        ("labels.pt", torch_file([1, 2, 3]), "a file of labels is one tensor"),
        ("labels.pt", evil_torch_file(), "cannot be read as labels"),
        ("labels.pt", b"no file of torch", "cannot be read as labels"),
        ("labels.txt", b"1", "a file of labels ends in"),
    ],
)
def test_other_content_is_refused_in_a_sentence(tmp_path, monkeypatch, data, name, content, words):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(DilutionError, match=words):
        read_label_file(name, data)
    assert not Path("evil-was-here").exists()


@pytest.mark.parametrize("position", range(0, 900, 7))
def test_a_changed_byte_of_a_tensor_file_is_refused_or_gives_labels(tmp_path, data, position):
    content = bytearray(torch_file(NOISY))
    content[position % len(content)] ^= 0x55
    (tmp_path / "labels.pt").write_bytes(content)
    try:
        labels = read_label_file(tmp_path / "labels.pt", data)
    except DilutionError:
        return
    assert labels.shape == (6,)


def test_a_relative_path_is_that_of_the_folder_in_which_the_user_started(tmp_path, monkeypatch, data):
    """A worker of another machine has another current folder, as with modules of the user."""
    write_label_file(tmp_path / "labels.npy", NOISY, data)
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path / "worker")
    with pytest.raises(DilutionError, match=r"labels\.npy cannot be read"):
        read_label_file("labels.npy", data)
    monkeypatch.setattr("dilution.utils.references._search_folder", str(tmp_path))
    assert torch.equal(read_label_file("labels.npy", data), NOISY)


def test_a_missing_file_is_refused(tmp_path, data):
    with pytest.raises(DilutionError, match="cannot be read"):
        read_label_file(tmp_path / "labels.npy", data)


def test_no_file_is_replaced(tmp_path, data):
    path = write_label_file(tmp_path / "labels.npy", NOISY, data)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists; labels are not overwritten"):
        write_label_file(path, data.labels, data)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"does not end in \.npy, \.csv, \.pt"):
        write_label_file(tmp_path / "labels.txt", NOISY, data)


PUBLISHED = {
    "mnist-class-dependent_35.npy": 0.35,
    "mnist-feature-dependent_65.npy": 0.65,
    "mnist-locally-concentrated_35.npy": 0.35,
    "idn-mnist-0.4.csv": 0.4,
}


@pytest.mark.parametrize(("name", "rate"), PUBLISHED.items())
def test_published_labels_of_mnist_have_the_rate_of_their_name(name: str, rate: float):
    root = os.environ.get("DILUTION_DATA")
    path = Path(root or "") / "noisy-labels" / name
    if not root or not path.exists() or not is_present("mnist", root):
        pytest.skip("DILUTION_DATA does not name a folder that holds MNIST and published labels")
    mnist = load("mnist", root).train
    labels = read_label_file(path, mnist)
    assert float((labels != mnist.labels).double().mean()) == pytest.approx(rate, abs=0.01)


def test_no_link_is_replaced_and_no_path_is_a_traceback(tmp_path, data):
    (tmp_path / "link.npy").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists; labels are not overwritten"):
        write_label_file(tmp_path / "link.npy", NOISY, data)
    assert (tmp_path / "link.npy").is_symlink()
    for path in ("x\0.npy", "x" * 5000 + ".npy"):
        with pytest.raises(InputError, match="cannot be a file"):
            read_label_file(path, data)
        with pytest.raises(InputError, match="cannot be a file"):
            write_label_file(path, NOISY, data)
    with pytest.raises(DilutionError, match="cannot be read"):
        read_label_file("~no_such_user_99/x.npy", data)


def test_long_names_make_no_long_message(tmp_path):
    names = tuple(letter * 10_000 for letter in "abc")
    data = Arrays(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.arange(3), names)
    (tmp_path / "labels.csv").write_text("noisy_label\nx\nx\nx\n")
    with pytest.raises(InputError) as error:
        read_label_file(tmp_path / "labels.csv", data)
    assert len(str(error.value)) < 1000
