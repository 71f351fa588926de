"""Data sets from a user's arrays: images or features, labels by number or name, and all checks of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_test_classes, check_two_classes
from dilution.data.conversion import to_features, to_uint8
from dilution.data.duplicates import with_groups
from dilution.data.groups import check_groups, read_groups
from dilution.data.label_notes import describe_missing
from dilution.data.labels import LabelColumn, number_classes, read_labels
from dilution.data.splits import split_with_copies, with_own_test_split
from dilution.errors import InputError

ARGUMENTS = (
    "images", "labels", "features", "test_images", "test_features", "test_labels", "noisy_labels", "classes",
    "groups",
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
    groups: ArrayLike | None = None,
    name: str = "arrays",
) -> DataSet:
    """Return a data set from arrays.

    Parameters
    ----------
    images
        Shape (n, height, width) or (n, channels, height, width); uint8, or floats in [0, 1], which are
        rounded to 256 levels, with a note if they lie between these.
    labels
        Shape (n,) or (n, 1): text, whole numbers or truth values, under the rule of
        :mod:`dilution.data.labels`. Examples whose label is None, NaN, NA, masked or an empty text are
        dropped, and a note says how many.
    features
        In place of images: rows of a table, shape (n, features), any finite numbers. They are kept as
        float32; a row is an image of one pixel with one channel per feature.
    test_images, test_features, test_labels
        The same for the test split, of whose classes the train split must have examples. Default: a fixed
        fifth of each class is set aside for testing, :func:`dilution.data.splits.stratified_split`.
    noisy_labels
        Observed labels, some of which may be wrong, where `labels` are the true ones; shape (n,), of the same
        kind. A name that only they contain is a class too.
    classes
        Names of the classes, in the order of their numbers, which labels may be. A name without examples is
        left out with a note. Default: the different labels, sorted.
    groups
        Name of the group of each example, such as a patient, shape (n,): examples of one group share a side
        of every split. Copies do in any case.
    name
        Name of the data set in results.

    Raises
    ------
    InputError
        If an array breaks a rule above, lengths differ, there are fewer than two classes, or more classes
        than examples.
    """
    return check_arrays(
        images,
        labels,
        features=features,
        test_images=test_images,
        test_features=test_features,
        test_labels=test_labels,
        noisy_labels=noisy_labels,
        classes=classes,
        groups=groups,
    ).to_data_set(name)


@dataclass(frozen=True)
class CheckedArrays:
    """Examples in the order of a user's arrays.

    Parameters
    ----------
    train
        The examples, without those that lack a label.
    test
        Those of the test split; None without one.
    names
        Number of each training example in the user's arrays; None if none was dropped.
    notes
        As of :class:`DataSet`.
    n_dropped
        Number of training examples that were dropped.
    """

    train: Arrays
    test: Arrays | None = None
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    n_dropped: int = 0

    @property
    def n_given(self) -> int:
        """Number of training examples in the user's arrays, those that lack a label included."""
        return len(self.train) + self.n_dropped

    def to_data_set(self, name: str) -> DataSet:
        """Return the data set; without a test split a fixed fifth of each class becomes one."""
        if self.test is None:
            return split_with_copies(name, self.train, self.notes, self._name)
        return with_own_test_split(name, self.train, self.test, self.notes, self._name)

    def _name(self, row: int) -> str:
        return f"example {row if self.names is None else self.names[row]}"

    def to_unsplit_data(self) -> UnsplitData:
        """Return the examples without those of the test split."""
        rows = None if self.names is None else np.array(self.names, dtype=np.int64)
        return UnsplitData.without_test_split(self.train, self.test, self.notes, self.names, rows)


