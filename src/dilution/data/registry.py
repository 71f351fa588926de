"""Data sets by name: what there is, where its files lie, and one loader for all."""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dilution.data import digits, mnist, npz, pack
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


_DIGITS = Description("digits", "handwritten digits that come with scikit-learn", 10, (1, 8, 8), 1437, 360)
_MNIST = Description(
    "mnist", "handwritten digits of LeCun et al.", 10, (1, 28, 28), 60_000, 10_000,
    tuple(name + ".gz" for name in mnist.FILES),
)  # fmt: skip

DATASETS = {description.name: description for description in (_DIGITS, _MNIST)}


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
    if _known(name) == "digits":
        return _load_digits()
    return _load_mnist(data_root(root))


def fetch(name: str | Path, root: str | Path | None = None) -> list[Finding]:
    """Download the files of a data set that are missing or altered; return what is there then.

    Parameters and errors are those of :func:`load`; what needs no download is only checked.
    """
    if own_file(name) is None and _known(name) == "mnist":
        return mnist.fetch(data_root(root))
    return check(name, root)


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
    return mnist.check(data_root(root)) if _known(name) == "mnist" else []


def fingerprint(name: str | Path, root: str | Path | None = None) -> str:  # noqa: ARG001
    """Return what identifies the content of a data set beyond its name.

    Parameters
    ----------
    name
        As for :func:`load`.
    root
        As for :func:`load`; a path does not depend on it, nor does the content of a named set.

    Returns
    -------
    str
        SHA-256 in hex, of a `.npz` file or of the index of a pack, so that a changed file makes another
        run; empty for a data set in ``DATASETS``, whose content is fixed by its checksums.

    Raises
    ------
    InputError
        If there is no such data set.
    DataError
        If the file cannot be read.
    """
    path = own_file(name)
    if path is None:
        _known(name)
        return ""
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


@lru_cache(maxsize=1)
def _load_digits() -> DataSet:
    return digits.load()


@lru_cache(maxsize=2)
def _load_mnist(root: Path) -> DataSet:
    return mnist.load(root)
