"""One loader for all data: built-in data sets by name, and the user's own by path or ``module:function``."""

import hashlib
import os
import shlex
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from dilution.data.arrays import DataSet, UnsplitData
from dilution.data.builtin.base import BuiltinDataSet
from dilution.data.builtin.cifar import CIFAR10, CIFAR100
from dilution.data.builtin.cifar_n import HUMAN_LABELS
from dilution.data.builtin.digits import DIGITS
from dilution.data.builtin.mnist import FASHION_MNIST, MNIST
from dilution.data.builtin.photos import PHOTOS
from dilution.data.download import FileStatus
from dilution.data.first_classes import FirstClasses, name_with_option, split_classes
from dilution.data.formats.image_listing import contains_images
from dilution.data.label_file_source import (
    LabelFileSource,
    name_with_label_file,
    names_label_file,
    split_label_file,
    without_label_file,
)
from dilution.data.sources import CUSTOM_DATA, DataSource, PackSource, TableSource, custom_source
from dilution.errors import InputError, short_repr, unknown
from dilution.utils.regular_file import expand_home, is_file, path_stamp

_BUILTIN: tuple[BuiltinDataSet, ...] = (
    *(DIGITS, PHOTOS, MNIST, FASHION_MNIST, CIFAR10, CIFAR100),
    *HUMAN_LABELS,
)

_BY_NAME = {data_set.description.name: data_set for data_set in _BUILTIN}

DATASETS = {name: data_set.description for name, data_set in _BY_NAME.items()}
"""Descriptions of the built-in data sets by name."""


READING_RULES = 2
"""Version of the rules by which files of users become features, labels and splits.

A run on data that were read by other rules is another run.
"""


def list_datasets() -> dict[str, str]:
    """Return the names of the built-in data sets, each with a one-line description."""
    return {name: description.about for name, description in DATASETS.items()}


def load(name: str | Path, root: str | Path | None = None) -> DataSet:
    """Return a data set: a built-in one by name, or the user's own.

    A data set is read once per process: later calls return the same object, so do not write into its tensors.
    A file that has changed is read again. The attribute `notes` lists the conversions made.

    Parameters
    ----------
    name
        A key of ``DATASETS``, or the user's own data:

        * the path of a ``.npz`` file (:func:`dilution.data.formats.npz.load`);
        * of a ``.pack``, whose images stay on disk;
        * of a table, ``.csv``, ``.tsv`` or ``.parquet``: ``"mine.csv#column"`` names the column of the label
          (:func:`dilution.data.formats.table.load`);
        * of a folder with one folder of images per class: ``"mine#48"`` gives their size in pixels
          (:func:`dilution.data.formats.image_folder.load`);
        * ``"module:function"``, a function that returns data (:func:`dilution.data.formats.callable.load`),
          whose code is executed.

        ``#classes=5`` behind a name (``,classes=5`` behind other options) takes the examples of the first
        five classes alone. ``#labels=theirs.npy`` behind the name of a built-in data set has the labels of a
        file (:func:`dilution.data.label_files.read_label_file`) as observed labels of the training images.
    root
        Folder of downloaded data. Default: that of the environment variable DILUTION_DATA, else a folder in
        the user's cache. Missing files are downloaded to it.

    Raises
    ------
    InputError
        If there is no such data set, or its content breaks a rule.
    DataError
        If a file is missing, damaged or altered, or a folder cannot be used.
    """
    return _source(name, root).load()


def load_unsplit(name: str | Path, root: str | Path | None = None) -> UnsplitData:
    """Return every labelled example with its name, in the user's order; no test split is set aside.

    These are all labelled rows of a table and all images of a folder; of other data that have a test split,
    the train split. All of these examples determine an encoding, such as the median that fills gaps.

    Parameters and errors are those of :func:`load`.
    """
    return _source(name, root).load_unsplit()


def fetch(name: str | Path, root: str | Path | None = None) -> list[FileStatus]:
    """Download the files of a data set that are missing or altered, and return the state of each file.

    Parameters and errors are those of :func:`load`. The user's own data are only checked.
    """
    return _source(name, root).fetch()


