"""Copies and near-copies of training examples in a test split of the user are counted and said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_near_copies import frames, smooth

from dilution.data import Arrays, from_numpy, load
from dilution.data.splits import with_own_test_split


def splits(n_darker: int, n_equal: int) -> tuple[Arrays, Arrays]:
    """Return 60 training images, and 30 test images of which some are copies of them, darker or equal."""
    different = frames(90, 0.0, cameras=90)
    train, test = different[:60], different[60:].clone()
    test[:n_darker] = (train[:n_darker].int() * 4 // 5).byte()
    test[n_darker : n_darker + n_equal] = train[30 : 30 + n_equal]
    return Arrays(train, torch.arange(60) % 2), Arrays(test, torch.arange(30) % 2)


@pytest.mark.parametrize(("n_darker", "n_equal"), [(0, 0), (7, 0), (0, 5), (1, 1), (25, 5)])
def test_copies_of_training_images_in_the_test_split_are_counted_by_kind(n_darker: int, n_equal: int) -> None:
    train, test = splits(n_darker, n_equal)
    data = with_own_test_split("x", train, test, ("first",))
    expected = ["first"]
    if n_equal:
        kind = "example is a copy" if n_equal == 1 else "examples are copies"
        expected.append(
            f"{n_equal} of the 30 test {kind} of training examples, so that test accuracy is too high"
        )
    if n_darker:
        kind = "images is a near-copy" if n_darker == 1 else "images are near-copies"
        expected.append(f"{n_darker} of the 30 test {kind} of training images (compressed again or of")
    assert len(data.notes) == len(expected)
    assert all(note.startswith(start) for note, start in zip(data.notes, expected, strict=True))
    assert torch.equal(data.test.images, test.images)
    assert torch.equal(data.train.images, train.images)
    exact = with_own_test_split("x", train, test, near=False)
    assert not any("near-cop" in note for note in exact.notes)


def test_equal_test_images_count_each_and_near_copies_within_a_split_do_not() -> None:
    train, test = splits(3, 0)
    test.images[10:13] = test.images[0]
    test.images[20] = (test.images[21].int() * 4 // 5).byte()
    (note,) = with_own_test_split("x", train, test).notes
    assert note.startswith("6 of the 30 test images are near-copies of training images")


def test_frames_of_one_camera_in_both_splits_are_said_to_be_alike() -> None:
    images = frames(120, 2.0)
    train, test = (Arrays(part, torch.arange(len(part)) % 2) for part in (images[:90], images[90:]))
    notes = with_own_test_split("x", train, test).notes
    assert notes[-1] == (
        "30 of the 30 test images are so like training images that near-copies among them cannot be told; "
        "the splits of the data are kept"
    )


def test_more_images_in_both_splits_than_are_searched_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = splits(7, 0)
    for module in ("near_copies", "duplicates", "leaks"):
        monkeypatch.setattr(f"dilution.data.{module}.MAX_IMAGES", 89)
    (note,) = with_own_test_split("x", train, test).notes
    assert note.startswith(
        "near-copies of training images in the test split are sought where both are at most"
    )
    assert "89 different images, and these are 90" in note
    for module in ("near_copies", "duplicates", "leaks"):
        monkeypatch.setattr(f"dilution.data.{module}.MAX_IMAGES", 59)
    (note,) = with_own_test_split("x", train, test).notes
    assert note.startswith("near-copies are sought among at most 59 different images, and these are 60")


def test_arrays_with_a_test_split_of_their_own_are_told_of_near_copies() -> None:
    train, test = splits(4, 0)
    data = from_numpy(
        images=train.images.numpy()[:, 0],
        labels=np.arange(60) % 2,
        test_images=test.images.numpy()[:, 0],
        test_labels=np.arange(30) % 2,
    )
    assert any(note.startswith("4 of the 30 test images are near-copies") for note in data.notes)


def test_near_copies_in_a_folder_with_splits_are_named_by_their_paths(tmp_path: Path) -> None:
    images = iter(smooth(0, 48).astype(np.uint8))
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(12):
                Image.fromarray(next(images)[0]).save(tmp_path / split / name / f"{number}.png")
    with Image.open(tmp_path / "train" / "dog" / "0.png") as image:
        image.save(tmp_path / "train" / "dog" / "twin.jpg", quality=95)
    (note,) = [note for note in load(tmp_path).notes if "near-cop" in note]
    assert "the first is train/dog/twin.jpg, near train/dog/0.png;" in note
