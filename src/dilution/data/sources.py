"""Data of a user by kind of file: which reader a name belongs to, and how the content is identified."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.download import FileStatus
from dilution.data.formats import callable, image_folder, npz
from dilution.data.formats.table_options import unquote
from dilution.data.pack import reader
from dilution.errors import DataError, InputError
from dilution.utils.references import is_reference
from dilution.utils.regular_file import check_regular, expand_home, path_stamp


class DataSource(Protocol):
    """The origin of a data set, built in or the user's own."""

    def load(self) -> DataSet:
        """Return the data set, the same object while its content does not change."""

    def load_unsplit(self) -> UnsplitData:
        """Return its labelled examples in the user's order, from which no test split was taken."""

    def fingerprint(self) -> str:
        """Return what identifies the content beyond the name, in hex; empty where the name does."""

    def check(self) -> list[FileStatus]:
        """Return the state of each file."""

    def fetch(self) -> list[FileStatus]:
        """Download missing files where that is possible, and return the state of each file."""


@dataclass(frozen=True)
class PathSource(ABC):
    """A path of the user, and the options behind its ``#``. Methods are those of :class:`DataSource`."""

    path: Path
    options: str

    kind: ClassVar[str]
    """Kind of file, for messages."""

    takes_options: ClassVar[bool] = False
    """Whether options may follow a ``#``."""

    @abstractmethod
    def read(self) -> DataSet:
        """Read the data set; :meth:`load` reads it once."""

    @abstractmethod
    def load_unsplit(self) -> UnsplitData:
        """Return all examples in their order."""

    def load(self) -> DataSet:
        """Return the data set; it is read again if its :meth:`stamp` has changed."""
        return _load_cached(self, self.stamp())

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file."""
        try:
            return _sha256(self.path, path_stamp(self.path))
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({error.strerror}); it must be {self.kind}. "
                "Check its name and permissions."
            ) from error

    def stamp(self) -> str:
        """Return a text that changes with the content."""
        return self.fingerprint()

    def check(self) -> list[FileStatus]:
        """Return whether the file is present, and the notes on its content, which is read for that.

        There is no original from which it could differ.
        """
        if not self.path.is_file():
            return [FileStatus(self.path, "missing", "", 0)]
        size, notes = self.path.stat().st_size, self.load().notes
        return [FileStatus(self.path, "present", self.fingerprint(), size, notes=notes)]

    def fetch(self) -> list[FileStatus]:
        """Return the same as :meth:`check`: there is nothing to download."""
        return self.check()


class NpzSource(PathSource):
    """Arrays in a ``.npz`` file."""

    kind = "a .npz file"

    def read(self) -> DataSet:
        """Read the data set."""
        return npz.load(self.path)

    def load_unsplit(self) -> UnsplitData:
        """Return the examples of the file without those of its own test split."""
        return npz.load_unsplit(self.path)


class PackSource(PathSource):
    """A pack, whose images stay on disk."""

    kind = "a pack"

    def read(self) -> DataSet:
        """Open the data set."""
        return reader.load(self.path)

    def load_unsplit(self) -> UnsplitData:
        """Return the train split."""
        data = self.load()
        return UnsplitData.without_test_split(data.train, data.test, data.notes)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the index, which contains a checksum of every image."""
        return reader.identity(self.path)

    def stamp(self) -> str:
        """Return a text that also changes when images are overwritten, so that they are verified again."""
        return f"{self.fingerprint()} {path_stamp(self.path)}"

    def check(self) -> list[FileStatus]:
        """Read the whole pack and compare it with its checksums."""
        damaged = reader.find_damage(self.path) if self.path.is_file() else []
        if damaged:
            return [FileStatus(self.path, "altered", "", self.path.stat().st_size, damaged=tuple(damaged))]
        return super().check()


class TableSource(PathSource):
    """A table in a CSV or Parquet file, or a CSV file that lists images.

    Its options are those of :func:`dilution.data.formats.table.load`.
    """

    kind = "a table"
    takes_options = True

    def read(self) -> DataSet:
        """Read the data set."""
        from dilution.data.formats import image_list, table  # lazily: pandas takes a while to import

        column = image_list.find_path_column(self.path, self.options)
        if column is not None:
            return image_list.load(self.path, self.options, column)
        return table.load(self.path, self.options)

    def load_unsplit(self) -> UnsplitData:
        """Return all rows that have a label."""
        from dilution.data.formats import image_list, table

        column = image_list.find_path_column(self.path, self.options)
        if column is not None:
            return image_list.load_unsplit(self.path, self.options, column)
        return table.load_unsplit(self.path, self.options)

    def stamp(self) -> str:
        """Return a text that changes with the content, that of listed images included."""
        from dilution.data.formats import image_list

        column = image_list.find_path_column(self.path, self.options)
        listed = "" if column is None else image_list.stamp(self.path, self.options, column)
        return f"{super().fingerprint()}{listed}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file, and of the images if it lists some."""
        from dilution.data.formats import image_list

        of_file = super().fingerprint()
        column = image_list.find_path_column(self.path, self.options)
        if column is None:
            return of_file
        of_images = image_list.identity(self.path, self.options, column, self.stamp())
        return hashlib.sha256(f"{of_file} {of_images}".encode()).hexdigest()