def check(name: str | Path, root: str | Path | None = None) -> list[FileStatus]:
    """Return the state of each file of a data set; nothing is written or downloaded.

    The list is empty for a data set without files. The user's own data are present or missing, since there is
    no original from which they could differ; a pack is read whole and compared with its checksums.
    """
    return _source(name, root).check()


def is_present(name: str, root: str | Path | None = None) -> bool:
    """Return whether the files of a built-in data set exist; their checksums are not verified."""
    return _BY_NAME[name].is_present(data_root(root))


def fingerprint(name: str | Path, root: str | Path | None = None) -> str:
    """Return what identifies the content of a data set beyond its name, in hex.

    It is part of the key of a run, so that changed files make another run.

    Parameters
    ----------
    name
        As for :func:`load`.
    root
        As for :func:`load`; a path does not depend on it.

    Returns
    -------
    str
        SHA-256 of `READING_RULES` and the SHA-256 of a file, of the images of a folder, or of the data
        that a function returned; SHA-256 of the index of a pack. For built-in data: of the content of CIFAR
        files that differ from the originals, with that of human labels or of a file of labels; empty
        otherwise.

    Raises
    ------
    InputError
        If there is no such data set.
    DataError
        If the file cannot be read.
    """
    source = _source(name, root)
    identity = source.fingerprint()
    whole = source.source if isinstance(source, FirstClasses) else source
    if isinstance(whole, _BuiltinSource | LabelFileSource | PackSource):
        return identity
    return hashlib.sha256(f"{READING_RULES} {identity}".encode()).hexdigest()


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder of downloaded data: `root`, else DILUTION_DATA, else the user's cache."""
    chosen = root or os.environ.get("DILUTION_DATA")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("dilution")
    return expand_home(chosen).resolve()


def is_dataset_name(name: str | Path) -> bool:
    """Return whether a name is that of a built-in data set, or has the form of the user's own data.

    Raises
    ------
    InputError
        If it is the path of a file of another kind.
    """
    whole, _ = split_classes(str(name))
    return builtin_name(whole) is not None or own_source(whole) is not None


def builtin_name(name: str | Path) -> str | None:
    """Return the name of the built-in data set that a name means, without options; None if it means none.

    Parameters
    ----------
    name
        Name as for :func:`load`, such as ``"cifar10#labels=theirs.npy,classes=5"``.
    """
    whole, _ = split_label_file(split_classes(str(name))[0])
    return whole if whole in DATASETS else None


def own_source(name: str | Path) -> DataSource | None:
    """Return the source of the user's own data that a name means, with all classes; None if it means none.

    Raises
    ------
    InputError
        As :func:`dilution.data.sources.custom_source` raises it.
    """
    return None if builtin_name(name) is not None else custom_source(split_classes(str(name))[0])


@dataclass(frozen=True)
class _BuiltinSource:
    """A built-in data set with the folder of its files. Methods are those of :class:`DataSource`."""

    name: str
    root: Path

    def load(self) -> DataSet:
        return _load_builtin(self.name, self.root)

    def load_unsplit(self) -> UnsplitData:
        data = self.load()
        return UnsplitData.without_test_split(data.train, data.test, data.notes)

    def fingerprint(self) -> str:
        return _BY_NAME[self.name].identity(self.root, self.load)

    def check(self) -> list[FileStatus]:
        return _BY_NAME[self.name].check(self.root)

    def fetch(self) -> list[FileStatus]:
        return _BY_NAME[self.name].fetch(self.root)


def _source(name: str | Path, root: str | Path | None) -> DataSource:
    """Return the source of a data set; the name of a built-in one wins over a path."""
    whole, count = split_classes(str(name))
    if count is not None:
        return FirstClasses(_source(whole, root), whole, count)
    labelled, path = split_label_file(str(name))
    if path is not None and labelled in DATASETS:
        return LabelFileSource(_source(labelled, root), path)
    if str(name) in DATASETS:
        has_files = bool(DATASETS[str(name)].files)
        if not has_files and contains_images(Path(name)):
            raise InputError(
                f"{name} is the name of a built-in data set, and of a folder of images here. Write "
                f"./{name} for the folder; for the built-in data set, change to another folder."
            )
        # without files the folder does not matter: one cache entry
        return _BuiltinSource(str(name), data_root(root) if has_files else Path())
    before, option, _ = str(name).partition("#")
    if option and before in DATASETS:
        raise InputError(
            f"the options of {short_repr(str(name))} are none of a built-in data set, which are "
            f"{before}#classes=5, {before}#labels=theirs.npy, or both: {before}#labels=theirs.npy,classes=5."
        )
    source = custom_source(str(name))
    if source is None:
        raise InputError(f"{unknown('data set', str(name), DATASETS)} Or name your own data: {CUSTOM_DATA}.")
    return source


