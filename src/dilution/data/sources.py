"""Data of a user's own, by kind: how a name is recognised, and how what it names is read and identified."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from dilution.data.arrays import DataSet, Labelled
from dilution.data.download import Finding
from dilution.data.formats import callable, image_folder, npz
from dilution.data.pack import reader
from dilution.errors import DataError, InputError
from dilution.utils.references import is_reference


class Source(Protocol):
    """Where a data set comes from: what every kind of source can do."""

    def load(self) -> DataSet:
        """Return the data set: the same object as long as its content has not changed."""

    def labelled(self) -> Labelled:
        """Return its labelled examples, unsplit, in the order in which the user has them."""

    def fingerprint(self) -> str:
        """Return what identifies the content beyond the name, in hex; empty where the name does."""

    def check(self) -> list[Finding]:
        """Return one finding for each file."""

    def fetch(self) -> list[Finding]:
        """Download what is missing, if it can be; return what is there then."""


@dataclass(frozen=True)
class OwnPath(ABC):
    """A path of the user's own, and what follows the ``#`` behind it."""

    path: Path
    options: str

    what = ""
    """How messages call the kind."""

    takes_options = False
    """Whether something may follow the ``#``."""

    @abstractmethod
    def read(self) -> DataSet:
        """Read the data set."""

    @abstractmethod
    def labelled(self) -> Labelled:
        """As in :class:`Source`."""

    def load(self) -> DataSet:
        """As in :class:`Source`."""
        return _loaded(self, self.stamp())

    def fingerprint(self) -> str:
        """As in :class:`Source`: SHA-256 of the file."""
        try:
            stat = self.path.stat()
            return _sha256(self.path, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({error.strerror}); it must be {self.what}. "
                "Check its name and permissions."
            ) from error

    def stamp(self) -> str:
        """Return what changes with the content, so that what was read before is not used again."""
        return self.fingerprint()

    def check(self) -> list[Finding]:
        """As in :class:`Source`; no original is known that a file could differ from."""
        if not self.path.is_file():
            return [Finding(self.path, "missing", "", 0)]
        return [Finding(self.path, "present", self.fingerprint(), self.path.stat().st_size)]

    def fetch(self) -> list[Finding]:
        """As in :class:`Source`; nothing can be downloaded."""
        return self.check()


class NpzFile(OwnPath):
    """Arrays in a ``.npz`` file."""

    what = "a .npz file"

    def read(self) -> DataSet:
        """Read the data set."""
        return npz.load(self.path)

    def labelled(self) -> Labelled:
        """As in :class:`Source`."""
        return npz.labelled(self.path)


class PackFile(OwnPath):
    """A pack, whose images stay on disk."""

    what = "a pack"

    def read(self) -> DataSet:
        """Open the data set."""
        return reader.load(self.path)

    def labelled(self) -> Labelled:
        """As in :class:`Source`: the training half."""
        return Labelled(self.load().train)

    def fingerprint(self) -> str:
        """As in :class:`Source`: SHA-256 of the index, which covers every image."""
        return reader.identity(self.path)

    def stamp(self) -> str:
        """As in :class:`OwnPath`; images that were written anew are to be compared with their checksums."""
        identity, stat = self.fingerprint(), self.path.stat()
        return f"{identity} {stat.st_mtime_ns} {stat.st_size}"

    def check(self) -> list[Finding]:
        """As in :class:`Source`; the pack is read whole and compared with its checksums."""
        damaged = reader.altered(self.path) if self.path.is_file() else []
        if damaged:
            return [Finding(self.path, "altered", "", self.path.stat().st_size, damaged=tuple(damaged))]
        return super().check()


class TableFile(OwnPath):
    """A table in a CSV or Parquet file."""

    what = "a table"
    takes_options = True

    def read(self) -> DataSet:
        """Read the data set."""
        from dilution.data.formats import table  # pandas takes a while to import

        return table.load(self.path, self.options)

    def labelled(self) -> Labelled:
        """As in :class:`Source`."""
        from dilution.data.formats import table

        return table.labelled(self.path, self.options)