def check_arrays(
    images: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    *,
    features: ArrayLike | None = None,
    test_images: ArrayLike | None = None,
    test_features: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    noisy_labels: ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    groups: ArrayLike | None = None,
) -> CheckedArrays:
    """Return the examples in their given order.

    Parameters and errors are those of :func:`from_numpy`.
    """
    inputs = features if images is None else images
    for other, name in ((labels, "labels"), (noisy_labels, "noisy_labels"), (groups, "groups")):
        check_same_index(inputs, other, name)
    check_same_index(test_features if test_images is None else test_images, test_labels, "test_labels")
    pixels, notes = _pixels(images, features, "")
    if labels is None:
        raise InputError("there are no labels; there must be one per example. Pass labels.")
    columns = [_read(labels, len(pixels), "labels")]
    if noisy_labels is not None:
        columns.append(_read(noisy_labels, len(pixels), "noisy_labels"))
    test_inputs = test_images if test_features is None else test_features
    if (test_inputs is None) != (test_labels is None):
        inputs = "features" if images is None else "images"
        passed, missing = ("labels", inputs) if test_inputs is None else (inputs, "labels")
        raise InputError(
            f"test_{passed} came without test_{missing}; a test split needs both. Pass both, or "
            "neither: then a fifth is set aside for testing."
        )
    if test_inputs is None or test_labels is None:
        examples = label_examples(torch.from_numpy(pixels), columns, classes=classes)
        if features is not None:
            notes += _describe_label_copies(examples, features)
        return _with_groups(_with_notes(examples, notes), groups, len(pixels))
    if (test_images is None) != (images is None):
        raise InputError(
            "one split holds images and the other features; both must be of one kind. Convert one of them."
        )
    test_pixels, test_notes = _pixels(test_images, test_features, "test_")
    test_column = _read(test_labels, len(test_pixels), "test_labels")
    examples = label_examples(
        torch.from_numpy(pixels), columns, torch.from_numpy(test_pixels), test_column, classes=classes
    )
    notes += test_notes
    if features is not None:
        notes += _describe_label_copies(examples, features)
    return _with_groups(_with_notes(examples, notes), groups, len(pixels))


def _describe_label_copies(examples: CheckedArrays, features: ArrayLike) -> tuple[str, ...]:
    """Return notes on features that are the label in other words."""
    import pandas as pd  # lazily: it takes a while to import

    from dilution.data.label_copies import find_label_copies

    train, columns = examples.train, getattr(features, "columns", None)
    assert isinstance(train.images, Tensor)
    frame = pd.DataFrame(train.images.flatten(1).numpy(), columns=columns)

    def remedy(names: tuple[str, ...]) -> str:
        if columns is not None:
            return f"features.drop(columns={list(names)})"
        return f"numpy.delete(features, [{', '.join(names)}], axis=1)"

    notes = [
        note
        for labels in (train.labels, train.observed)
        if labels is not None
        for note in find_label_copies(frame, labels.numpy()).notes(remedy)
    ]
    return tuple(dict.fromkeys(notes))


def _with_notes(examples: CheckedArrays, notes: tuple[str, ...]) -> CheckedArrays:
    """Return examples with notes on their pixels before the others."""
    return replace(examples, notes=(*notes, *examples.notes)) if notes else examples


def _with_groups(examples: CheckedArrays, groups: ArrayLike | None, n: int) -> CheckedArrays:
    """Return examples with the groups of the n examples in the user's arrays, of which some were dropped."""
    if groups is None:
        return examples
    values = check_groups(groups, n, "groups")
    kept = np.arange(n) if examples.names is None else np.array(examples.names, dtype=np.int64)
    numbers, notes = read_groups(values[kept], "groups")
    return replace(examples, train=with_groups(examples.train, numbers), notes=(*examples.notes, *notes))


def label_examples(
    images: Tensor,
    columns: Sequence[LabelColumn],
    test_images: Tensor | None = None,
    test_column: LabelColumn | None = None,
    *,
    classes: Sequence[str] | None = None,
) -> CheckedArrays:
    """Return images with the numbers of their classes, without those that lack a label.

    Parameters
    ----------
    images
        As of :class:`Arrays`.
    columns
        Their labels, and observed labels if there are any.
    test_images, test_column
        The same for a test split.
    classes
        As for :func:`from_numpy`.

    Raises
    ------
    InputError
        If no example has a label, or the classes break a rule of :func:`from_numpy`.
    """
    n_given = len(images)
    images, columns, rows, notes = _drop_unlabelled(images, columns, "example")
    if test_images is not None and test_column is not None:
        test_images, (test_column,), _, test_notes = _drop_unlabelled(
            test_images, (test_column,), "test example"
        )
        notes += test_notes
    result = number_classes([*columns, *([] if test_column is None else [test_column])], classes)
    _check_count(result.names, len(images))
    labels, *others = map(torch.from_numpy, result.numbers)
    check_two_classes(labels, result.names)
    observed = others[0] if len(columns) > 1 else None
    splits = [Arrays(images, labels, result.names, observed)]
    if test_images is not None:
        splits.append(Arrays(test_images, others[-1], result.names))
        check_test_classes(labels, others[-1], result.names)
    splits, unused = (splits, ()) if classes is None else leave_out_unused(splits)
    names = None if rows is None else tuple(map(str, rows.tolist()))
    test = splits[1] if len(splits) > 1 else None
    return CheckedArrays(splits[0], test, names, (*notes, *result.notes, *unused), n_given - len(splits[0]))


