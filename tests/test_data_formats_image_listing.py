"""Images in class folders: classes, splits, and folders that cannot be used."""

import shutil
from pathlib import Path

import pytest
from photographs import photograph, write_class_folders
from PIL import Image

from dilution.data.formats.image_listing import contains_images, list_images
from dilution.data.formats.image_notes import describe_events
from dilution.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return write_class_folders(tmp_path / "images", per_class=5)


def test_without_split_folders_all_images_are_listed_together(folder):
    listing = list_images(folder)
    assert listing.classes == ("cat", "dog")
    assert listing.train == tuple(
        (f"{name}/{n}.png", "cd".index(name[0])) for name in listing.classes for n in range(5)
    )
    assert listing.test == ()
    assert not listing.has_splits
    assert contains_images(folder)
    assert not contains_images(folder / "cat")


def test_train_and_val_folders_are_the_splits(tmp_path, folder):
    root = tmp_path / "splits"
    shutil.copytree(folder, root / "train")
    (root / "val" / "dog").mkdir(parents=True)
    photograph(99).save(root / "val" / "dog" / "x.jpeg")
    listing = list_images(root)
    assert len(listing.train) == 10
    assert listing.test == (("val/dog/x.jpeg", 1),)
    (root / "val" / "fox").mkdir()  # an empty folder is no class
    assert list_images(root).classes == ("cat", "dog")
    photograph().save(root / "val" / "fox" / "x.jpeg")
    with pytest.raises(DataError, match="'fox'"):
        list_images(root)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["train"], "'val' or 'test'"),
        (["val"], "'train'"),
        (["test", "val"], "'train'"),
        (["train", "validation"], "'val' or 'test'"),
    ],
)
def test_a_single_split_is_not_mistaken_for_a_class(tmp_path, folder, names, missing):
    root = tmp_path / "splits"
    for name in names:
        shutil.copytree(folder, root / name)
    (root / "notes").mkdir()
    listed = " and ".join(map(repr, names))
    proposal = r"; or name \S*train, to set" if "train" in names else r"rename the missing split\. Note"
    with pytest.raises(DataError, match=rf"images in {listed} only and lacks {missing}; .*{proposal}"):
        list_images(root)
    assert list_images(root / names[0]).classes == ("cat", "dog")  # the remedy in the message


def test_a_single_class_is_refused(tmp_path, folder):
    shutil.rmtree(folder / "dog")
    with pytest.raises(DataError, match="one class only, 'cat'; it needs two or more"):
        list_images(folder)
    for split in ("train", "val"):
        shutil.copytree(folder / "cat", tmp_path / "splits" / split / "cat")
    with pytest.raises(DataError, match="one class only, 'cat'"):
        list_images(tmp_path / "splits")


def test_a_class_may_be_called_train(folder):
    (folder / "dog").rename(folder / "train")
    assert list_images(folder).classes == ("cat", "train")


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        list_images(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images in class folders"):
        list_images(tmp_path / "empty")


def test_a_folder_without_images_is_no_class_and_is_noted(folder):
    for name in ("bird", "fish/deep"):
        (folder / name).mkdir(parents=True)
    (folder / "bird" / "x.heic").write_bytes(b"")
    listing = list_images(folder)
    assert listing.classes == ("cat", "dog")
    assert describe_events(listing.events) == (
        "1 image of a format that is not read (.heic) is skipped, the first is bird/x.heic; convert to PNG "
        "or JPEG what should be read",
        "2 folders have no image that can be read and are no class, the first is bird",
    )


def test_images_outside_the_class_folders_are_noted(tmp_path, folder):
    photograph().save(folder / "x.png")
    assert describe_events(list_images(folder).events) == (
        "1 image outside the class folders is skipped, the first is x.png",
    )
    root = tmp_path / "splits"
    for split in ("train", "val", "test"):
        shutil.copytree(folder, root / split)
    listing = list_images(root)
    assert {name.split("/")[0] for name, _ in listing.test} == {"val"}
    assert describe_events(listing.events) == (
        "11 images of splits that are not used are skipped, the first is test/cat/0.png; of several, 'val' "
        "is the split for testing, since 'test' often has no labels",
        "2 images outside the class folders are skipped, the first is train/x.png",
    )


def test_an_empty_class_in_one_split_is_a_class_by_the_other(tmp_path, folder):
    root = tmp_path / "splits"
    shutil.copytree(folder, root / "train")
    shutil.copytree(folder, root / "val")
    shutil.rmtree(root / "val" / "dog")
    (root / "val" / "dog").mkdir()
    listing = list_images(root)
    assert listing.classes == ("cat", "dog")
    assert listing.events == ()


def test_an_error_says_what_was_skipped(tmp_path, folder):
    for path in (folder / "dog").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"one class only, 'cat'.* Note: 5 images of formats .*\(.heic\)"):
        list_images(folder)


def test_a_folder_around_the_classes_is_suggested(tmp_path, folder):
    (tmp_path / "around").mkdir()
    folder.rename(tmp_path / "around" / "pets")
    with pytest.raises(DataError, match=r"one class only, 'pets'.* Name .*around/pets if its folders are"):
        list_images(tmp_path / "around")
    assert list_images(tmp_path / "around" / "pets").classes == ("cat", "dog")  # the remedy


@pytest.mark.parametrize("names", [["Test", "Train"], ["TRAIN", "val"], ["Training", "Validation"]])
def test_splits_in_another_case_are_no_classes(tmp_path, folder, names):
    for name in names:
        shutil.copytree(folder, tmp_path / "splits" / name)
    training = next(name for name in names if name.lower().startswith("train"))
    message = f"images in {names[0]!r} and {names[1]!r} only and lacks 'train'.*splits/{training}, to set"
    with pytest.raises(DataError, match=message):
        list_images(tmp_path / "splits")


def test_class_names_that_are_one_text_or_look_alike_are_noted(tmp_path):
    names = ["caf\u00e9", "cafe\u0301", " dog", "fox", "Fox", "b\udce9", "blue  jay", "blue jay"]
    for name in names:
        (tmp_path / name).mkdir()
        for number in range(2):
            photograph().save(tmp_path / name / f"{number}.png")
    listing = list_images(tmp_path)
    assert listing.classes == ("Fox", r"b\xe9", "blue  jay", "blue jay", "caf\u00e9", "dog", "fox")
    assert len([label for _, label in listing.train + listing.test if label == 4]) == 4
    assert describe_events(listing.events) == (
        "3 class names are written in Unicode NFC, without outer blanks and with escapes, the first is that "
        "of folder  dog",
        "1 folder is of the same class as another folder, since their names are the same text, the first is "
        "caf\u00e9",
        "2 classes have names that look like those of others, but are kept apart, the first is fox "
        "('Fox' and 'fox')",
    )


def test_a_split_among_classes_is_refused_and_deeper_folders_are_noted(tmp_path: Path) -> None:
    for folder in ("train/a", "train/b", "unlabeled"):
        (tmp_path / "F" / folder).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (4, 4), number * 20).save(tmp_path / "F" / folder / f"{number}.png")
    with pytest.raises(DataError, match=r"'train' with folders of its own, such as 'a', beside others"):
        list_images(tmp_path / "F")
    (tmp_path / "F" / "train").rename(tmp_path / "F" / "vehicles")
    listing = list_images(tmp_path / "F")
    assert listing.classes == ("unlabeled", "vehicles")
    assert any(
        "20 images in folders below their class folders" in note for note in describe_events(listing.events)
    )