class ImageFolder(OwnPath):
    """A folder with a folder of images for each class."""

    what = "a folder"
    takes_options = True

    def read(self) -> DataSet:
        """Decode the data set."""
        return image_folder.load(self.path, self.options)

    def labelled(self) -> Labelled:
        """As in :class:`Source`: the images of both halves."""
        return image_folder.labelled(self.path, self.options)

    def stamp(self) -> str:
        """Return a digest of names, sizes and times, which costs less than one of the contents."""
        return image_folder.stamp(self.path)

    def fingerprint(self) -> str:
        """As in :class:`Source`: SHA-256 over names and contents of the images."""
        return image_folder.identity(self.path, self.stamp())

    def check(self) -> list[Finding]:
        """As in :class:`Source`, for the folder as a whole."""
        return [Finding(self.path, "present", self.fingerprint(), image_folder.size(self.path))]


@dataclass(frozen=True)
class OwnFunction:
    """A function of the user's own, ``module:function``. Loading runs its code."""

    name: str

    def load(self) -> DataSet:
        """As in :class:`Source`; the function is called once in a process."""
        return callable.load(self.name)

    def labelled(self) -> Labelled:
        """As in :class:`Source`."""
        return callable.labelled(self.name)

    def fingerprint(self) -> str:
        """As in :class:`Source`: SHA-256 over what the function returned."""
        return callable.identity(self.name)

    def check(self) -> list[Finding]:
        """As in :class:`Source`, for the file of the module."""
        file = callable.file_of(self.name)
        return [Finding(file, "present", self.fingerprint(), file.stat().st_size)]

    def fetch(self) -> list[Finding]:
        """As in :class:`Source`; nothing can be downloaded."""
        return self.check()


_BY_ENDING: dict[str, type[OwnPath]] = {
    ".npz": NpzFile,
    ".pack": PackFile,
    ".csv": TableFile,
    ".tsv": TableFile,
    ".parquet": TableFile,
}

KINDS = (
    f"a file that ends in {', '.join(list(_BY_ENDING)[:-1])} or {list(_BY_ENDING)[-1]}, a folder with a "
    "folder of images for each class, or a function of your own as module:function"
)
"""What may be named beside the data sets that have a name, in words."""


def own(name: str) -> Source | None:
    """Return the source of the user's own that a name names; None if it names none.

    Raises
    ------
    InputError
        If it is the path of a file of another kind, or something follows a ``#`` that has no meaning there.
    """
    if not name:  # as a path it would be the current folder
        return None
    path, options, there = _parts(name)
    kind = _BY_ENDING.get(path.suffix.lower()) or (ImageFolder if there and path.is_dir() else None)
    if kind is not None:
        if options and not kind.takes_options:
            raise InputError(
                f"{options!r} follows the # of {path.name}, which is {kind.what} and takes nothing there. "
                "Leave it out."
            )
        return kind(path.resolve(), options)
    if is_reference(name):
        return OwnFunction(name)
    if there:
        raise InputError(
            f"{path} ends in {path.suffix!r}; data must be {KINDS}. Write it as one of these, for instance "
            "with pandas or numpy.savez."
        )
    return None


def _parts(name: str) -> tuple[Path, str, bool]:
    """Return the path, what follows its ``#``, and whether the path exists.

    A path that exists as a whole has no ``#`` to split at.
    """
    for head, options in [(name, ""), *_splits(name)]:
        if _exists(path := _path(head)):
            return path, options, True
    for head, options in _splits(name):
        if Path(head).suffix.lower() in _BY_ENDING:
            return _path(head), options, False
    return _path(name), "", False


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # it begins with ~ and no user is called so
        return Path(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a path, or a folder on the way is closed
        return False


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield what stands before and behind each ``#``, the last first."""
    for place in range(len(name) - 1, 0, -1):
        if name[place] == "#":
            yield name[:place], name[place + 1 :]


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, size: int) -> str:  # noqa: ARG001  (part of the cache's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _loaded(source: OwnPath, stamp: str) -> DataSet:  # noqa: ARG001  (part of the cache's key)
    return source.read()
