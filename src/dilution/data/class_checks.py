"""What labels must be before anything can be learned from them."""

import torch
from torch import Tensor

from dilution.errors import InputError


def check_classes(labels: Tensor, classes: tuple[str, ...]) -> None:
    """Refuse labels of one class only, a class with a single example, and more classes than examples.

    Parameters
    ----------
    labels
        Class numbers, int64, shape (n,).
    classes
        Names of the classes.

    Raises
    ------
    InputError
        If nothing could be learned and predicted from them.
    """
    counts = torch.bincount(labels, minlength=len(classes))
    if int((counts > 0).sum()) < 2:
        raise InputError(
            f"all {len(labels):,} labels are {classes[int(counts.argmax())]!r}; noise can be told only where "
            "there are at least two classes. Check the column of labels."
        )
    alone = (counts == 1).nonzero()
    if len(alone):
        raise InputError(
            f"class {classes[int(alone[0])]!r} has 1 example; predicting it by networks that did not see it "
            "takes at least 2. Add examples, merge it with another class, or leave it out."
        )
    if len(classes) > len(labels):
        raise InputError(
            f"there are {len(classes):,} classes for {len(labels):,} examples; there must be more examples. "
            "Check the column of labels."
        )


def majority(labels: Tensor) -> float:
    """Return the share of the commonest class: the accuracy of naming it always."""
    return float(labels.bincount().max()) / len(labels)
