"""New examples for a fitted model: images in batches, with ids, and labels if there are any."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.labels import LabelColumn, find_class
from dilution.errors import InputError

BATCH = 1000
"""Examples that are converted and predicted together at most."""


class Batch(NamedTuple):
    """Examples that are predicted together.

    Parameters
    ----------
    images
        As the model takes them: shape (b, channels, height, width).
    positions
        Position of each in what the user gave, from 0: int64, shape (b,).
    """

    images: Tensor
    positions: NDArray[np.int64]


class NewExamples(Protocol):
    """New examples in the order of the user."""

    @property
    def n_given(self) -> int:
        """Number of examples that the user gave, those that cannot be read included."""

    @property
    def ids(self) -> tuple[str, ...] | None:
        """Id of each of these, None if there are none: the id is then the position."""

    @property
    def given(self) -> "GivenLabels | None":
        """Their labels, if the user gave some."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was converted, ignored or skipped; complete once all batches were taken."""

    def batches(self) -> Iterator[Batch]:
        """Yield the examples that can be read."""


@dataclass(frozen=True)
class GivenLabels:
    """Labels that new examples have.

    Parameters
    ----------
    numbers
        Class number of each label, int64 of shape (n_given,); −1: it is missing, or no class of the model.
    source
        Where they are, for sentences: ``"column 'label'"``.
    notes
        A note on labels that are no classes of the model.
    """

    numbers: NDArray[np.int64]
    source: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of_column(cls, column: LabelColumn, classes: tuple[str, ...], source: str) -> "GivenLabels":
        """Return the labels of a column as classes of a model."""
        known = [find_class(name, classes) for name in column.names]
        number_of = np.array([-1 if number is None else number for number in [*known, None]], dtype=np.int64)
        numbers = number_of[column.codes]  # code −1 is the last one
        unknown = (numbers < 0) & ~column.is_missing
        notes: tuple[str, ...] = ()
        if count := int(unknown.sum()):
            row = int(np.argmax(unknown))
            subject = "1 label is" if count == 1 else f"{count:,} labels are"
            first = column.names[column.codes[row]]
            notes = (
                f"{subject} no class of the model and not compared, the first is {first!r}, "
                f"{column.label_name(row)}",
            )
        return cls(numbers, source, notes)


@dataclass(frozen=True)
class HeldExamples:
    """Examples in memory; other attributes are those of :class:`NewExamples`.

    Parameters
    ----------
    images
        As the model takes them: a tensor of shape (n, channels, height, width), or Arrays, which may be lazy.
    """

    images: Tensor | Arrays
    ids: tuple[str, ...] | None = None
    given: GivenLabels | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_given(self) -> int:
        """Number of examples."""
        return len(self.images)

    def batches(self) -> Iterator[Batch]:
        """Yield all examples."""
        for rows in torch.arange(self.n_given).split(BATCH) if self.n_given else ():
            images = self.images[rows] if isinstance(self.images, Tensor) else self.images.take(rows)
            yield Batch(images, rows.numpy())


def given_ids(ids: Any, n: int) -> tuple[str, ...] | None:
    """Return ids that a user gave, one per example; None: there are none."""
    if ids is None:
        return None
    values = list(ids)
    if len(values) != n:
        raise InputError(f"there are {len(values):,} ids for {n:,} examples; there must be one per example.")
    from dilution.data.example_ids import read_ids  # lazily: pandas takes a while to import

    return read_ids(values, "ids", lambda row: f"example {row}")
