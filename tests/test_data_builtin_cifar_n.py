"""CIFAR with human labels: files of labels are read, invalid ones refused, nothing in them is executed."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dilution.data import DATASETS, check, fetch, fingerprint, is_present, load
from dilution.data.builtin.cifar import CIFAR10
from dilution.data.builtin.cifar_n import HUMAN_LABELS, HumanLabels
from dilution.errors import DataError
from dilution.noise import Dilution, observed

N = 30  # training images of the small CIFAR that is written here
KEYS = ("clean_label", "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3")
DATA_ROOT = os.environ.get("DILUTION_DATA")
real = pytest.mark.skipif(
    not DATA_ROOT or not is_present("cifar10n/worse", DATA_ROOT), reason="DILUTION_DATA has no CIFAR-10N"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a small CIFAR-10, and no human labels yet."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "cifar10" / CIFAR10.folder
    folder.mkdir(parents=True)
    for name in CIFAR10.md5:
        images = rng.integers(0, 256, (N // 5, 3072), dtype=np.uint8)
        labels = rng.integers(0, 10, N // 5).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": images, "labels": labels}, 3))
    (tmp_path / "cifar10n").mkdir()
    return tmp_path


@pytest.fixture
def arrays(root: Path) -> dict[str, Any]:
    """Arrays of a file of labels: the true labels, and others."""
    clean = CIFAR10.load(root).train.labels.numpy()
    return {key: (clean + np.arange(N) % (number + 1)) % 10 for number, key in enumerate(KEYS)}


def write(root: Path, content: Any, name: str = "CIFAR-10_human.pt") -> Path:
    path = root / "cifar10n" / name
    torch.save(content, path)
    return path


def refused(root: Path, rule: str, name: str = "cifar10n/worse") -> None:
    with pytest.raises(DataError, match=rule):
        load(name, root)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, ">i4"])
@pytest.mark.parametrize("human_labels", HUMAN_LABELS[:5], ids=lambda data: data.name)
def test_human_labels_are_observed_labels_beside_the_true_ones(
    root: Path, arrays: dict[str, Any], human_labels: HumanLabels, dtype: Any
) -> None:
    write(root, {key: array.astype(dtype) for key, array in arrays.items()})
    plain, data = load("cifar10", root), load(human_labels.name, root)
    assert data.name == human_labels.name
    assert data.train.observed is not None
    assert data.train.observed.tolist() == arrays[human_labels.key].tolist()
    assert torch.equal(data.train.labels, plain.train.labels)
    assert data.test.observed is None
    noise_rate = (arrays[human_labels.key] != arrays["clean_label"]).mean()
    assert f"{human_labels.key} of CIFAR-10_human.pt; {noise_rate:.1%} of them differ" in data.notes[-1]
    assert Dilution(data.train, noise=observed()).noise_summary().noise_rate_empirical == pytest.approx(
        noise_rate
    )


@pytest.mark.parametrize("folder", ["cifar10n", "."])
@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_plain_arrays_serve_as_well(root: Path, arrays: dict[str, Any], folder: str, ending: str) -> None:
    if ending == "npz":
        np.savez_compressed(root / folder / "CIFAR-10_human.npz", **arrays)
    else:
        for key in ("clean_label", "worse_label"):
            np.save(root / folder / f"{key}.npy", arrays[key])
    labels = load("cifar10n/worse", root).train.observed
    assert labels is not None
    assert labels.tolist() == arrays["worse_label"].tolist()


def test_labels_in_another_order_than_the_images_are_refused(root: Path, arrays: dict[str, Any]) -> None:
    write(root, arrays | {"clean_label": np.roll(arrays["clean_label"], 1)})
    refused(root, r"clean_label differs from the labels of cifar10 for \d+ of 30 images.*one order")


def test_other_labels_make_another_data_set(root: Path, arrays: dict[str, Any]) -> None:
    write(root, arrays)
    first = fingerprint("cifar10n/worse", root)
    assert first != fingerprint("cifar10n/aggre", root)
    other = root / "other"
    (other / "cifar10n").mkdir(parents=True)
    (other / "cifar10").symlink_to(root / "cifar10")
    write(other, arrays | {"worse_label": arrays["aggre_label"]})
    assert fingerprint("cifar10n/worse", other) != first


def test_labels_that_were_replaced_are_read_again(root: Path, arrays: dict[str, Any]) -> None:
    write(root, arrays)
    first, data = fingerprint("cifar10n/worse", root), load("cifar10n/worse", root)
    assert load("cifar10n/worse", root) is data
    write(root, arrays | {"worse_label": arrays["aggre_label"]})
    assert fingerprint("cifar10n/worse", root) != first
    observed = load("cifar10n/worse", root).train.observed
    assert observed is not None
    assert observed.tolist() == arrays["aggre_label"].tolist()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"worse_label": np.arange(N) % 11}, "worse_label runs from 0 to 10; labels of 10 classes"),
        ({"worse_label": -np.ones(N, dtype=int)}, "worse_label runs from -1 to -1"),
        (
            {"worse_label": np.zeros(N - 1, dtype=int)},
            r"worse_label is int64 of shape \(29,\); it must be whole",
        ),
        ({"worse_label": np.zeros((N, 1), dtype=int)}, r"of shape \(30, 1\)"),
        ({"worse_label": [0.5] * N}, "worse_label is float64"),
        ({"worse_label": "text"}, "worse_label is <U4"),
        ({"worse_label": np.zeros(N)}, "an array of another type"),
    ],
)
def test_invalid_labels_are_refused(
    root: Path, arrays: dict[str, Any], change: dict[str, Any], rule: str
) -> None:
    write(root, arrays | change)
    refused(root, rule)


def test_a_list_of_numbers_is_an_array_of_labels(root: Path, arrays: dict[str, Any]) -> None:
    write(root, {key: array.tolist() for key, array in arrays.items()})
    labels = load("cifar10n/aggre", root).train.observed
    assert labels is not None
    assert labels.tolist() == arrays["aggre_label"].tolist()


def test_a_file_without_the_labels_says_what_it_holds(root: Path, arrays: dict[str, Any]) -> None:
    del arrays["worse_label"]
    write(root, arrays)
    refused(root, "holds clean_label, aggre_label, .*; clean_label and worse_label are needed")
    write(root, [1, 2])
    refused(root, "holds a list; it must hold a dictionary")
    write(root, {"clean_label": torch.arange(N)})
    refused(root, r"names torch\._utils\._rebuild_tensor_v2|refers to .* outside itself")


class Trap:
    """An object whose pickle executes a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch sprung",)


