"""Images in class folders: classes, splits, and folders that cannot be used."""

import shutil

import pytest
from photographs import photograph, write_class_folders

from dilution.data.formats.image_listing import contains_images, list_images
from dilution.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return write_class_folders(tmp_path / "images", per_class=5)


def test_without_split_folders_a_fifth_of_each_class_is_for_testing(folder):
    listing = list_images(folder)
    assert listing.classes == ("cat", "dog")
    assert listing.test == (("cat/0.png", 0), ("dog/0.png", 1))
    assert len(listing.train) == 8
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
    (root / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="'fox'"):
        list_images(root)


def test_with_one_image_per_class_a_fifth_of_all_images_is_for_testing(tmp_path):
    for number in range(10):
        (tmp_path / f"c{number}").mkdir(parents=True)
        photograph(number).save(tmp_path / f"c{number}" / "x.png")
    listing = list_images(tmp_path)
    assert (len(listing.train), len(listing.test)) == (8, 2)


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
    with pytest.raises(DataError, match=rf"images in {listed} only and lacks {missing}; .*{names[0]}, to"):
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
    with pytest.raises(DataError, match="0 images for training"):
        list_images(tmp_path / "empty")
