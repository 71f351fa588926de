"""What every built-in data set can do: describe itself, load, download and verify its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dilution.data.arrays import DataSet
from dilution.data.download import FileStatus


@dataclass(frozen=True)
class Description:
    """Description of a data set, known without loading it.

    Parameters
    ----------
    name, about
        Name and one-line description.
    classes
        Number of classes.
    shape
        (channels, height, width) of an image.
    train, test
        Number of images in each split.
    files
        Names of the files that it is read from; none if it comes with an installed package.
    """

    name: str
    about: str
    classes: int
    shape: tuple[int, int, int]
    train: int
    test: int
    files: tuple[str, ...] = ()


class BuiltinDataSet(Protocol):
    """A data set with a name of its own; `root` is the folder of downloaded data."""

    @property
    def description(self) -> Description:
        """Description of the data set."""

    def load(self, root: Path) -> DataSet:
        """Return the data set, downloading its files if they are missing."""

    def fetch(self, root: Path) -> list[FileStatus]:
        """Download files that are missing or altered, and return the state of each file."""

    def check(self, root: Path) -> list[FileStatus]:
        """Return the state of each file; nothing is written or downloaded."""

    def is_present(self, root: Path) -> bool:
        """Return whether all files exist, without verifying them."""

    def paths(self, root: Path) -> list[Path]:
        """Return the files that exist and are read."""

    def identity(self, root: Path, load: Callable[[], DataSet]) -> str:
        """Return a digest that tells the data in `root` from other data of this name; empty for originals.

        `load` returns the data set, and is called only if its content is needed.
        """


@dataclass(frozen=True)
class BundledDataSet:
    """A :class:`BuiltinDataSet` that is read from an installed package, without files of its own.

    Parameters
    ----------
    description
        Description of the data set.
    read
        Function that returns the data set.
    """

    description: Description
    read: Callable[[], DataSet]

    def load(self, root: Path) -> DataSet:  # noqa: ARG002
        """Return the data set."""
        return self.read()

    def fetch(self, root: Path) -> list[FileStatus]:
        """Return an empty list."""
        return self.check(root)

    def check(self, root: Path) -> list[FileStatus]:  # noqa: ARG002
        """Return an empty list."""
        return []

    def is_present(self, root: Path) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def paths(self, root: Path) -> list[Path]:  # noqa: ARG002
        """Return an empty list."""
        return []

    def identity(self, root: Path, load: Callable[[], DataSet]) -> str:  # noqa: ARG002
        """Return an empty string: the name identifies the content."""
        return ""
