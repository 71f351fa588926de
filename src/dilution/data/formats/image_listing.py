"""Images in a folder with one folder per class, as ImageNet has them: paths, classes and splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilution.data.splits import stratified_split
from dilution.errors import DataError

_SUFFIXES = (".jpg", ".jpeg", ".png")
_TEST_NAMES = ("val", "test")
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder with their splits and classes.

    Parameters
    ----------
    root
        The folder.
    classes
        Names of the class folders, in alphabetical order.
    train, test
        Path below the root and class number of each image.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


def list_images(root: Path) -> ImageListing:
    """Return the images of a folder that has one folder per class.

    If the folder contains ``train`` and ``val`` (or ``test``), these are the splits. Otherwise a fifth of
    each class is for testing, or of all images if each class has only one.

    Raises
    ------
    DataError
        If there are no class folders or no images in them, images of one class only, one split only, or a
        class in the test split only.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Name a folder that contains one folder of images per class.")
    test_folders = [root / name for name in _TEST_NAMES if (root / name).is_dir()]
    if (root / "train").is_dir() and test_folders:
        classes, train, test = _list_two_splits(root, test_folders[0])
    else:
        classes, train, test = _list_and_split(root)
    if not train or not test:
        raise DataError(
            f"{root} has {len(train)} images for training and {len(test)} for testing; it needs some of "
            f"both, in one folder per class, with names that end in {', '.join(_SUFFIXES)}."
        )
    present = {classes[label] for _, label in train + test}
    if len(present) < 2:
        raise DataError(
            f"{root} has images of one class only, {present.pop()!r}; it needs two or more. Add one folder "
            "of images per class."
        )
    return ImageListing(root, classes, tuple(train), tuple(test))


def contains_images(root: Path) -> bool:
    """Return whether the folders of a folder contain images, one per class or one per split and class."""
    return any(file.suffix.lower() in _SUFFIXES for depth in ("*/*", "*/*/*") for file in root.glob(depth))


_Images = list[tuple[str, int]]


def _list_two_splits(root: Path, test_folder: Path) -> tuple[tuple[str, ...], _Images, _Images]:
    """Return classes, train and test images of a folder with a ``train`` folder and a test folder."""
    classes = _folders(root / "train")
    extra = sorted(set(_folders(test_folder)) - set(classes))
    if extra:
        raise DataError(f"{test_folder} has the class {extra[0]!r}, which {root / 'train'} lacks.")
    return classes, _images(root, root / "train", classes), _images(root, test_folder, classes)


def _list_and_split(root: Path) -> tuple[tuple[str, ...], _Images, _Images]:
    """Return classes, train and test images of a folder of class folders."""
    classes = _folders(root)
    images = _images(root, root, classes)
    _check_not_a_split(root, sorted({classes[label] for _, label in images}))
    labels = np.array([label for _, label in images], dtype=np.int64)
    train, test = stratified_split(labels) if images else (labels, labels)
    if len(test) == 0:
        test = np.arange(len(images))[::5]
        train = np.setdiff1d(np.arange(len(images)), test)
    return classes, [images[row] for row in train], [images[row] for row in test]


def _check_not_a_split(root: Path, names: Sequence[str]) -> None:
    """Raise DataError if the folders that contain images are an incomplete pair of splits, not classes."""
    if names and _SPLIT_NAMES.issuperset(names):
        missing = "'val' or 'test'" if (root / "train").is_dir() else "'train'"
        raise DataError(
            f"{root} has images in {' and '.join(map(repr, names))} only and lacks {missing}; a data set "
            "with two splits has 'train' and 'val' or 'test', each with one folder per class. Add or "
            f"rename the missing split; or name {root / names[0]}, to set a fifth of it aside for testing."
        )


def _folders(root: Path) -> tuple[str, ...]:
    folders = (path for path in root.iterdir() if path.is_dir())
    return tuple(sorted(folder.name for folder in folders if not folder.name.startswith(".")))


def _images(root: Path, folder: Path, classes: Sequence[str]) -> _Images:
    return [
        (file.relative_to(root).as_posix(), label)
        for label, name in enumerate(classes)
        if (folder / name).is_dir()
        for file in sorted((folder / name).rglob("*"))
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
    ]
