"""Data sets in npz files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dilution.data import fingerprint, from_numpy, load, load_unsplit
from dilution.errors import DataError, DilutionError, InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 5, 6), dtype=np.uint8)
LABELS = np.arange(10) % 2
ROWS = np.random.default_rng(0).normal(size=(40, 3))
ROW_LABELS = np.arange(40) % 2


def test_a_file_gives_the_same_as_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=PIXELS, labels=LABELS, classes=["x", "y"])
    data, same = load(path), from_numpy(PIXELS, LABELS, classes=["x", "y"])
    assert data.name == "mine"
    assert data.train.classes == ("x", "y")
    assert torch.equal(data.train.images, same.train.images)
    assert torch.equal(data.test.labels, same.test.labels)


def test_a_file_may_hold_a_test_split(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, images=PIXELS, labels=LABELS, test_images=PIXELS[:4], test_labels=LABELS[:4])
    assert len(load(str(path)).test) == 4


def test_a_changed_file_is_another_data_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=PIXELS, labels=LABELS)
    first, before = load(path), fingerprint(path)
    assert load(path) is first
    np.savez(path, images=PIXELS[:8], labels=LABELS[:8])
    assert fingerprint(path) != before
    assert len(load(path).train) == 6


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": PIXELS, "labels": LABELS}, "'x_train' is not a key"),
        ({"labels": LABELS}, "there is no images or features, only labels"),
        ({"images": PIXELS}, "there is no labels, only images"),
        ({}, "there is no images or features, only nothing"),
        (
            {"images": PIXELS, "labels": LABELS, "test_label": LABELS},
            "'test_label' is not a key. Did you mean 'test_labels'",
        ),
        ({"images": PIXELS, "labels": LABELS[:9]}, "9 labels for 10 examples"),
        ({"images": PIXELS, "labels": LABELS.astype(object)}, "Python objects under labels"),
    ],
)
def test_an_invalid_file_is_named_with_its_fault(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(DilutionError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_a_file_of_another_kind_is_a_data_error(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", images=PIXELS, labels=LABELS)
    good = (tmp_path / "good.npz").read_bytes()
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, PIXELS)
    (tmp_path / "text.npz").write_text("images,labels\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "flipped.npz").write_bytes(good[:300] + bytes([good[300] ^ 255]) + good[301:])
    (tmp_path / "folder.npz").mkdir()
    for name in ("bare", "text", "empty", "cut", "flipped", "folder", "absent"):
        with pytest.raises(DataError, match=rf"{name}\.npz") as caught:
            load(tmp_path / f"{name}.npz")
        assert "\n" not in str(caught.value)


def test_a_file_of_features_gives_the_same_as_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=ROWS, labels=ROW_LABELS, noisy_labels=1 - ROW_LABELS)
    data = load(tmp_path / "a.npz")
    same = from_numpy(features=ROWS, labels=ROW_LABELS, noisy_labels=1 - ROW_LABELS)
    assert torch.equal(data.train.images, same.train.images)
    assert torch.equal(data.train.observed, 1 - data.train.labels)


def test_unsplit_data_keep_the_order_of_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=ROWS, labels=ROW_LABELS)
    unsplit = load_unsplit(tmp_path / "a.npz")
    assert unsplit.names is None
    assert unsplit.arrays.labels.tolist() == ROW_LABELS.tolist()
    assert torch.equal(unsplit.arrays.images[:, :, 0, 0], torch.from_numpy(ROWS.astype(np.float32)))


def test_the_test_split_of_a_file_is_not_part_of_its_unsplit_data(tmp_path: Path) -> None:
    splits = {"test_features": ROWS[:4], "test_labels": ROW_LABELS[:4]}
    np.savez(tmp_path / "b.npz", features=ROWS, labels=ROW_LABELS, **splits)
    assert len(load(tmp_path / "b.npz").test) == 4
    assert len(load_unsplit(tmp_path / "b.npz").arrays) == 40


def test_invalid_features_are_named_with_their_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", features=np.where(ROWS < 0, np.nan, ROWS), labels=ROW_LABELS)
    with pytest.raises(InputError, match=r"c\.npz: features hold"):
        load(tmp_path / "c.npz")


def test_a_class_in_the_test_split_alone_is_refused(tmp_path: Path) -> None:
    splits = {"test_images": PIXELS[:2], "test_labels": ["a", "z"]}
    np.savez(tmp_path / "d.npz", images=PIXELS, labels=["a", "b"] * 5, **splits)
    with pytest.raises(InputError, match=r"d\.npz: the test split has class 'z', of which the train split"):
        load(tmp_path / "d.npz")
