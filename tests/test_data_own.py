from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dilution.data import from_numpy, load
from dilution.data.registry import fingerprint
from dilution.errors import DataError, DilutionError, InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 5, 6), dtype=np.uint8)
LABELS = np.arange(10) % 2


def refuse(message: str, images: Any = PIXELS, labels: Any = LABELS, **rest: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_numpy(images, labels, **rest)
    assert "\n" not in str(caught.value)


def test_a_fifth_of_each_class_is_set_aside_and_the_same_each_time() -> None:
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1)
    data = from_numpy(images, np.arange(100) % 2, name="mine")
    assert data.name == "mine"
    assert (len(data.train), len(data.test)) == (80, 20)
    assert data.test.labels.tolist() == [0, 1] * 10
    assert data.test.images.flatten().tolist()[:4] == [0, 1, 10, 11]
    for half in (data.train, data.test):  # each image keeps its label
        assert torch.equal(half.images.flatten() % 2, half.labels.to(torch.uint8))
    both = data.train.images.flatten().tolist() + data.test.images.flatten().tolist()
    assert sorted(both) == list(range(100))


def test_a_test_half_of_ones_own_is_used_as_it_is() -> None:
    data = from_numpy(PIXELS, LABELS, test_images=PIXELS[:3], test_labels=LABELS[:3])
    assert len(data.train) == 10
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(PIXELS[:3]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_become_the_nearest_of_256_levels(kind: type) -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(2).reshape(2, 256, 1)
    data = from_numpy((levels / 255).astype(kind), [0, 1], test_images=levels, test_labels=[0, 1])
    assert torch.equal(data.train.images, data.test.images)


def test_colour_images_keep_their_channels() -> None:
    data = from_numpy(np.zeros((10, 3, 5, 6), dtype=np.uint8), LABELS)
    assert data.train.images.shape == (8, 3, 5, 6)


def test_later_changes_to_the_arrays_do_not_reach_the_data_set() -> None:
    images, labels = PIXELS.copy(), LABELS.copy()
    data = from_numpy(images, labels, test_images=images, test_labels=labels)
    images[:], labels[:] = 7, 1
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(PIXELS))
    assert torch.equal(data.test.labels, torch.from_numpy(LABELS))


def test_names_become_numbers_in_sorted_order_over_both_halves() -> None:
    data = from_numpy(PIXELS[:3], ["dog", "ant", "dog"], test_images=PIXELS[:1], test_labels=["cat"])
    assert data.train.classes == data.test.classes == ("ant", "cat", "dog")
    assert data.train.labels.tolist() == [2, 0, 2]
    assert data.test.labels.tolist() == [1]


def test_given_classes_fix_the_order_and_may_lack_examples() -> None:
    names = np.array(["b", "a"] * 5, dtype=object)  # as pandas hands over text
    data = from_numpy(PIXELS, names, classes=["c", "b", "a"])
    assert data.train.classes == ("c", "b", "a")
    assert set(data.train.labels.tolist()) == {1, 2}
    assert from_numpy(PIXELS, LABELS, classes=["x", "y", "z"]).test.classes == ("x", "y", "z")


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32", "bool"])
def test_whole_numbers_of_any_type_are_labels(kind: str) -> None:
    data = from_numpy(PIXELS, LABELS.astype(kind))
    assert data.train.labels.dtype == torch.int64
    assert data.train.classes == ("0", "1")


def test_torch_tensors_are_arrays_too() -> None:
    data = from_numpy(torch.from_numpy(PIXELS), torch.from_numpy(LABELS))
    assert len(data.train) == 8


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS[0], r"shape \(5, 6\)"),
        (PIXELS[:0], r"shape \(0, 5, 6\)"),
        (np.zeros((10, 5, 6, 3), dtype=np.uint8), r"transpose\(0, 3, 1, 2\)"),
        (PIXELS.astype(int), r"int64.*astype\('uint8'\)"),
        (PIXELS.astype(object), "object"),
        (PIXELS.astype(float), "run from 0 to 255.*Divide"),
        (PIXELS / 255 - 0.5, "run from -0.5 to 0.5"),
        ([[[1.0]], [[1.0, 2.0]]], "all rows must have one shape"),
    ],
)
def test_images_that_break_a_rule_are_refused(images: Any, message: str) -> None:
    refuse(message, images=images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_counted(value: float) -> None:
    images = PIXELS / 255
    images[3, 2] = value
    refuse("hold 6 pixels that are NaN or infinite", images=images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:9], "9 labels for 10 examples"),
        (np.eye(10), r"argmax\(axis=1\)"),
        (LABELS + 0.5, r"labels\[0\] is 0.5"),
        (np.where(np.arange(10) == 4, np.nan, LABELS), r"labels\[4\] is nan"),
        (LABELS + 1, "labels run from 1 to 2.*without a gap"),
        (LABELS - 1, "labels run from -1 to 0"),
        (LABELS * 2, "labels run from 0 to 2 with 2 different values"),
        (LABELS * 0, "there is 1 class"),
        (np.array(["a", 1] * 5, dtype=object), "of type object"),
        (LABELS.astype("S1"), r"of type \|S1"),
        (LABELS + 1j, "complex128"),
    ],
)
def test_labels_that_break_a_rule_are_refused(labels: Any, message: str) -> None:
    refuse(message, labels=labels)


def test_labels_must_fit_the_classes_given() -> None:
    refuse("'bat' is not a class. Did you mean 'cat'", labels=["bat"] * 10, classes=["cat", "dog"])
    refuse("run from 1 to 2; with 2 classes", labels=LABELS + 1, classes=["a", "b"])
    refuse("each name must occur once", classes=["a", "a"])


def test_a_test_half_that_does_not_fit_is_refused() -> None:
    refuse("came without test_labels", test_images=PIXELS)
    refuse("came without test_images", test_labels=LABELS)
    refuse("2 test_labels for 10 test examples", test_images=PIXELS, test_labels=[0, 1])
    refuse("of one kind", test_images=PIXELS[:2], test_labels=["a", "b"])
    refuse("both must be the same", test_images=PIXELS[:, 1:], test_labels=LABELS)


def test_too_few_images_for_a_test_half_are_refused() -> None:
    refuse("have no class with two", images=PIXELS[:2], labels=[0, 1])


def test_an_npz_file_gives_the_same_as_its_arrays(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=PIXELS, labels=LABELS, classes=["x", "y"])
    data, same = load(path), from_numpy(PIXELS, LABELS, classes=["x", "y"])
    assert data.name == "mine"
    assert data.train.classes == ("x", "y")
    assert torch.equal(data.train.images, same.train.images)
    assert torch.equal(data.test.labels, same.test.labels)


def test_an_npz_file_may_bring_its_test_half(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, images=PIXELS, labels=LABELS, test_images=PIXELS[:4], test_labels=LABELS[:4])
    assert len(load(str(path)).test) == 4


def test_a_changed_npz_file_is_another_data_set(tmp_path: Path) -> None:
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
def test_a_wrong_npz_file_is_named_with_its_fault(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(DilutionError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_npz_file_is_a_data_error(tmp_path: Path) -> None:
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
