"""Data sets from a user's arrays: images or features, labels by number or name, and all checks of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.class_checks import check_two_classes
from dilution.data.conversion import to_array, to_features, to_uint8
from dilution.data.splits import split_arrays
from dilution.errors import InputError, unknown

ARGUMENTS = (
    "images", "labels", "features", "test_images", "test_features", "test_labels", "noisy_labels", "classes",
)  # fmt: skip
"""Names of the arrays of a data set: arguments of :func:`from_numpy` and keys of a ``.npz`` file."""


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
        Shape (n, height, width) or (n, channels, height, width); uint8, or floats in [0, 1], which are
        rounded to 256 levels.
    labels
        Shape (n,): class numbers from 0, or class names.
    features
        In place of images: rows of a table, shape (n, features), any finite numbers. They are kept as
        float32; a row is an image of one pixel with one channel per feature.
    test_images, test_features, test_labels
        The same for the test split. Default: a fixed fifth of each class is set aside for testing,
        :func:`dilution.data.splits.stratified_split`.
    noisy_labels
        Observed labels, some of which may be wrong, where `labels` are the true ones; shape (n,), of the same
        kind. A name that only they contain is a class too.
    classes
        Names of all classes, in the order of their numbers. Default: the names in the labels, sorted, or the
        numbers in the labels, which must be 0, 1, 2 … without a gap.
    name
        Name of the data set in results.

    Raises
    ------
    InputError
        If an array breaks a rule above, lengths differ, there are fewer than two classes, or more classes
        than examples.
    """
    train, test = train_and_test_arrays(
        images,
        labels,
        features=features,
        test_images=test_images,
        test_features=test_features,
        test_labels=test_labels,
        noisy_labels=noisy_labels,
        classes=classes,
    )
    return split_arrays(name, train) if test is None else DataSet(name, train, test)


