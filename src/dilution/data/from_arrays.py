"""A user's arrays become a data set: every assumption about them is checked here, in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.conversion import to_array, to_features, to_uint8
from dilution.data.splits import every_fifth
from dilution.errors import InputError, unknown

ARGUMENTS = (
    "images", "labels", "features", "test_images", "test_features", "test_labels", "noisy_labels", "classes",
)  # fmt: skip
"""What a data set may be made of: the arguments of :func:`from_numpy`, and the keys of a ``.npz`` file."""


def from_numpy(
    images: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    features: ArrayLike | None = None,
    test_images: ArrayLike | None = None,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    noisy_labels: ArrayLike | None = None,
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
    features
        In place of images: rows of a table, shape (n, features), any finite numbers. They are kept as
        float32, a row as an image of one pixel with a channel for each feature.
    test_images, test_features, test_labels
        The same for the test half. Without them a fixed fifth of each class is set aside for
        testing: :func:`dilution.data.splits.every_fifth`.
    noisy_labels
        Labels as they were observed, of which some may be wrong, beside the right ones in `labels`; shape
        (n,), of the same kind. A name among them that `labels` lacks is a class too.
    classes
        Names of all classes, in the order of their numbers. Default: the names found, sorted, or
        the numbers found, of which none from 0 to the largest may be missing.
    name
        How results call the data set.

    Raises
    ------
    InputError
        If an array breaks a rule above, lengths differ, there are fewer than two classes, or more classes
        than examples.
    """
    train, test = to_halves(
        images,
        labels,
        features=features,
        test_images=test_images,
        test_features=test_features,
        test_labels=test_labels,
        noisy_labels=noisy_labels,
        classes=classes,
    )
    return in_two(name, train) if test is None else DataSet(name, train, test)


def to_halves(
    images: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    features: ArrayLike | None = None,
    test_images: ArrayLike | None = None,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    noisy_labels: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Arrays, Arrays | None]:
    """Return the examples in the order given, and those of the test half, None if there is none.

    Parameters and errors are those of :func:`from_numpy`.
    """
    pixels = _pixels(images, features, "")
    if labels is None:
        raise InputError("there are no labels; there must be one for each example. Pass labels.")
    marks = [_marks(labels, len(pixels), "labels")]
    if noisy_labels is not None:
        marks.append(_marks(noisy_labels, len(pixels), "noisy_labels"))
    tests = test_images if test_features is None else test_features
    if (tests is None) != (test_labels is None):
        what = "features" if images is None else "images"
        given, missing = ("labels", what) if tests is None else (what, "labels")
        raise InputError(
            f"test_{given} came without test_{missing}; a test half needs both. Pass both, or "
            "neither: then a fifth is set aside for testing."
        )
    if tests is None or test_labels is None:
        names = _class_names(marks, classes)
        return _arrays(pixels, marks, names), None
    if (test_images is None) != (images is None):
        raise InputError(
            "one half holds images and the other features; both must be of one kind. Convert one of them."
        )
    test_pixels = _pixels(test_images, test_features, "test_")
    test_marks = _marks(test_labels, len(test_pixels), "test_labels")
    names = _class_names([*marks, test_marks], classes)
    test = Arrays(torch.from_numpy(test_pixels), _numbers(test_marks, names, "test_labels"), names)
    return _arrays(pixels, marks, names), test


def in_two(name: str, whole: Arrays) -> DataSet:
    """Return a data set from examples of which a fixed fifth of each class is set aside for testing.

    Raises
    ------
    InputError
        If all examples are of one class, or no class has two.
    """
    check_several(whole)
    train, test = (torch.from_numpy(rows) for rows in every_fifth(whole.labels.numpy()))
    if len(test) == 0:
        raise InputError(
            f"{len(whole)} examples have no class with two; setting a fifth aside for testing needs "
            "that. Add examples, or bring a test half."
        )
    return DataSet(name, whole.subset(train), whole.subset(test))


