"""CIFAR-10 and CIFAR-100 from their canonical files, in the python or the binary layout."""

import hashlib
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin.safe_pickle import read_pickle
from dilution.data.download import Finding, download
from dilution.errors import DataError
from dilution.utils.atomic import write_whole

MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_UNKNOWN = "no checksum of the original is kept for the binary layout"


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets.

    Parameters
    ----------
    name
        How results call it, and the folder of its download.
    classes
        Names of the classes, in the order of their numbers.
    archive, sha256
        The archive of the python layout, as its authors send it, and its checksum.
    folder, md5
        Folder and files of the python layout with the MD5 of each original; the last one is the test half.
    binary, files
        Folder and files of the binary layout, likewise.
    key
        Under which a pickle keeps the labels.
    before
        Bytes before the pixels of a binary record; the last of them is the label.
    """

    name: str
    classes: tuple[str, ...]
    archive: str
    sha256: str
    folder: str
    md5: dict[str, str]
    binary: str
    files: tuple[str, ...]
    key: str
    before: int


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CIFAR10 = Cifar(
    name="cifar10",
    classes=_words("airplane automobile bird cat deer dog frog horse ship truck"),
    archive="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    folder="cifar-10-batches-py",
    md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    binary="cifar-10-batches-bin",
    files=(*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
    key="labels",
    before=1,
)

CIFAR100 = Cifar(
    name="cifar100",
    classes=_words(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
        camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
        dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
        leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
        otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
        road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
        sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
        wardrobe whale willow_tree wolf woman worm
        """
    ),
    archive="cifar-100-python.tar.gz",
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    folder="cifar-100-python",
    md5={"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    binary="cifar-100-binary",
    files=("train.bin", "test.bin"),
    key="fine_labels",
    before=2,
)


def load(which: Cifar, root: Path, mirrors: Sequence[str] = MIRRORS) -> DataSet:
    """Return a data set, downloading it if no layout of it is there.

    Files that are not the originals are read as they are; :func:`identity` then tells them apart.

    Parameters
    ----------
    which
        ``CIFAR10`` or ``CIFAR100``.
    root
        The folder of downloaded data: the folder of a layout is looked for in ``root/NAME`` and ``root``.
    mirrors
        URLs of folders, tried in turn.

    Returns
    -------
    DataSet
        uint8 images of shape (n, 3, 32, 32); the originals have 50,000 and 10,000.

    Raises
    ------
    DataError
        If a file is damaged or does not hold what it should, or cannot be downloaded.
    """
    if not _found(which, root):
        _download(which, root, mirrors)
    *train, test = _found(which, root)
    return DataSet(which.name, _half(which, train), _half(which, [test]))


def identity(which: Cifar, root: Path, data: DataSet) -> str:
    """Return what tells `data`, read from `root`, from the originals: empty for these, else its SHA-256."""
    if all(finding.state == "present" for finding in check(which, root)):
        return ""
    found = hashlib.sha256()
    for half in (data.train, data.test):
        found.update(half.take(torch.arange(len(half))).numpy().tobytes())
        found.update(half.labels.numpy().tobytes())
    return found.hexdigest()


def check(which: Cifar, root: Path) -> list[Finding]:
    """Return one finding for each file; of the binary layout no checksums of the originals are kept."""
    paths = _found(which, root)
    if not paths:
        return [Finding(root / which.name / which.folder / name, "missing", "", 0) for name in which.md5]
    return [_finding(which, path) for path in paths]


def fetch(which: Cifar, root: Path, mirrors: Sequence[str] = MIRRORS) -> list[Finding]:
    """Download what is not there; return what is there afterwards.

    Raises
    ------
    DataError
        If the folder cannot be written, or no mirror sends the archive.
    """
    if not _found(which, root):
        _download(which, root, mirrors)
    return check(which, root)


def _found(which: Cifar, root: Path) -> list[Path]:
    """Return the files of the first layout that is there, none if there is none.

    Raises
    ------
    DataError
        If a layout is there in part.
    """
    for folder in (root / which.name, root):
        for layout, names in ((which.folder, tuple(which.md5)), (which.binary, which.files)):
            paths = [folder / layout / name for name in names]
            there = [path.is_file() for path in paths]
            if all(there):
                return paths
            if any(there):
                missing = ", ".join(path.name for path, found in zip(paths, there, strict=True) if not found)
                raise DataError(
                    f"{folder / layout} lacks {missing}; it must hold {', '.join(names)}. Delete the folder "
                    f"and fetch it anew with: dilution data fetch {which.name}"
                )
    return []


def _finding(which: Cifar, path: Path) -> Finding:
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    expected = which.md5.get(path.name)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if expected is None:
        return Finding(
            path, "altered", sha256, len(content), damaged=("no checksum of the original is kept",)
        )
    if md5 != expected:
        return Finding(
            path, "altered", sha256, len(content), damaged=(f"its MD5 is {md5}, the original's {expected}",)
        )
    return Finding(path, "present", sha256, len(content))


def _download(which: Cifar, root: Path, mirrors: Sequence[str]) -> None:
    """Fetch the archive, take the files out that are needed, and delete it."""
    archive = download(which.archive, which.sha256, root / which.name, mirrors)
    target = root / which.name / which.folder
    try:
        target.mkdir(exist_ok=True)
        with tarfile.open(archive) as opened:
            for name in which.md5:  # by name: nothing else of the archive is written anywhere
                member = opened.extractfile(f"{which.folder}/{name}")
                if member is None:
                    raise DataError(f"{archive} holds no file {name}; fetch it again.")
                write_whole(target / name, member.read())
    except (OSError, KeyError, tarfile.TarError) as error:
        raise DataError(f"{archive} cannot be unpacked ({error}). Delete it and fetch it again.") from error
    archive.unlink()


def _half(which: Cifar, paths: Sequence[Path]) -> Arrays:
    parts = [_read(which, path) for path in paths]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    return Arrays(torch.from_numpy(images), torch.from_numpy(labels), which.classes)


def _read(which: Cifar, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (n, 3, 32, 32) and labels (n,) of one file."""
    binary = path.suffix == ".bin"
    images, labels = _records(which, path) if binary else _batch(which, path)
    if labels.size and labels.max() >= len(which.classes):
        raise DataError(
            f"{path} holds the label {labels.max()}; labels run from 0 to {len(which.classes) - 1}. "
            "Fetch it again."
        )
    return images.reshape(-1, *SHAPE).copy(), labels.astype(np.int64)


def _records(which: Cifar, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.frombuffer(_content(path), dtype=np.uint8)
    size = which.before + _PIXELS
    if content.size == 0 or content.size % size:
        raise DataError(
            f"{path} is {content.size:,} bytes long; it must hold whole records of {size:,}. It was cut off: "
            "fetch it again."
        )
    records = content.reshape(-1, size)
    return records[:, which.before :], records[:, which.before - 1].astype(np.int64)


def _batch(which: Cifar, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = read_pickle(_content(path), str(path))
    images, labels = found.get("data"), found.get(which.key)
    whole = isinstance(labels, list) and all(type(label) is int and label >= 0 for label in labels)
    if not isinstance(images, np.ndarray) or not whole or images.shape != (len(labels or ()), _PIXELS):
        raise DataError(
            f"{path} does not hold 'data' of shape (n, {_PIXELS:,}) and n numbers under {which.key!r}. "
            "Fetch it again."
        )
    return images, np.array(labels, dtype=np.int64)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a readable file. Check its permissions."
        ) from error
