"""Checks of the number of classes and of examples per class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dilution.errors import InputError, short_repr


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
            f"all {len(labels):,} labels are {short_repr(classes[first])}; learning needs at least 2 classes "
            "that have examples. Add examples of another class."
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
            f"the test split has class {short_repr(classes[int(untrained[0])])}, of which the train split "
            f"has no example{others}; no model can learn it. Add examples of it, or leave it out of the test "
            "split."
        )


def describe_untested(test: Tensor, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note on the classes that have no test example; none if each has one.

    Parameters
    ----------
    test
        Class numbers of the test split, int64.
    classes
        Names of the classes.
    """
    untested = (torch.bincount(test, minlength=len(classes)) == 0).nonzero()
    if not len(untested):
        return ()
    count, first = len(untested), classes[int(untested[0])]
    classes_without = (
        f"class {short_repr(first)}"
        if count == 1
        else f"{count:,} of the {len(classes):,} classes, the first is {short_repr(first)}"
    )
    pronoun = "it" if count == 1 else "them"
    return (f"the test split has no example of {classes_without}: test accuracy does not measure {pronoun}",)


def check_classes(labels: Tensor, classes: tuple[str, ...], names: Sequence[str] | None = None) -> None:
    """Raise InputError unless there are two classes, two examples in each, and no more classes than examples.

    A class without examples is allowed.

    Parameters
    ----------
    labels, classes
        As of ``check_two_classes``.
    names
        Names of the examples for the message, such as ``"row 17"``; None: they have none.
    """
    check_two_classes(labels, classes)
    single = (torch.bincount(labels, minlength=len(classes)) == 1).nonzero()
    if len(single):
        place = "" if names is None else f" ({names[int((labels == single[0]).nonzero()[0])]})"
        n_others = len(single) - 1
        verb = "class has" if n_others == 1 else "classes have"
        others = f", and {n_others:,} more {verb} one" if n_others else ""
        raise InputError(
            f"class {short_repr(classes[int(single[0])])} has 1 example{place}{others}; predicting it by "
            "models that did not train on it takes at least 2. Add examples, merge it with another class, or "
            "leave it out."
        )
    if len(classes) > len(labels):
        raise InputError(
            f"there are {len(classes):,} classes for {len(labels):,} examples; there must be more examples. "
            "Check the column of labels."
        )


def majority_share(labels: Tensor) -> float:
    """Return the share of the largest class: the accuracy of always predicting it."""
    return float(labels.bincount().max()) / len(labels)
