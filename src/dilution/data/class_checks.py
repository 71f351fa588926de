"""Checks of the number of classes and of examples per class."""

import torch
from torch import Tensor

from dilution.errors import InputError


def check_two_classes(labels: Tensor, classes: tuple[str, ...]) -> None:
    """Raise InputError if all examples are of one class.

    Parameters
    ----------
    labels
        Class numbers, int64, shape (n,).
    classes
        Names of the classes.
    """
    first = int(labels[0])
    if (labels == first).all():
        raise InputError(
            f"all {len(labels):,} labels are {classes[first]!r}; learning needs at least 2 classes that have "
            "examples. Add examples of another class."
        )


def check_test_classes(train: Tensor, test: Tensor, classes: tuple[str, ...]) -> None:
    """Raise InputError if the test split has a class of which the train split has no example.

    Parameters
    ----------
    train, test
        Class numbers of both splits, int64.
    classes
        Names of the classes.
    """
    in_train, in_test = (torch.bincount(labels, minlength=len(classes)) for labels in (train, test))
    untrained = ((in_test > 0) & (in_train == 0)).nonzero()
    if len(untrained):
        others = f", and {len(untrained) - 1:,} more such classes" if len(untrained) > 1 else ""
        raise InputError(
            f"the test split has class {classes[int(untrained[0])]!r}, of which the train split has no "
            f"example{others}; no model can learn it. Add examples of it, or leave it out of the test split."
        )


def check_classes(labels: Tensor, classes: tuple[str, ...]) -> None:
    """Raise InputError unless there are two classes, two examples in each, and no more classes than examples.

    Parameters are those of ``check_two_classes``. A class without examples is allowed.
    """
    check_two_classes(labels, classes)
    single = (torch.bincount(labels, minlength=len(classes)) == 1).nonzero()
    if len(single):
        raise InputError(
            f"class {classes[int(single[0])]!r} has 1 example; predicting it by models that did not train on "
            "it takes at least 2. Add examples, merge it with another class, or leave it out."
        )
    if len(classes) > len(labels):
        raise InputError(
            f"there are {len(classes):,} classes for {len(labels):,} examples; there must be more examples. "
            "Check the column of labels."
        )


def majority_share(labels: Tensor) -> float:
    """Return the share of the largest class: the accuracy of always predicting it."""
    return float(labels.bincount().max()) / len(labels)