@pytest.mark.parametrize("ending", ["pt", "npz", "npy"])
def test_no_code_in_a_file_is_executed(
    root: Path, arrays: dict[str, Any], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    traps = np.array([Trap()] * N, dtype=object)
    if ending == "pt":
        write(root, arrays | {"worse_label": Trap()})
    elif ending == "npz":
        np.savez(root / "cifar10n" / "CIFAR-10_human.npz", **arrays | {"worse_label": traps})
    else:
        np.save(root / "cifar10n" / "clean_label.npy", arrays["clean_label"])
        np.save(root / "cifar10n" / "worse_label.npy", traps)
    refused(root, r"names posix\.system|nt\.system|holds Python objects under worse_label")
    assert not (root / "sprung").exists()


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, member in members.items():
            opened.writestr(name, member)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is no whole file of torch.save"),
        (b"text", "is no whole file of torch.save"),
        (pickle.dumps({"clean_label": [1]}), "is no whole file of torch.save"),
        (zipped({"archive/data.pkl": b""}), "is no whole pickle"),
        (zipped({"archive/data.pkl": b"\x80\x02}"}), "is no whole pickle"),
        (zipped({"archive/version": b"3"}), "holds 0 members named data.pkl"),
        (zipped({"a/data.pkl": b".", "b/data.pkl": b"."}), "holds 2 members named data.pkl"),
        (zipped({"../data.pkl": b"\x80\x02}."}), r"its member '\.\./data\.pkl' is named outside the file"),
        (zipped({"/etc/data.pkl": b"\x80\x02}."}), "its member '/etc/data.pkl' is named outside"),
        (zipped({"a/data.pkl": b"\x80\x02}.", "a/zeros": bytes(1 << 27)}), "more than 67,108,864 bytes"),
        (zipped({"a/data.pkl": pickle.dumps({}, 2)})[:-30], "is no whole file of torch.save"),
    ],
    ids=range(11),
)
def test_a_file_of_another_kind_is_refused(root: Path, content: bytes, rule: str) -> None:
    (root / "cifar10n" / "CIFAR-10_human.pt").write_bytes(content)
    refused(root, rule)


