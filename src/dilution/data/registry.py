"""Data sets by name: what there is, where its files lie, and one loader for all, a user's own included."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from dilution.data.arrays import DataSet, Labelled
from dilution.data.builtin import cifar, cifar_n, digits, mnist, photos
from dilution.data.download import Finding
from dilution.data.formats.image_listing import holds_images
from dilution.data.sources import KINDS, Source, own
from dilution.errors import InputError, unknown


@dataclass(frozen=True)
class Description:
    """One line about a data set, known without loading it.

    Parameters
    ----------
    name, about
        Its name, and what it is.
    classes
        How many.
    shape
        (channels, height, width) of an image.
    train, test
        How many images each half has.
    files
        Names of the files that it is read from; none if it is built in.
    """

    name: str
    about: str
    classes: int
    shape: tuple[int, int, int]
    train: int
    test: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """Where a named data set comes from; every function takes the folder of downloaded data."""

    description: Description
    load: Callable[[Path], DataSet]
    fetch: Callable[[Path], list[Finding]]
    check: Callable[[Path], list[Finding]]
    identity: Callable[[Path, DataSet], str] | None = None  # None: the checksums fix the content


def _cifar(which: cifar.Cifar, about: str) -> _Source:
    files = tuple(f"{which.folder}/{name}" for name in which.md5)
    return _Source(
        Description(which.name, about, len(which.classes), cifar.SHAPE, 50_000, 10_000, files),
        partial(cifar.load, which), partial(cifar.fetch, which), partial(cifar.check, which),
        partial(cifar.identity, which),
    )  # fmt: skip


def _human(which: cifar_n.Human) -> _Source:
    images = tuple(f"{which.images.folder}/{name}" for name in which.images.md5)
    return _Source(
        Description(
            which.name, which.about, len(which.images.classes), cifar.SHAPE, 50_000, 10_000,
            (f"{which.folder}/{which.file}.pt", *images),
        ),
        partial(cifar_n.load, which), partial(cifar_n.fetch, which), partial(cifar_n.check, which),
        partial(cifar_n.identity, which),
    )  # fmt: skip


_SOURCES = {
    source.description.name: source
    for source in (
        _Source(
            Description(
                "digits", "handwritten digits that come with scikit-learn", 10, (1, 8, 8), 1437, 360
            ),
            lambda _: digits.load(), lambda _: [], lambda _: [],
        ),
        _Source(
            Description("photos", "squares of scikit-learn's two photographs", 2, (3, 32, 32), 416, 104),
            lambda _: photos.load(), lambda _: [], lambda _: [],
        ),
        _Source(
            Description(
                "mnist", "handwritten digits of LeCun et al.", 10, (1, 28, 28), 60_000, 10_000,
                tuple(name + ".gz" for name in mnist.FILES),
            ),
            mnist.load, mnist.fetch, mnist.check,
        ),
        _cifar(cifar.CIFAR10, "small photographs, of Krizhevsky"),
        _cifar(cifar.CIFAR100, "the same of a hundred classes"),
        *map(_human, cifar_n.HUMAN),
    )
}  # fmt: skip

DATASETS = {name: source.description for name, source in _SOURCES.items()}


@dataclass(frozen=True)
class _Named:
    """A data set that has a name, as a :class:`Source`."""

    name: str
    root: str | Path | None

    @property
    def folder(self) -> Path:
        """Where its files are; what is built in is read once, whatever the folder."""
        return data_root(self.root) if DATASETS[self.name].files else Path()

    def load(self) -> DataSet:
        return _load_named(self.name, self.folder)

    def labelled(self) -> Labelled:
        return Labelled(self.load().train)

    def fingerprint(self) -> str:
        identity = _SOURCES[self.name].identity
        return "" if identity is None else identity(self.folder, self.load())

    def check(self) -> list[Finding]:
        return _SOURCES[self.name].check(self.folder)

    def fetch(self) -> list[Finding]:
        return _SOURCES[self.name].fetch(self.folder)


def load(name: str | Path, root: str | Path | None = None) -> DataSet:
    """Return a data set by name, or one of the user's own.

    A data set is read once in a process: later calls return the same object, so do not write
    into its tensors. A file that has changed is read again. What was done to the data on the way in is
    in its `notes`.

    Parameters
    ----------
    name
        A key of ``DATASETS``, or data of one's own:

        * the path of a ``.npz`` file (see :func:`dilution.data.formats.npz.load` for what that holds);
        * of a ``.pack``, whose images stay on disk;
        * of a table, ``.csv``, ``.tsv`` or ``.parquet``: ``"mine.csv#column"`` names the label's column
          (:func:`dilution.data.formats.table.load`);
        * of a folder with a folder of images for each class: ``"mine#48"`` gives their size in pixels
          (:func:`dilution.data.formats.image_folder.load`);
        * ``"module:function"``, a function that returns data (:func:`dilution.data.formats.callable.load`), whose
          code is run.
    root
        The folder of downloaded data. Default: the environment's DILUTION_DATA, else a folder in
        the user's cache. Missing files are downloaded into it.

    Raises
    ------
    InputError
        If there is no such data set, or what is in it breaks a rule.
    DataError
        If a file is missing, damaged or altered, or a folder cannot be used.
    """
    return _source(name, root).load()


def labelled(name: str | Path, root: str | Path | None = None) -> Labelled:
    """Return every labelled example, unsplit and in the user's own order, with what to call each.

    Of a table these are all rows that have a label, of a folder all images; of other data the training
    half where there is a test half that was not set aside from it, else all. Where values are chosen, such as
    the median that fills gaps, all of these examples choose.

    Parameters and errors are those of :func:`load`.
    """
    return _source(name, root).labelled()


def fetch(name: str | Path, root: str | Path | None = None) -> list[Finding]:
    """Download the files of a data set that are missing or altered; return what is there then.

    Parameters and errors are those of :func:`load`; what needs no download is only checked.
    """
    return _source(name, root).fetch()


def check(name: str | Path, root: str | Path | None = None) -> list[Finding]:
    """Return one finding for each file of a data set; nothing is written or downloaded.

    The list is empty for a data set that is built in. Data of the user's own are present or missing: no
    original is known that they could differ from. A pack is read whole and compared with its checksums.
    """
    return _source(name, root).check()


def fingerprint(name: str | Path, root: str | Path | None = None) -> str:
    """Return what identifies the content of a data set beyond its name.

    Parameters
    ----------
    name
        As for :func:`load`.
    root
        As for :func:`load`; a path does not depend on it.

    Returns
    -------
    str
        SHA-256 in hex, of a file, of the index of a pack, of the images of a folder, of what a function
        returned, or of the content of CIFAR files that are not the originals, so that changed files make
        another run; empty for the originals.

    Raises
    ------
    InputError
        If there is no such data set.
    DataError
        If the file cannot be read.
    """
    return _source(name, root).fingerprint()


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder of downloaded data: `root`, else DILUTION_DATA, else the user's cache."""
    chosen = root or os.environ.get("DILUTION_DATA")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("dilution")
    return Path(chosen).expanduser().resolve()


def names_data(name: str | Path) -> bool:
    """Return whether a name is one of a data set, or written as data of one's own are.

    Raises
    ------
    InputError
        If it is the path of a file of another kind.
    """
    return str(name) in DATASETS or own(str(name)) is not None


def _source(name: str | Path, root: str | Path | None) -> Source:
    """Return where a data set comes from; a name wins over a path, such as that of its own files."""
    if str(name) in DATASETS:
        if not DATASETS[str(name)].files and holds_images(Path(name)):
            raise InputError(
                f"{name} is the name of a data set that comes along, and of a folder of images here. Write "
                f"./{name} for yours; for the other, go to another folder."
            )
        return _Named(str(name), root)
    found = own(str(name))
    if found is None:
        raise InputError(f"{unknown('data set', str(name), DATASETS)} Or name data of your own: {KINDS}.")
    return found


@lru_cache(maxsize=4)
def _load_named(name: str, root: Path) -> DataSet:
    return _SOURCES[name].load(root)
