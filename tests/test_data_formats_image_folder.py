"""A folder of images as a data set in memory."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dilution.data import check, fingerprint, load, load_unsplit, pack_folder
from dilution.data.formats import image_folder
from dilution.errors import DataError, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images, each of one grey, in two classes; the greys of class b are odd."""
    for number in range(10):
        path = tmp_path / "mine" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 12), number, dtype=np.uint8)).save(path)
    return tmp_path / "mine"


CONVERTED = (
    "10 images are not square and are cut to the square in the middle, the first is a/0.png (12 × 9 pixels)",
    "10 images are smaller than the squares that models learn from and are enlarged, the first is a/0.png "
    "(12 × 9 pixels)",
)


def pack_and_load(root: Path) -> object:
    pack_folder(root, root.parent / "p.pack", 8, workers=0)
    return load(root.parent / "p.pack")


def greys(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_a_folder_is_decoded_and_a_fifth_of_it_is_for_testing(folder: Path) -> None:
    data = load(folder)
    assert data.name == "mine"
    assert data.train.classes == ("a", "b")
    assert data.train.shape == (3, 32, 32)
    assert (len(data.train), len(data.test)) == (8, 2)
    for arrays in (data.train, data.test):
        assert [grey % 2 for grey in greys(arrays.images)] == arrays.labels.tolist()
    assert data.notes == CONVERTED
    assert load(f"{folder}/") is data


def test_without_split_folders_the_first_image_of_each_five_of_a_class_is_for_testing(folder: Path) -> None:
    data = load(folder)
    assert greys(data.test.images) == [0, 1]
    assert greys(data.train.images) == [2, 4, 6, 8, 3, 5, 7, 9]


def test_images_that_cannot_be_read_do_not_count_in_the_split(folder: Path) -> None:
    before = load(folder)
    (folder / "a" / ".0.png").write_bytes(b"")
    (folder / "a" / "-.png").write_text("no image")  # before the others
    after = load(folder)
    assert greys(after.test.images) == greys(before.test.images)
    assert greys(after.train.images) == greys(before.train.images)


@pytest.mark.parametrize("read", [load, pack_and_load])
def test_one_image_per_class_is_refused_before_it_is_used(
    folder: Path, read: Callable[[Path], object]
) -> None:
    for name in "ab":
        for path in sorted((folder / name).iterdir())[1:]:
            path.unlink()
    with pytest.raises(InputError, match="no class of the 2 examples has two; a fifth of each class is set"):
        read(folder)
    assert len(load_unsplit(folder).arrays) == 2


def test_the_size_follows_the_number_sign(folder: Path) -> None:
    assert load(f"{folder}#5").train.shape == (3, 5, 5)
    for size in ("0", "x", "-3", "4.5"):
        with pytest.raises(InputError, match=rf"'{size}' follows the # .*mine#48"):
            load(f"{folder}#{size}")


def test_split_folders_are_used(folder: Path) -> None:
    root = folder.parent / "splits"
    root.mkdir()
    folder.rename(root / "train")
    for name in "ab":
        (root / "val" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (77, 0, 0)).save(root / "val" / name / "z.jpg")
    data = load(root)
    assert (len(data.train), len(data.test)) == (10, 2)
    assert len(load_unsplit(root).arrays) == 12


def test_files_that_cannot_be_read_are_skipped_with_a_note(folder: Path) -> None:
    (folder / "a" / "1x.png").write_text("no image")
    data = load(folder)
    assert len(data.train) + len(data.test) == 10
    note, *others = data.notes
    assert tuple(others) == CONVERTED
    assert note == (
        "1 file is skipped, the first is a/1x.png: by its content it is not JPEG, PNG, BMP, GIF, WebP or TIFF"
    )
    for path in (folder / "b").rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(InputError, match="labels are 'a'; learning needs at least 2"):
        load(folder)
    for path in folder.rglob("*.png"):
        path.write_text("no image")
    with pytest.raises(DataError, match=r"none of the \d+ images for training .* not JPEG, PNG"):
        load(folder)


def test_unsplit_images_are_named_by_their_path(folder: Path) -> None:
    unsplit = load_unsplit(f"{folder}#4")
    assert unsplit.names == tuple(
        f"{'ab'[number % 2]}/{number}.png" for number in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    )
    assert greys(unsplit.arrays.images) == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    assert unsplit.arrays.labels.tolist() == [0] * 5 + [1] * 5


def test_names_and_contents_identify_a_folder(folder: Path) -> None:
    before = fingerprint(folder)
    (status,) = check(f"{folder}#9")
    assert (status.file, status.state) == (folder, "present")
    assert re.fullmatch("[0-9a-f]{64}", status.sha256)
    assert status.size == sum(path.stat().st_size for path in folder.rglob("*.png"))
    first = load(folder)
    (folder / "a" / "0.png").rename(folder / "a" / "00.png")
    assert len({before, renamed := fingerprint(folder)}) == 2
    Image.new("L", (9, 12), 200).save(folder / "a" / "00.png")
    assert fingerprint(folder) not in (before, renamed)
    assert load(folder) is not first


def test_a_folder_without_classes_and_a_large_one_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="has no images in class folders"):
        load(folder / "a")
    monkeypatch.setattr(image_folder, "_MAX_IMAGES", 9)
    with pytest.raises(InputError, match=r"holds 10 images; at most 9 .*dilution data pack"):
        load(folder)