def test_one_content_in_many_arrays_takes_no_memory(root: Path) -> None:
    # Seven kilobytes that would make eighty megabytes: one text that many arrays name.
    dtype = b"cnumpy\ndtype\n(X\x02\x00\x00\x00u1I0\nI1\ntR"
    encoded = b"c_codecs\nencode\n(g1\nX\x06\x00\x00\x00latin1tR"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntX\x01\x00\x00\x00btR"
    array += b"(I1\n(I100000\nt" + dtype + b"I00\n" + encoded + b"tb"
    many = b"".join(b"I%d\n" % key + array for key in range(800))
    text = b"X" + (100_000).to_bytes(4, "little") + bytes(100_000) + b"p1\n0"
    (root / "cifar10n" / "CIFAR-10_human.pt").write_bytes(
        zipped({"a/data.pkl": b"\x80\x02" + text + b"}(" + many + b"u."})
    )
    refused(root, "one content in many arrays")


def test_an_array_larger_than_its_file_is_refused(root: Path, arrays: dict[str, Any]) -> None:
    np.save(root / "cifar10n" / "clean_label.npy", arrays["clean_label"])
    path = root / "cifar10n" / "worse_label.npy"
    np.save(path, arrays["worse_label"])
    path.write_bytes(path.read_bytes().replace(b"(30,), }", b"(9" + 14 * b"0" + b",), }"))
    refused(root, r"worse_label\.npy cannot be read")


def test_a_damaged_array_is_refused(root: Path, arrays: dict[str, Any]) -> None:
    np.savez(root / "cifar10n" / "CIFAR-10_human.npz", **arrays)
    path = root / "cifar10n" / "CIFAR-10_human.npz"
    path.write_bytes(path.read_bytes()[:500])
    refused(root, "it must be a whole .npz file of plain numbers")


@pytest.mark.parametrize("name", [data.name for data in HUMAN_LABELS])
def test_missing_labels_are_not_downloaded_and_the_message_says_where_they_are(root: Path, name: str) -> None:
    for call in (load, fetch):
        with pytest.raises(DataError, match=r"CC BY-NC 4\.0.*noisylabels\.com.*cifar-10-100n"):
            call(name, root)
    assert check("cifar10n/worse", root)[0].state == "missing"


def test_a_check_lists_the_files_of_labels_and_images(root: Path, arrays: dict[str, Any]) -> None:
    path = write(root, arrays)
    statuses = check("cifar10n/worse", root)
    assert (statuses[0].file, statuses[0].state) == (path, "present")
    assert len(statuses) == 7
    assert len(fetch("cifar10n/worse", root)) == 7
    assert DATASETS["cifar10n/worse"].files[0] == "cifar10n/CIFAR-10_human.pt"


@real
def test_the_noise_rates_are_those_that_the_authors_publish() -> None:
    # Wei et al. (2022), table 1: noise rates in percent
    for name, published in [("worse", 40.21), ("aggre", 9.03), ("random1", 17.23), ("random2", 18.12)]:
        data = load(f"cifar10n/{name}").train
        noise_rate = Dilution(data, noise=observed()).noise_summary().noise_rate_empirical
        assert 100 * noise_rate == pytest.approx(published, abs=0.03)
