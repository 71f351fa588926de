"""Image folders, one folder for each class, as ImageNet has them: which images there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dilution.data.splits import every_fifth
from dilution.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png")
TEST_NAMES = ("val", "test")
_HALF_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class Listing:
    """The images of a folder: which belong to which half and class.

    Parameters
    ----------
    root
        The folder.
    classes
        Names of the class folders, in alphabetical order.
    train, test
        For each image its path below the root and its class.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


def find(root: Path) -> Listing:
    """List the images of a folder that has a folder for each class.

    If it holds ``train`` and ``val`` (or ``test``), these are the halves. Otherwise a fifth of each class is
    for testing, or of all images where every class has one only.

    Raises
    ------
    DataError
        If there are no such folders or no images in them, images of one class only, or one half only, or
        if the test half has a class of its own.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Name a folder that holds a folder of images for each class.")
    halves = [root / name for name in TEST_NAMES if (root / name).is_dir()]
    if (root / "train").is_dir() and halves:
        classes = _folders(root / "train")
        extra = sorted(set(_folders(halves[0])) - set(classes))
        if extra:
            raise DataError(f"{halves[0]} has the class {extra[0]!r}, which {root / 'train'} lacks.")
        train, test = (_images(root, half, classes) for half in (root / "train", halves[0]))
    else:
        classes = _folders(root)
        every = _images(root, root, classes)
        _check_no_half(root, sorted({classes[label] for _, label in every}))
        labels = np.array([label for _, label in every], dtype=np.int64)
        kept, aside = every_fifth(labels) if len(every) else (labels, labels)
        if len(aside) == 0:
            aside = np.arange(len(every))[::5]
            kept = np.setdiff1d(np.arange(len(every)), aside)
        train, test = [every[i] for i in kept], [every[i] for i in aside]
    if not train or not test:
        raise DataError(
            f"{root} has {len(train)} images for training and {len(test)} for testing; it needs some of "
            f"both, in a folder for each class, with names that end in {', '.join(ENDINGS)}."
        )
    held = {classes[label] for _, label in train + test}
    if len(held) < 2:
        raise DataError(
            f"{root} has images of one class only, {held.pop()!r}; it needs two or more. Give it a folder "
            "of images for each class."
        )
    return Listing(root, classes, tuple(train), tuple(test))


def holds_images(root: Path) -> bool:
    """Return whether there are images in the folders of a folder, of each class or of each half."""
    return any(file.suffix.lower() in ENDINGS for depth in ("*/*", "*/*/*") for file in root.glob(depth))


def _check_no_half(root: Path, names: Sequence[str]) -> None:
    """Raise DataError if the folders that hold images are halves without their counterpart, not classes."""
    if names and _HALF_NAMES.issuperset(names):
        lacks = "'val' or 'test'" if (root / "train").is_dir() else "'train'"
        raise DataError(
            f"{root} has images in {' and '.join(map(repr, names))} only and lacks {lacks}; a data set in "
            "halves has 'train' and 'val' or 'test', each with a folder for each class. Add or rename the "
            f"half that is missing; or name {root / names[0]}, to set a fifth of it aside for testing."
        )


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(
        sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    )


def _images(root: Path, half: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    return [
        (file.relative_to(root).as_posix(), label)
        for label, name in enumerate(classes)
        if (half / name).is_dir()
        for file in sorted((half / name).rglob("*"))
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]