def leave_out_unused(splits: Sequence[Arrays]) -> tuple[list[Arrays], tuple[str, ...]]:
    """Return splits without the classes that no label names, and a note on these."""
    names = splits[0].classes
    labels = [labels for split in splits for labels in (split.labels, split.observed) if labels is not None]
    present = torch.bincount(torch.cat(labels), minlength=len(names)) > 0
    if present.all():
        return list(splits), ()
    number_of = present.cumsum(0) - 1
    used = tuple(name for name, is_used in zip(names, present.tolist(), strict=True) if is_used)
    unused = [name for name, is_used in zip(names, present.tolist(), strict=True) if not is_used]
    smaller = [
        replace(
            split,
            labels=number_of[split.labels],
            classes=used,
            observed=None if split.observed is None else number_of[split.observed],
        )
        for split in splits
    ]
    subject = "class has no example and is" if len(unused) == 1 else "classes have no examples and are"
    return smaller, (f"{len(unused):,} {subject} left out, the first is {unused[0]!r}",)


def check_same_index(inputs: Any, labels: Any, name: str) -> None:
    """Refuse a DataFrame and a Series whose rows have other names: NumPy would pair them by position."""
    first, second = (getattr(value, "index", None) for value in (inputs, labels))
    if first is None or second is None or not hasattr(first, "equals") or not hasattr(second, "equals"):
        return
    if not first.equals(second):
        features = "test_features" if name.startswith("test_") else "features"
        raise InputError(
            f"{features} and {name} are of pandas and have different indexes, and rows are paired by "
            f"position. Pass {name}.loc[{features}.index], or both with .reset_index(drop=True) if their "
            "positions agree."
        )


def _pixels(
    images: ArrayLike | None, features: ArrayLike | None, prefix: str
) -> tuple[NDArray[Any], tuple[str, ...]]:
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
    return to_features(features, f"{prefix}features"), ()


def _read(labels: ArrayLike, n: int, name: str) -> LabelColumn:
    """Return the labels of n examples; `name` is that of the argument."""
    column = read_labels(labels, name, lambda row: f"{name}[{row}]")
    if len(column.codes) != n:
        examples = "test examples" if name == "test_labels" else "examples"
        raise InputError(
            f"there are {len(column.codes):,} {name} for {n:,} {examples}; there must be one per example. "
            "Check that both come from the same rows."
        )
    return column


def _drop_unlabelled(
    images: Tensor, columns: Sequence[LabelColumn], noun: str
) -> tuple[Tensor, Sequence[LabelColumn], NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the examples that have all their labels, their rows, None if these are all, and a note."""
    missing = np.logical_or.reduce([column.is_missing for column in columns])
    if not missing.any():
        return images, columns, None, ()
    subjects = " and ".join(column.subject for column in columns)
    if missing.all():
        raise InputError(f"no {noun} has a label in {subjects}; each example needs one. Fill them.")

    def name(row: int) -> str:
        return next(column for column in columns if column.is_missing[row]).label_name(row)

    rows = np.flatnonzero(~missing)
    notes = describe_missing(missing, noun, name)
    return images[torch.from_numpy(rows)], [column.take(~missing) for column in columns], rows, notes


def _check_count(names: tuple[str, ...], n: int) -> None:
    """Raise InputError if there are too few or too many classes for n examples."""
    if len(names) < 2:
        raise InputError(
            f"there is {len(names)} class ({', '.join(names)}); learning needs at least 2. "
            "Add examples of another class."
        )
    if len(names) > n:
        raise InputError(
            f"there are {len(names):,} classes for {n:,} examples; there must not be more classes than "
            "examples. Check that labels and classes are not exchanged."
        )