class ImageFolderSource(PathSource):
    """A folder with one folder of images per class; its option is the size of the images."""

    kind = "a folder of images"
    takes_options = True

    def read(self) -> DataSet:
        """Read the data set."""
        return image_folder.load(self.path, self.options)

    def load_unsplit(self) -> UnsplitData:
        """Return the images of both splits."""
        return image_folder.load_unsplit(self.path, self.options)

    def stamp(self) -> str:
        """Return a digest of names, sizes and times, which is faster than one of the contents."""
        return image_folder.stamp(self.path)

    def fingerprint(self) -> str:
        """Return the SHA-256 of names and contents of the images."""
        return image_folder.identity(self.path, self.stamp())

    def check(self) -> list[FileStatus]:
        """Return the state of the folder as a whole, and the notes on its images, which are read for that."""
        size, notes = image_folder.size_on_disk(self.path), self.load().notes
        return [FileStatus(self.path, "present", self.fingerprint(), size, notes=notes)]


@dataclass(frozen=True)
class CallableSource:
    """A function of the user, ``module:function``; loading executes it. Methods are those of DataSource."""

    name: str

    def load(self) -> DataSet:
        """Return the data set; the function is called once per process."""
        return callable.load(self.name)

    def load_unsplit(self) -> UnsplitData:
        """Return the examples without those of a test split that the function returns."""
        return callable.load_unsplit(self.name)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all data that the function returned."""
        return callable.identity(self.name)

    def check(self) -> list[FileStatus]:
        """Return the state of the file of the module."""
        file = callable.module_file(self.name)
        size, notes = file.stat().st_size, self.load().notes
        return [FileStatus(file, "present", self.fingerprint(), size, notes=notes)]

    def fetch(self) -> list[FileStatus]:
        """Return the same as :meth:`check`: there is nothing to download."""
        return self.check()


_BY_SUFFIX: dict[str, type[PathSource]] = {
    ".npz": NpzSource,
    ".pack": PackSource,
    ".csv": TableSource,
    ".tsv": TableSource,
    ".parquet": TableSource,
}

CUSTOM_DATA = (
    f"a file that ends in {', '.join(list(_BY_SUFFIX)[:-1])} or {list(_BY_SUFFIX)[-1]}, a folder with one "
    "folder of images per class, or a function of your own as module:function"
)
"""Description of the data of a user that can be named, for messages."""


def custom_source(name: str) -> DataSource | None:
    """Return the source of a user's own data that a name stands for; None if it stands for none.

    Raises
    ------
    InputError
        If it is the path of a file of another kind, or options follow a ``#`` where there are none.
    """
    if not name:  # as a path it would be the current folder
        return None
    path, options, exists = _split_name(name)
    check_regular(path)
    source = _BY_SUFFIX.get(path.suffix.lower()) or (ImageFolderSource if exists and path.is_dir() else None)
    if source is not None:
        if options and not source.takes_options:
            raise InputError(
                f"{options!r} follows the # of {path.name}, which is {source.kind} and takes no options. "
                "Leave it out."
            )
        return source(path.resolve(), options)
    if is_reference(name):
        return CallableSource(name)
    if exists:
        raise InputError(
            f"{path} ends in {path.suffix!r}; data must be {CUSTOM_DATA}. Write it as one of these, for "
            "instance with pandas or numpy.savez."
        )
    return None


def _split_name(name: str) -> tuple[Path, str, bool]:
    """Return the path, the options behind its ``#``, and whether the path exists.

    A path that exists as a whole is not split at a ``#`` in it. A path in quotes, as for a shell, is
    recognized without them too.
    """
    splits = list(_splits(name))
    for head, options in [(name, ""), *splits]:
        for form in (head, unquote(head)):
            if form and path_exists(path := expand_home(form)):
                return path, options, True
    for head, options in splits:
        if Path(head).suffix.lower() in _BY_SUFFIX:
            return expand_home(head), options, False
    return expand_home(name), "", False


def path_exists(path: str | Path) -> bool:
    """Return whether a path exists; one that cannot be one, or is not accessible, does not."""
    try:
        return expand_home(path).exists()
    except OSError:  # it is too long for a path, or a parent folder is not accessible
        return False


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield the parts before and behind each ``#``, beginning with the last ``#``."""
    for position in range(len(name) - 1, 0, -1):
        if name[position] == "#":
            yield name[:position], name[position + 1 :]


@lru_cache(maxsize=64)
def _sha256(path: Path, stamp: str) -> str:  # noqa: ARG001  (part of the cache's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _load_cached(source: PathSource, stamp: str) -> DataSet:  # noqa: ARG001  (part of the cache's key)
    return source.read()
