"""CIFAR with the labels of people: what is read of a file of labels, and that nothing in it is run."""

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

from dilution.data import DATASETS, check, fetch, fingerprint, load
from dilution.data.builtin import cifar, cifar_n
from dilution.errors import DataError
from dilution.noise import Dilution, observed

N = 30  # training images of the little CIFAR that is written here
KEYS = ("clean_label", "aggre_label", "worse_label", "random_label1", "random_label2", "random_label3")
REAL = Path(os.environ.get("DILUTION_DATA", "")) / "cifar10n" / "CIFAR-10_human.pt"
real = pytest.mark.skipif(
    not (os.environ.get("DILUTION_DATA") and REAL.is_file()), reason="DILUTION_DATA has no CIFAR-10N"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a little CIFAR-10, and no labels of people yet."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "cifar10" / cifar.CIFAR10.folder
    folder.mkdir(parents=True)
    for name in cifar.CIFAR10.md5:
        images = draw.integers(0, 256, (N // 5, 3072), dtype=np.uint8)
        labels = draw.integers(0, 10, N // 5).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": images, "labels": labels}, 3))
    (tmp_path / "cifar10n").mkdir()
    return tmp_path


@pytest.fixture
def arrays(root: Path) -> dict[str, Any]:
    """What a file of labels holds: the true labels, and others."""
    clean = cifar.load(cifar.CIFAR10, root).train.labels.numpy()
    return {key: (clean + np.arange(N) % (number + 1)) % 10 for number, key in enumerate(KEYS)}


def write(root: Path, content: Any, name: str = "CIFAR-10_human.pt") -> Path:
    path = root / "cifar10n" / name
    torch.save(content, path)
    return path


def refused(root: Path, rule: str, name: str = "cifar10n/worse") -> None:
    with pytest.raises(DataError, match=rule):
        load(name, root)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, ">i4"])
@pytest.mark.parametrize("set_", cifar_n.HUMAN[:5], ids=lambda each: each.name)
def test_labels_of_people_are_observed_beside_the_true_ones(
    root: Path, arrays: dict[str, Any], set_: cifar_n.Human, kind: Any
) -> None:
    write(root, {key: array.astype(kind) for key, array in arrays.items()})
    plain, data = load("cifar10", root), load(set_.name, root)
    assert data.name == set_.name
    assert data.train.observed is not None
    assert data.train.observed.tolist() == arrays[set_.key].tolist()
    assert torch.equal(data.train.labels, plain.train.labels)
    assert data.test.observed is None
    wrong = (arrays[set_.key] != arrays["clean_label"]).mean()
    assert f"{set_.key} of CIFAR-10_human.pt; {wrong:.1%} of them differ" in data.notes[-1]
    assert Dilution(data.train, noise=observed()).noise_summary().noise_rate_empirical == pytest.approx(wrong)


@pytest.mark.parametrize("where", ["cifar10n", "."])
@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_plain_arrays_serve_as_well(root: Path, arrays: dict[str, Any], where: str, ending: str) -> None:
    if ending == "npz":
        np.savez_compressed(root / where / "CIFAR-10_human.npz", **arrays)
    else:
        for key in ("clean_label", "worse_label"):
            np.save(root / where / f"{key}.npy", arrays[key])
    found = load("cifar10n/worse", root).train.observed
    assert found is not None
    assert found.tolist() == arrays["worse_label"].tolist()


def test_labels_in_another_order_than_the_images_are_refused(root: Path, arrays: dict[str, Any]) -> None:
    write(root, arrays | {"clean_label": np.roll(arrays["clean_label"], 1)})
    refused(root, r"clean_label differs from the labels of cifar10 at \d+ of 30 images.*one order")


def test_other_labels_make_another_data_set(root: Path, arrays: dict[str, Any]) -> None:
    write(root, arrays)
    one = fingerprint("cifar10n/worse", root)
    assert one != fingerprint("cifar10n/aggre", root)
    other = root / "other"
    (other / "cifar10n").mkdir(parents=True)
    (other / "cifar10").symlink_to(root / "cifar10")
    write(other, arrays | {"worse_label": arrays["aggre_label"]})
    assert fingerprint("cifar10n/worse", other) != one


# Files that are not what they should be


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
def test_labels_that_are_none_are_refused(
    root: Path, arrays: dict[str, Any], change: dict[str, Any], rule: str
) -> None:
    write(root, arrays | change)
    refused(root, rule)


def test_a_list_of_numbers_is_an_array_of_labels(root: Path, arrays: dict[str, Any]) -> None:
    write(root, {key: array.tolist() for key, array in arrays.items()})
    found = load("cifar10n/aggre", root).train.observed
    assert found is not None
    assert found.tolist() == arrays["aggre_label"].tolist()


def test_a_file_without_the_labels_says_what_it_holds(root: Path, arrays: dict[str, Any]) -> None:
    del arrays["worse_label"]
    write(root, arrays)
    refused(root, "holds clean_label, aggre_label, .*; clean_label and worse_label are needed")
    write(root, [1, 2])
    refused(root, "holds a list; a dictionary was expected")
    write(root, {"clean_label": torch.arange(N)})
    refused(root, r"names torch\._utils\._rebuild_tensor_v2|refers to .* outside itself")


class Trap:
    """What runs a command where a pickle is read as Python reads it."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch sprung",)


@pytest.mark.parametrize("ending", ["pt", "npz", "npy"])
def test_nothing_in_a_file_is_run(
    root: Path, arrays: dict[str, Any], ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    trapped = np.array([Trap()] * N, dtype=object)
    if ending == "pt":
        write(root, arrays | {"worse_label": Trap()})
    elif ending == "npz":
        np.savez(root / "cifar10n" / "CIFAR-10_human.npz", **arrays | {"worse_label": trapped})
    else:
        np.save(root / "cifar10n" / "clean_label.npy", arrays["clean_label"])
        np.save(root / "cifar10n" / "worse_label.npy", trapped)
    refused(root, r"names posix\.system|nt\.system|cannot be read \(Object arrays")
    assert not (root / "sprung").exists()


def zipped(parts: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, part in parts.items():
            opened.writestr(name, part)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is no whole file of torch.save"),
        (b"text", "is no whole file of torch.save"),
        (pickle.dumps({"clean_label": [1]}), "is no whole file of torch.save"),
        (zipped({"archive/data.pkl": b""}), "is no whole pickle"),
        (zipped({"archive/data.pkl": b"\x80\x02}"}), "is no whole pickle"),
        (zipped({"archive/version": b"3"}), "holds 0 parts named data.pkl"),
        (zipped({"a/data.pkl": b".", "b/data.pkl": b"."}), "holds 2 parts named data.pkl"),
        (zipped({"../data.pkl": b"\x80\x02}."}), r"a part of it is named '\.\./data\.pkl', which is outside"),
        (zipped({"/etc/data.pkl": b"\x80\x02}."}), "is named '/etc/data.pkl'"),
        (zipped({"a/data.pkl": b"\x80\x02}.", "a/zeros": bytes(1 << 27)}), "more than 67,108,864 bytes"),
        (zipped({"a/data.pkl": pickle.dumps({}, 2)})[:-30], "is no whole file of torch.save"),
    ],
    ids=range(11),
)
def test_a_file_that_is_no_file_of_labels_is_refused(root: Path, content: bytes, rule: str) -> None:
    (root / "cifar10n" / "CIFAR-10_human.pt").write_bytes(content)
    refused(root, rule)


def test_one_content_in_many_arrays_takes_no_memory(root: Path) -> None:
    # Seven kilobytes that would make eighty megabytes: text that is named again and again.
    kind = b"cnumpy\ndtype\n(X\x02\x00\x00\x00u1I0\nI1\ntR"
    encoded = b"c_codecs\nencode\n(g1\nX\x06\x00\x00\x00latin1tR"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntX\x01\x00\x00\x00btR"
    array += b"(I1\n(I100000\nt" + kind + b"I00\n" + encoded + b"tb"
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


# Where it comes from


@pytest.mark.parametrize("name", [each.name for each in cifar_n.HUMAN])
def test_labels_that_are_missing_are_not_downloaded_but_asked_for(root: Path, name: str) -> None:
    for call in (load, fetch):
        with pytest.raises(DataError, match=r"CC BY-NC 4\.0.*noisylabels\.com.*cifar-10-100n"):
            call(name, root)
    assert check("cifar10n/worse", root)[0].state == "missing"


def test_a_check_tells_the_labels_and_the_images(root: Path, arrays: dict[str, Any]) -> None:
    path = write(root, arrays)
    found = check("cifar10n/worse", root)
    assert (found[0].file, found[0].state) == (path, "present")
    assert len(found) == 7
    assert len(fetch("cifar10n/worse", root)) == 7
    assert DATASETS["cifar10n/worse"].files[0] == "cifar10n/CIFAR-10_human.pt"


@real
def test_of_the_labels_of_people_those_are_wrong_that_their_authors_say() -> None:
    # Wei et al. (2022), table 1: shares of labels that differ from the true ones, in percent.
    for name, published in [("worse", 40.21), ("aggre", 9.03), ("random1", 17.23), ("random2", 18.12)]:
        data = load(f"cifar10n/{name}").train
        rate = Dilution(data, noise=observed()).noise_summary().noise_rate_empirical
        assert 100 * rate == pytest.approx(published, abs=0.03)
