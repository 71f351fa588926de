"""Split of photographs of which several squares are packed: those of one share a side of every split."""

from collections.abc import Callable, Sequence

import torch

from dilution.data.arrays import Arrays, DataSet, LazyImages
from dilution.data.class_checks import describe_untested
from dilution.data.duplicates import group_copies
from dilution.data.splits import split_rows
from dilution.utils.printable import printable


def group_squares(images: LazyImages, labels: torch.Tensor, classes: tuple[str, ...], squares: int) -> Arrays:
    """Return squares with their labels, those of one photograph as a group.

    Parameters
    ----------
    images, labels, classes
        As :class:`Arrays` takes them; squares of one photograph follow each other.
    squares
        Number of squares per photograph. One: the images are no groups yet.
    """
    groups = None if squares == 1 else torch.arange(len(labels)) // squares
    return Arrays(images, labels, classes, groups=groups)


def square_namer(names: Sequence[str], squares: int) -> Callable[[int], str]:
    """Return the function that names a square by its number, given the names of the photographs."""

    def name(row: int) -> str:
        photograph = printable(names[row // squares])
        return photograph if squares == 1 else f"square {row % squares + 1} of {photograph}"

    return name


def split_photographs(
    name: str, arrays: Arrays, names: Sequence[str], notes: tuple[str, ...] = ()
) -> DataSet:
    """Return a data set whose test split is a fifth of the photographs of each class.

    Copies share a split, as :func:`dilution.data.splits.split_with_copies` has them, and notes speak of them.

    Parameters
    ----------
    name
        Name of the data set.
    arrays
        Squares as :func:`group_squares` returns them.
    names
        Name of each photograph.
    notes
        Notes on the photographs.

    Raises
    ------
    InputError
        As :func:`dilution.data.splits.split_arrays`.
    """
    squares = len(arrays) // len(names)
    grouped, more = group_copies(arrays, square_namer(names, squares))
    first = torch.arange(0, len(arrays), squares)
    train, test = (
        (first[rows, None] + torch.arange(squares)).flatten() for rows in split_rows(grouped.subset(first))
    )
    test_split = grouped.subset(test)
    untested = describe_untested(test_split.labels, test_split.classes)
    return DataSet(name, grouped.subset(train), test_split, (*notes, *untested, *more))