def _pixels(images: ArrayLike | None, features: ArrayLike | None, half: str) -> NDArray[Any]:
    """Return images or features, whichever is given, of shape (n, channels, height, width)."""
    if (images is None) == (features is None):
        given = "neither" if images is None else "both"
        raise InputError(
            f"{given} of {half}images and {half}features given; give one: images, or features, which are "
            "rows of a table."
        )
    if images is not None:
        return to_uint8(images, f"{half}images")
    assert features is not None
    return to_features(features, f"{half}features")


def _marks(labels: ArrayLike, n: int, what: str) -> NDArray[Any]:
    """Return labels of shape (n,), either int64 or strings."""
    array = to_array(labels, what)
    if array.ndim != 1:
        raise InputError(
            f"{what} have shape {array.shape}; they must be (n,), one class for each image. "
            f"One-hot rows become that with {what}.argmax(axis=1)."
        )
    if len(array) != n:
        raise InputError(
            f"there are {len(array):,} {what} for {n:,} {_EXAMPLES[what]}; there must be one for each. "
            "Check that both come from the same rows."
        )
    if array.dtype.kind == "O":
        missing = [row for row, mark in enumerate(array) if mark is None or mark != mark]
        if missing:
            raise InputError(
                f"{len(missing):,} {what} are missing, the first is {what}[{missing[0]}]; each example needs "
                "one. Leave those examples out."
            )
        if all(isinstance(mark, str) for mark in array):
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
            f"{what}[{row}] is {array[row]:g}; class numbers must be whole. Remove unlabelled examples, and "
            "pass integers or class names. A quantity is no class: cut it into bins first, with "
            "numpy.digitize."
        )
    return array.astype(np.int64)


_EXAMPLES = {"labels": "examples", "noisy_labels": "examples", "test_labels": "test examples"}


def _class_names(marks: list[NDArray[Any]], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of all classes, given or found; `marks` holds all labels, the clean ones first."""
    if len({each.dtype.kind for each in marks}) > 1:
        raise InputError(
            "labels are strings in one array and numbers in another; all must be of one kind. "
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
            "Add examples of another class."
        )
    if len(names) > len(marks[0]):
        raise InputError(
            f"there are {len(names):,} classes for {len(marks[0]):,} examples; there must not be more "
            "classes than examples. Check that labels and classes are what you meant."
        )
    return names


def _numbers(marks: NDArray[Any], names: tuple[str, ...], what: str) -> torch.Tensor:
    """Return class numbers, int64 of shape (n,), each below ``len(names)``."""
    if marks.dtype.kind == "U":
        number = {name: k for k, name in enumerate(names)}
        for mark in np.unique(marks).tolist():
            if mark not in number:
                raise unknown("class", mark, names)
        return torch.tensor([number[mark] for mark in marks.tolist()], dtype=torch.int64)
    if marks.min() < 0 or marks.max() >= len(names):
        raise InputError(
            f"{what} run from {marks.min()} to {marks.max()}; with {len(names)} classes they must "
            f"lie in 0 … {len(names) - 1}. Renumber them, or name every class in classes."
        )
    return torch.from_numpy(marks)


def _arrays(pixels: NDArray[Any], marks: list[NDArray[Any]], names: tuple[str, ...]) -> Arrays:
    """Return the examples with their clean labels and, if there are, the noisy ones."""
    labels, *observed = (
        _numbers(each, names, what) for each, what in zip(marks, ("labels", "noisy_labels"), strict=False)
    )
    arrays = Arrays(torch.from_numpy(pixels), labels, names, observed[0] if observed else None)
    check_several(arrays)
    return arrays


def check_several(arrays: Arrays) -> None:
    """Raise InputError if all examples are of one class."""
    first = int(arrays.labels[0])
    if (arrays.labels == first).all():
        raise InputError(
            f"all {len(arrays):,} labels are {arrays.classes[first]}; learning needs at least 2 classes that "
            "have examples. Add examples of another class."
        )
