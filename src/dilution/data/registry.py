"""Data sets by name: what there is, where its files lie, and one loader for all."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from dilution.data import cifar, digits, mnist, npz, pack, photos
from dilution.data.arrays import DataSet
from dilution.data.files import Finding
from dilution.errors import DataError, InputError, unknown


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
    )
}  # fmt: skip

DATASETS = {name: source.description for name, source in _SOURCES.items()}


def load(name: str | Path, root: str | Path | None = None) -> DataSet:
    """Return a data set by name, or from a `.npz` file or pack of one's own.

    A data set is read once in a process: later calls return the same object, so do not write
    into its tensors. A file that has changed is read again.

    Parameters
    ----------
    name
        A key of ``DATASETS``, or a path that ends in ``.npz`` (see :func:`dilution.data.npz.load` for
        what that file holds) or in ``.pack``, whose pictures stay on disk.
    root
        The folder of downloaded data. Default: the environment's DILUTION_DATA, else a folder in
        the user's cache. Missing files are downloaded into it.

    Raises
    ------
    InputError
        If there is no such data set, or an array in a `.npz` file breaks a rule.
    DataError
        If a file is missing, damaged or altered, or a folder cannot be used.
    """
    path = own_file(name)
    if path is not None:
        return _load_own(path, fingerprint(path))
    return _load_named(_known(name), _place(name, root))


def fetch(name: str | Path, root: str | Path | None = None) -> list[Finding]:
    """Download the files of a data set that are missing or altered; return what is there then.

    Parameters and errors are those of :func:`load`; what needs no download is only checked.
    """
    if own_file(name) is not None:
        return check(name, root)
    return _SOURCES[_known(name)].fetch(data_root(root))


def check(name: str | Path, root: str | Path | None = None) -> list[Finding]:
    """Return one finding for each file of a data set; nothing is written or downloaded.

    The list is empty for a data set that is built in. A `.npz` file is present or missing: no
    original is known that it could differ from. A pack is read whole and compared with its checksums.
    """
    path = own_file(name)
    if path is not None:
        if not path.is_file():
            return [Finding(path, "missing", "", 0)]
        size = path.stat().st_size
        if path.suffix.lower() == ".pack" and (damaged := pack.altered(path)):
            return [Finding(path, "altered", "", size, damaged=tuple(damaged))]
        return [Finding(path, "present", fingerprint(path), size)]
    return _SOURCES[_known(name)].check(data_root(root))


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
        SHA-256 in hex, of a `.npz` file, of the index of a pack, or of the content of CIFAR files that are
        not the originals, so that changed files make another run; empty for the originals.

    Raises
    ------
    InputError
        If there is no such data set.
    DataError
        If the file cannot be read.
    """
    path = own_file(name)
    if path is None:
        source = _SOURCES[_known(name)]
        return "" if source.identity is None else source.identity(data_root(root), load(name, root))
    if path.suffix.lower() == ".pack":
        return pack.identity(path)
    try:
        stat = path.stat()
        return _sha256(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a .npz file. "
            "Check its name and permissions."
        ) from error


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder of downloaded data: `root`, else DILUTION_DATA, else the user's cache."""
    chosen = root or os.environ.get("DILUTION_DATA")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("dilution")
    return Path(chosen).expanduser().resolve()


def own_file(name: str | Path) -> Path | None:
    """Return the path of a user's own data set, which ends in ``.npz`` or ``.pack``; None if it is none."""
    path = Path(name)
    return path.expanduser().resolve() if path.suffix.lower() in (".npz", ".pack") else None


def _known(name: str | Path) -> str:
    if str(name) not in DATASETS:
        raise InputError(
            f"{unknown('data set', str(name), DATASETS)} Or name a file of your own that ends in .npz or "
            ".pack."
        )
    return str(name)


@lru_cache(maxsize=64)
def _sha256(path: Path, modified: int, size: int) -> str:  # noqa: ARG001  (part of the cache's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=2)  # few: a user's arrays may be large
def _load_own(path: Path, sha256: str) -> DataSet:  # noqa: ARG001  (part of the cache's key)
    return pack.load(path) if path.suffix.lower() == ".pack" else npz.load(path)


def _place(name: str | Path, root: str | Path | None) -> Path:
    """Return the folder that a named set is read from: what is built in is read once, whatever the folder."""
    return data_root(root) if DATASETS[str(name)].files else Path()


@lru_cache(maxsize=4)
def _load_named(name: str, root: Path) -> DataSet:
    return _SOURCES[name].load(root)