def train_and_test_arrays(
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
    """Return the examples in their given order, and those of the test split, None without one.

    Parameters and errors are those of :func:`from_numpy`.
    """
    pixels = _pixels(images, features, "")
    if labels is None:
        raise InputError("there are no labels; there must be one per example. Pass labels.")
    raw_labels = [_check_labels(labels, len(pixels), "labels")]
    if noisy_labels is not None:
        raw_labels.append(_check_labels(noisy_labels, len(pixels), "noisy_labels"))
    test_inputs = test_images if test_features is None else test_features
    if (test_inputs is None) != (test_labels is None):
        inputs = "features" if images is None else "images"
        passed, missing = ("labels", inputs) if test_inputs is None else (inputs, "labels")
        raise InputError(
            f"test_{passed} came without test_{missing}; a test split needs both. Pass both, or "
            "neither: then a fifth is set aside for testing."
        )
    if test_inputs is None or test_labels is None:
        return _arrays(pixels, raw_labels, _class_names(raw_labels, classes)), None
    if (test_images is None) != (images is None):
        raise InputError(
            "one split holds images and the other features; both must be of one kind. Convert one of them."
        )
    test_pixels = _pixels(test_images, test_features, "test_")
    raw_test_labels = _check_labels(test_labels, len(test_pixels), "test_labels")
    names = _class_names([*raw_labels, raw_test_labels], classes)
    numbers = _class_numbers(raw_test_labels, names, "test_labels")
    test = Arrays(torch.from_numpy(test_pixels), numbers, names)
    return _arrays(pixels, raw_labels, names), test


def _pixels(images: ArrayLike | None, features: ArrayLike | None, prefix: str) -> NDArray[Any]:
    """Return the images or the features, of which one must be None, as (n, channels, height, width)."""
    if (images is None) == (features is None):
        passed = "neither" if images is None else "both"
        raise InputError(
            f"{passed} of {prefix}images and {prefix}features passed; pass one: images, or features, which "
            "are rows of a table."
        )
    if images is not None:
        return to_uint8(images, f"{prefix}images")
    assert features is not None
    return to_features(features, f"{prefix}features")


def _check_labels(labels: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """Return labels of shape (n,) as int64 or strings; `name` is that of the argument."""
    array = to_array(labels, name)
    if array.ndim != 1:
        raise InputError(
            f"{name} have shape {array.shape}; they must be (n,), one class per image. "
            f"One-hot rows become that with {name}.argmax(axis=1)."
        )
    if len(array) != n:
        examples = "test examples" if name == "test_labels" else "examples"
        raise InputError(
            f"there are {len(array):,} {name} for {n:,} {examples}; there must be one per example. "
            "Check that both come from the same rows."
        )
    if array.dtype.kind == "O":
        missing = [row for row, label in enumerate(array) if label is None or label != label]
        if missing:
            raise InputError(
                f"{len(missing):,} {name} are missing, the first is {name}[{missing[0]}]; each example needs "
                "one. Leave those examples out."
            )
        if all(isinstance(label, str) for label in array):
            array = array.astype(np.str_)  # a text column of pandas
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{name} are of type {array.dtype}; they must be integers or strings. Remove images "
            f"without a label, then pass {name}.astype('int64') or {name}.astype('str')."
        )
    is_whole = np.isfinite(array) & (array == np.rint(array))
    if not is_whole.all():
        row = int(np.argmin(is_whole))
        raise InputError(
            f"{name}[{row}] is {array[row]:g}; class numbers must be whole. Remove unlabelled examples, and "
            "pass integers or class names. To predict a quantity, cut it into bins first, with "
            "numpy.digitize."
        )
    return array.astype(np.int64)


def _class_names(raw_labels: list[NDArray[Any]], classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of all classes: `classes`, or those in all labels; the clean labels come first."""
    if len({labels.dtype.kind for labels in raw_labels}) > 1:
        raise InputError(
            "labels are strings in one array and numbers in another; all must be of one kind. "
            "Convert one of them."
        )
    if classes is not None:
        names = tuple(str(name) for name in classes)
        if len(set(names)) < len(names):
            raise InputError(f"classes are {', '.join(names)}; each name must occur once. Rename.")
    else:
        values = np.unique(np.concatenate(raw_labels))
        names = tuple(str(value) for value in values.tolist())
        if values.dtype.kind != "U" and not np.array_equal(values, np.arange(len(values))):
            raise InputError(
                f"labels run from {values[0]} to {values[-1]} with {len(values)} different values; "
                "class numbers must be 0, 1, 2 … without a gap. Renumber them with "
                "numpy.unique(labels, return_inverse=True)[1], or pass classes= with every name."
            )
    if len(names) < 2:
        raise InputError(
            f"there is {len(names)} class ({', '.join(names)}); learning needs at least 2. "
            "Add examples of another class."
        )
    n = len(raw_labels[0])
    if len(names) > n:
        raise InputError(
            f"there are {len(names):,} classes for {n:,} examples; there must not be more classes than "
            "examples. Check that labels and classes are not exchanged."
        )
    return names


def _class_numbers(raw_labels: NDArray[Any], names: tuple[str, ...], name: str) -> torch.Tensor:
    """Return class numbers, int64 of shape (n,), each below ``len(names)``."""
    if raw_labels.dtype.kind == "U":
        numbers = {class_name: number for number, class_name in enumerate(names)}
        for label in np.unique(raw_labels).tolist():
            if label not in numbers:
                raise unknown("class", label, names)
        return torch.tensor([numbers[label] for label in raw_labels.tolist()], dtype=torch.int64)
    if raw_labels.min() < 0 or raw_labels.max() >= len(names):
        raise InputError(
            f"{name} run from {raw_labels.min()} to {raw_labels.max()}; with {len(names)} classes they must "
            f"lie in 0 … {len(names) - 1}. Renumber them, or name every class in classes."
        )
    return torch.from_numpy(raw_labels)


def _arrays(pixels: NDArray[Any], raw_labels: list[NDArray[Any]], names: tuple[str, ...]) -> Arrays:
    """Return the examples with their clean labels and, if there are any, their observed labels."""
    labels, *observed = (
        _class_numbers(values, names, name)
        for values, name in zip(raw_labels, ("labels", "noisy_labels"), strict=False)
    )
    check_two_classes(labels, names)
    return Arrays(torch.from_numpy(pixels), labels, names, observed[0] if observed else None)
