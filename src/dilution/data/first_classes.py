"""The first K classes of a data set, by name: ``"mnist#classes=5"`` has the digits 0 to 4."""

import hashlib
import re
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.download import FileStatus
from dilution.data.sources import DataSource, path_exists
from dilution.errors import InputError, short_repr

_OPTION = re.compile(r"(?P<name>.+)(?P<sign>[#,])classes=(?P<count>\d+)", re.DOTALL)
_FEWEST = 2


def split_classes(name: str) -> tuple[str, int | None]:
    """Return a name without its last option ``classes=K``, and K; None without such an option.

    The option follows a ``#``, or a comma behind other options. The path of a file that ends so is a path.

    Parameters
    ----------
    name
        Name of a data set, or of the user's own data.
    """
    match = _OPTION.fullmatch(name)
    if match is None or (match["sign"] == "," and "#" not in match["name"]) or path_exists(name):
        return name, None
    return match["name"], int(match["count"])


def name_with_classes(name: str, count: int) -> str:
    """Return the name of the first classes of a data set.

    Parameters
    ----------
    name
        Name of the data set.
    count
        Number of classes.
    """
    return f"{name}{',' if '#' in name else '#'}classes={count}"


def name_with_option(name: str, option: str) -> str:
    """Return a name with another option, in front of a number of classes, which is the last one.

    Parameters
    ----------
    name
        Name of the data set.
    option
        The option with the sign in front of it, ``#`` or a comma.
    """
    whole, count = split_classes(name)
    return f"{whole}{option}" if count is None else name_with_classes(f"{whole}{option}", count)


@dataclass(frozen=True)
class FirstClasses:
    """The examples of the first classes of a data set. Methods are those of :class:`DataSource`.

    Parameters
    ----------
    source
        The whole data set.
    name
        Its name, for messages.
    count
        Number of classes, the first in the order of their numbers.
    """

    source: DataSource
    name: str
    count: int

    def load(self) -> DataSet:
        """Return the data set of these classes, the same object while its content does not change.

        Raises
        ------
        InputError
            If there are not so many classes, or fewer than 2 are asked for.
        """
        return _load(self, self.source.fingerprint())

    def load_unsplit(self) -> UnsplitData:
        """Return the examples of these classes in the user's order."""
        whole = self.source.load_unsplit()
        rows = self._rows(whole.arrays)
        kept = rows.numpy()
        return UnsplitData(
            self._of(whole.arrays, rows),
            None if whole.names is None else tuple(whole.names[row] for row in kept),
            (*whole.notes, *self._notes({"": (whole.arrays, rows)})),
            whole.positions[kept],
            None if whole.places is None else tuple(whole.places[row] for row in kept),
            None if whole.weights is None else np.asarray(whole.weights[kept]),
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of the number of classes and of the fingerprint of the whole data set."""
        return hashlib.sha256(f"{self.count} classes of {self.source.fingerprint()}".encode()).hexdigest()

    def check(self) -> list[FileStatus]:
        """Return the state of each file of the whole data set."""
        return self.source.check()

    def fetch(self) -> list[FileStatus]:
        """Download missing files of the whole data set, and return the state of each file."""
        return self.source.fetch()

    def select(self, whole: DataSet) -> DataSet:
        """Return the examples of these classes in both splits of the whole data set."""
        splits = {"training ": whole.train, "test ": whole.test}
        rows = {kind: (split, self._rows(split)) for kind, split in splits.items()}
        train, test = (self._of(*part) for part in rows.values())
        return replace(
            whole,
            name=name_with_classes(whole.name, self.count),
            train=train,
            test=test,
            notes=(*whole.notes, *self._notes(rows)),
        )

    def _rows(self, arrays: Arrays) -> Tensor:
        """Return the positions of the examples of these classes, in their order."""
        available = len(arrays.classes)
        if not _FEWEST <= self.count <= available:
            every = name_with_classes(self.name, available)
            raise InputError(
                f"{short_repr(self.name)} has {available:,} classes, and classes is {self.count:,}; it must "
                f"be from {_FEWEST} to {available:,}. Name '{every}' for all of them."
            )
        is_kept = arrays.labels < self.count
        if arrays.observed is not None:  # an observed label of another class has no number any more
            is_kept &= arrays.observed < self.count
        return torch.nonzero(is_kept).flatten()

    def _of(self, arrays: Arrays, rows: Tensor) -> Arrays:
        """Return some of the examples; they have the first classes alone."""
        return replace(arrays.subset(rows), classes=arrays.classes[: self.count])

    def _notes(self, splits: dict[str, tuple[Arrays, Tensor]]) -> tuple[str, ...]:
        """Return what was left out as a sentence; none with all classes."""
        arrays = next(iter(splits.values()))[0]
        if self.count == len(arrays.classes):
            return ()
        counts = " and ".join(
            f"{len(rows):,} of {len(whole):,} {kind}examples" for kind, (whole, rows) in splits.items()
        )
        first, last = (short_repr(arrays.classes[place]) for place in (0, self.count - 1))
        return (
            f"{self.count:,} of {len(arrays.classes):,} classes are used, from {first} to {last}, with "
            f"{counts}; all others are left out",
        )


@lru_cache(maxsize=4)  # a study may compare several numbers of classes
def _load(chosen: FirstClasses, fingerprint: str) -> DataSet:  # noqa: ARG001  (part of the cache's key)
    return chosen.select(chosen.source.load())
