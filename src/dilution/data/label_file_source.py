"""A built-in data set with the labels of a file, by name: ``"cifar10#labels=theirs.npy"`` observes them."""

import hashlib
import re
import shlex
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.download import FileStatus
from dilution.data.first_classes import name_with_classes, name_with_option, split_classes
from dilution.data.formats.table_options import unquote
from dilution.data.label_files import SUFFIXES, with_label_file
from dilution.data.sources import DataSource, path_exists
from dilution.errors import DataError
from dilution.utils.output_folder import file_digest
from dilution.utils.references import user_folder
from dilution.utils.regular_file import check_regular, expand_home

_OPTION = re.compile(r"(?P<name>[^#]+)#labels=(?P<path>.+)", re.DOTALL)


def split_label_file(name: str) -> tuple[str, str | None]:
    """Return a name without its option ``labels=FILE``, and the file; None without such an option.

    A path that exists and ends so is a path.

    Parameters
    ----------
    name
        Name of a data set.
    """
    match = _OPTION.fullmatch(name)
    if match is None or path_exists(name):
        return name, None
    path = match["path"]
    return match["name"], path if path_exists(_locate(path)) else unquote(path) or path


def name_with_label_file(name: str, path: str) -> str:
    """Return the name of a data set, or of its first classes, with the labels of a file.

    Parameters
    ----------
    name
        Name of the data set, which may end in ``#classes=K``.
    path
        File of labels of all training images.
    """
    return name_with_option(name, f"#labels={shlex.quote(path)}")


def without_label_file(name: str) -> str:
    """Return the name of the same images without the labels of a file; options behind these stay.

    Parameters
    ----------
    name
        Name of a data set.
    """
    whole, count = split_classes(name)
    images, path = split_label_file(whole)
    return name if path is None else images if count is None else name_with_classes(images, count)


def names_label_file(text: object) -> bool:
    """Return whether a text ends as the name of a file of labels does."""
    return isinstance(text, str | Path) and Path(text).suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class LabelFileSource:
    """A built-in data set whose training images have the labels of a file as their observed labels.

    Methods are those of :class:`DataSource`.

    Parameters
    ----------
    source
        The data set.
    path
        File of labels, as :func:`dilution.data.label_files.read_label_file` reads it.
    """

    source: DataSource
    path: str

    def load(self) -> DataSet:
        """Return the data set, the same object while its content and the file do not change.

        Raises
        ------
        DataError
            If the file of labels is missing or damaged, or changes while it is read.
        InputError
            If its length or its classes are not those of the data.
        """
        return _load(self, self.source.fingerprint(), file_digest(self._file))

    def load_unsplit(self) -> UnsplitData:
        """Return the training examples in their order."""
        data = self.load()
        return UnsplitData.without_test_split(data.train, data.test, data.notes)

    def fingerprint(self) -> str:
        """Return the SHA-256 of those of the file and of the data set."""
        content = f"labels {file_digest(self._file)} of {self.source.fingerprint()}"
        return hashlib.sha256(content.encode()).hexdigest()

    def check(self) -> list[FileStatus]:
        """Return the state of each file of the data set, and of the file of labels, which is read."""
        return self._with_labels(self.source.check())

    def fetch(self) -> list[FileStatus]:
        """Download missing files of the data set, and return the state of each file."""
        return self._with_labels(self.source.fetch())

    def observe(self, data: DataSet) -> DataSet:
        """Return the data set with the labels of the file, and a note on them."""
        train = with_label_file(data.train, self.path)
        assert train.observed is not None
        noise_rate = float((train.observed != train.labels).double().mean())
        note = (
            f"Observed labels are those of {Path(self.path).name}; {noise_rate:.1%} of its {len(train):,} "
            "labels differ from the true labels."
        )
        name = name_with_label_file(data.name, self.path)
        return replace(data, name=name, train=train, notes=(*data.notes, note))

    @property
    def _file(self) -> Path:
        file = _locate(self.path)
        check_regular(file)
        return file

    def _with_labels(self, states: list[FileStatus]) -> list[FileStatus]:
        file = self._file
        if not path_exists(file):
            return [*states, FileStatus(file, "missing", "", 0)]
        notes = self.load().notes[-1:] if all(status.state == "present" for status in states) else ()
        return [*states, FileStatus(file, "present", file_digest(file), file.stat().st_size, notes=notes)]


def _locate(path: str) -> Path:
    """Return where a file is that a user names: a worker of another machine has another current folder."""
    return user_folder() / expand_home(path)


@lru_cache(maxsize=4)
def _load(labelled: LabelFileSource, fingerprint: str, digest: str) -> DataSet:  # noqa: ARG001  (cache key)
    data = labelled.observe(labelled.source.load())
    if file_digest(_locate(labelled.path)) != digest:
        raise DataError(f"{labelled.path} was changed while it was read. Repeat the command.")
    return data
