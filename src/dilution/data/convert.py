"""A user's arrays become a data set: every assumption about them is checked here, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.pixels import to_array, to_uint8
from dilution.data.split import every_fifth
from dilution.errors import InputError, unknown


def from_numpy(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    test_images: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
) -> DataSet:
    """Return a data set from arrays.

    Parameters
    ----------
    images
        Shape (n, height, width) or (n, channels, height, width); uint8, or floats in [0, 1],
        which are rounded to 256 levels.
    labels
        Shape (n,): class numbers from 0, or class names.
    test_images, test_labels
        The same for the test half. Without them a fixed fifth of each class is set aside for
        testing: :func:`dilution.data.split.every_fifth`.
    classes
        Names of all classes, in the order of their numbers. Default: the names found, sorted, or
        the numbers found, of which none from 0 to the largest may be missing.
    name
        How results call the data set.

    Raises
    ------
    InputError
        If an array breaks a rule above, lengths differ, or there are fewer than two classes.
    """
    if (test_images is None) != (test_labels is None):
        given, missing = ("labels", "images") if test_images is None else ("images", "labels")
        raise InputError(
            f"test_{given} came without test_{missing}; a test half needs both. Pass both, or "
            "neither: then a fifth is set aside for testing."
        )
    pixels = to_uint8(images, "images")
    marks = [_marks(labels, len(pixels), "labels")]
    if test_images is not None and test_labels is not None:
        test_pixels = to_uint8(test_images, "test_images")
        marks.append(_marks(test_labels, len(test_pixels), "test_labels"))
        names = _class_names(marks, classes)
        train = _arrays(pixels, marks[0], names, "labels")
        return DataSet(name, train, _arrays(test_pixels, marks[1], names, "test_labels"))
    names = _class_names(marks, classes)
    numbers = _numbers(marks[0], names, "labels")
    train_rows, test_rows = every_fifth(numbers)
    if len(test_rows) == 0:
        raise InputError(
            f"{len(pixels)} images have no class with two; setting a fifth aside for testing needs "
            "that. Add images, or pass test_images and test_labels."
        )
    train, test = (
        Arrays(torch.from_numpy(pixels[rows]), torch.from_numpy(numbers[rows]), names)
        for rows in (train_rows, test_rows)
    )
    return DataSet(name, train, test)


def _marks(labels: ArrayLike, n: int, what: str) -> NDArray[Any]:
    """Return labels of shape (n,), either int64 or strings."""
    array = to_array(labels, what)
    if array.ndim != 1:
        raise InputError(
            f"{what} have shape {array.shape}; they must be (n,), one class for each image. "
            f"One-hot rows become that with {what}.argmax(axis=1)."
        )
    if len(array) != n:
        images = what.replace("labels", "images")
        raise InputError(
            f"there are {len(array):,} {what} for {n:,} {images}; there must be one for each. "
            "Check that both come from the same rows."
        )
    if array.dtype.kind == "O" and all(isinstance(mark, str) for mark in array):
        array = array.astype(np.str_)  # how pandas hands over a column of text
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{what} are of type {array.dtype}; they must be integers or strings. Remove images "
            f"without a label, then pass {what}.astype('int64') or {what}.astype('str')."
        )
    whole = np.isfinite(array) & (array == np.rint(array))
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(
            f"{what}[{row}] is {array[row]:g}; class numbers must be whole. "
            "Remove unlabelled images, and pass integers or class names."
        )
    return array.astype(np.int64)


def _class_names(marks: list[NDArray[Any]], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of all classes, given or found; `marks` holds the labels of each half."""
    if len({half.dtype.kind for half in marks}) > 1:
        raise InputError(
            "labels are strings in one half and numbers in the other; both must be of one kind. "
            "Convert one of them."
        )
    if classes is not None:
        names = tuple(str(name) for name in classes)
        if len(set(names)) < len(names):
            raise InputError(f"classes are {', '.join(names)}; each name must occur once. Rename.")
    else:
        found = np.unique(np.concatenate(marks))
        names = tuple(str(mark) for mark in found.tolist())
        if found.dtype.kind != "U" and not np.array_equal(found, np.arange(len(found))):
            raise InputError(
                f"labels run from {found[0]} to {found[-1]} with {len(found)} different values; "
                "class numbers must be 0, 1, 2 … without a gap. Renumber them with "
                "numpy.unique(labels, return_inverse=True)[1], or pass classes= with every name."
            )
    if len(names) < 2:
        raise InputError(
            f"there is {len(names)} class ({', '.join(names)}); learning needs at least 2. "
            "Add images of another class."
        )
    return names


def _numbers(marks: NDArray[Any], names: tuple[str, ...], what: str) -> NDArray[np.int64]:
    """Return class numbers, int64 of shape (n,), each below ``len(names)``."""
    if marks.dtype.kind == "U":
        number = {name: k for k, name in enumerate(names)}
        for mark in np.unique(marks).tolist():
            if mark not in number:
                raise unknown("class", mark, names)
        return np.array([number[mark] for mark in marks.tolist()], dtype=np.int64)
    if marks.min() < 0 or marks.max() >= len(names):
        raise InputError(
            f"{what} run from {marks.min()} to {marks.max()}; with {len(names)} classes they must "
            f"lie in 0 … {len(names) - 1}. Renumber them, or name every class in classes."
        )
    return marks


def _arrays(pixels: NDArray[np.uint8], marks: NDArray[Any], names: tuple[str, ...], what: str) -> Arrays:
    numbers = torch.from_numpy(_numbers(marks, names, what))
    return Arrays(torch.from_numpy(pixels), numbers, names)