def _load_builtin(name: str, root: Path) -> DataSet:
    """Return a built-in data set; it is read again if its files have changed."""
    source = _BY_NAME[name]
    if not source.is_present(root):
        source.load(root)  # downloads them, or says what is missing
    return _read_builtin(name, root, tuple(map(path_stamp, source.paths(root))))


@lru_cache(maxsize=4)
def _read_builtin(name: str, root: Path, stamps: tuple[str, ...]) -> DataSet:  # noqa: ARG001  (part of the cache's key)
    data = _BY_NAME[name].load(root)
    # Their splits and those of their trainings are published: each example is a group of its own.
    train, test = (replace(split, groups=torch.arange(len(split))) for split in (data.train, data.test))
    return replace(data, train=train, test=test)


def name_with_columns(
    data: str | Path, label: Any = None, noisy_label: Any = None, ids: Any = None, group: Any = None
) -> str | Path:
    """Return the name of a table with the roles of columns as options behind its ``#``.

    Parameters
    ----------
    data
        Name or path of data, as for :func:`dilution.load`.
    label, noisy_label, ids, group
        Names of columns. None: the option is not added. The observed labels of a built-in data set may be
        those of a file: `noisy_label` is its path.

    Raises
    ------
    InputError
        If a column is named and the data are no table, or an argument is no name.
    """
    if builtin_name(data) is not None and names_label_file(noisy_label):
        if without_label_file(str(data)) != str(data):
            raise InputError(
                f"noisy_label is {short_repr(str(noisy_label))}, and {data} has a file of labels. Name "
                "one of them."
            )
        data, noisy_label = name_with_label_file(str(data), str(noisy_label)), None
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    named = {argument: name for argument, name in columns.items() if name is not None}
    if not named:
        return data
    argument, name = next(iter(named.items()))
    source = own_source(data) if str(data) else None
    if not isinstance(source, TableSource):
        if argument == "group":
            raise InputError(
                f"group is {short_repr(name)}, which is no file, and {data} is no table with a column of "
                "that name. Name a CSV file with the columns 'id' and another one, the name of the group."
            )
        remedy = "Leave it out."
        if argument == "noisy_label" and builtin_name(data) is not None:
            remedy = "Name a file with one label per training image, such as labels.npy, or leave it out."
        raise InputError(
            f"{argument} is {short_repr(name)}, a column of a table, and {data} is no table. {remedy}"
        )
    for argument, name in named.items():
        if not isinstance(name, str):
            raise InputError(
                f"{argument} is a {type(name).__name__}, and {data} is a path; it must be the name of a "
                "column. Read the table with pandas and pass the DataFrame, to give one value per row."
            )
    keys = {"noisy_label": "noisy"}
    options = ",".join(f"{keys.get(key, key)}={shlex.quote(name)}" for key, name in named.items())
    return name_with_option(str(data), f"{',' if source.options else '#'}{options}")


def name_with_groups(data: str | Path, group: str | Path | None) -> str | Path:
    """Return the name of data whose runs keep groups together.

    Runs open their data by name, in other processes too. So groups must be a column of a table.

    Raises
    ------
    InputError
        If they are not.
    """
    is_table = isinstance(own_source(data), TableSource) if str(data) else False
    if group is not None and (not is_table or is_file(group)):
        raise InputError(
            f"group is {short_repr(str(group))}; runs open data by name, so groups must be part of them: "
            "a column of a table, the array 'groups' of a .npz file, or 'groups' in the dict that a function "
            "returns. Add them there: to a table as a column, whose name you then give as the group."
        )
    return name_with_columns(data, group=group)
