"""CIFAR-10 and CIFAR-100 from their canonical files, in the python or the binary layout."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin.base import Description
from dilution.data.builtin.safe_pickle import read_pickle
from dilution.data.download import FileStatus, download
from dilution.errors import DataError
from dilution.utils.atomic import write_atomic
from dilution.utils.printable import one_line

_MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_MAX_BYTES = 200_000_000  # of a file; the largest original has 155 million


@dataclass(frozen=True)
class Cifar:
    """A :class:`BuiltinDataSet` in the files of CIFAR: CIFAR-10 or CIFAR-100.

    The folder of a layout is looked for in ``root/NAME`` and ``root``. Files that differ from the originals
    are read all the same; :meth:`identity` tells them apart.

    Parameters
    ----------
    name, about
        As of :class:`Description`.
    classes
        Names of the classes, in the order of their numbers.
    archive, sha256
        Archive of the python layout as its authors send it, and its checksum.
    folder, md5
        Folder of the python layout, and the MD5 of each original file in it; the last file is the test split.
    binary_folder, binary_files
        Folder and files of the binary layout, the last file being the test split.
    label_key
        Key of the labels in a pickle of the python layout.
    header_bytes
        Bytes before the pixels of a record of the binary layout; the last of them is the label.
    mirrors
        URLs of folders with the archive, tried in order.
    """

    name: str
    about: str
    classes: tuple[str, ...]
    archive: str
    sha256: str
    folder: str
    md5: dict[str, str]
    binary_folder: str
    binary_files: tuple[str, ...]
    label_key: str
    header_bytes: int
    mirrors: tuple[str, ...] = _MIRRORS

    @property
    def description(self) -> Description:
        """Description of the data set."""
        files = tuple(f"{self.folder}/{file}" for file in self.md5)
        return Description(self.name, self.about, len(self.classes), _SHAPE, 50_000, 10_000, files)

    def load(self, root: Path) -> DataSet:
        """Return the data set, uint8 images of shape (n, 3, 32, 32), downloading it if no layout is present.

        Raises
        ------
        DataError
            If a file is damaged or has other content, or cannot be downloaded.
        """
        if not self._locate(root):
            self._download(root)
        *train, test = self._locate(root)
        return DataSet(self.name, self._split(train), self._split([test]))

    def fetch(self, root: Path) -> list[FileStatus]:
        """Download the data set if no layout is present, and return the state of each file.

        Raises
        ------
        DataError
            If the folder cannot be written to, or no mirror sends the archive.
        """
        if not self._locate(root):
            self._download(root)
        return self.check(root)

    def check(self, root: Path) -> list[FileStatus]:
        """Return the state of each file; of the binary layout no checksums of the originals are known."""
        paths = self._locate(root)
        if not paths:
            folder = root / self.name / self.folder
            return [FileStatus(folder / file, "missing", "", 0) for file in self.md5]
        return [self._status(path) for path in paths]

    def is_present(self, root: Path) -> bool:
        """Return whether all files of a layout exist, without verifying them."""
        try:
            return bool(self._locate(root))
        except DataError:  # a layout is incomplete
            return False

    def paths(self, root: Path) -> list[Path]:
        """Return the files that exist and are read."""
        return self._locate(root)

    def identity(self, root: Path, load: Callable[[], DataSet]) -> str:
        """Return the SHA-256 of images and labels; an empty string for the originals."""
        if all(status.state == "present" for status in self.check(root)):
            return ""
        data, digest = load(), hashlib.sha256()
        for arrays in (data.train, data.test):
            digest.update(arrays.take(torch.arange(len(arrays))).numpy().tobytes())
            digest.update(arrays.labels.numpy().tobytes())
        return digest.hexdigest()

    def _locate(self, root: Path) -> list[Path]:
        """Return the files of the first layout that is present, none if there is none.

        Raises
        ------
        DataError
            If a layout is incomplete.
        """
        for folder in (root / self.name, root):
            for layout, files in ((self.folder, tuple(self.md5)), (self.binary_folder, self.binary_files)):
                paths = [folder / layout / file for file in files]
                missing = [path.name for path in paths if not path.is_file()]
                if not missing:
                    return paths
                if len(missing) < len(paths):
                    raise DataError(
                        f"{folder / layout} lacks {', '.join(missing)}; it must hold {', '.join(files)}. "
                        f"Delete the folder and download it again with: dilution data fetch {self.name}"
                    )
        return []

    def _status(self, path: Path) -> FileStatus:
        content = _content(path)
        sha256 = hashlib.sha256(content).hexdigest()
        expected = self.md5.get(path.name)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if md5 == expected:
            return FileStatus(path, "present", sha256, len(content))
        reason = "no checksum of the original is known"
        if expected is not None:
            reason = f"its MD5 is {md5}, the original's {expected}"
        return FileStatus(path, "altered", sha256, len(content), damaged=(reason,))

    def _download(self, root: Path) -> None:
        """Download the archive, extract the files that are needed, and delete it unless it was there."""
        target = root / self.name / self.folder
        if target.is_symlink():
            raise DataError(f"{target} is a link, and files are written there. Remove it yourself.")
        was_there = (root / self.name / self.archive).exists()
        archive = download(self.archive, self.sha256, root / self.name, self.mirrors)
        try:
            target.mkdir(exist_ok=True)
            with tarfile.open(archive) as opened:
                for file in self.md5:  # by name: no other member of the archive is written anywhere
                    member = opened.extractfile(f"{self.folder}/{file}")
                    if member is None:
                        raise DataError(f"{archive} holds no file {file}; fetch it again.")
                    write_atomic(target / file, member.read(_MAX_BYTES))
        except (OSError, KeyError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(
                f"{archive} cannot be unpacked ({one_line(str(error))}). Delete it and fetch it again."
            ) from error
        if not was_there:
            archive.unlink()

    def _split(self, paths: Sequence[Path]) -> Arrays:
        parts = [self._read(path) for path in paths]
        images = np.concatenate([images for images, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        return Arrays(torch.from_numpy(images), torch.from_numpy(labels), self.classes)

    def _read(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images (n, 3, 32, 32) and labels (n,) of one file."""
        read = self._read_binary if path.suffix == ".bin" else self._read_pickle
        images, labels = read(path)
        if labels.size and labels.max() >= len(self.classes):
            raise DataError(
                f"{path} holds the label {labels.max()}; labels run from 0 to {len(self.classes) - 1}. "
                "Fetch it again."
            )
        return images.reshape(-1, *_SHAPE).copy(), labels.astype(np.int64)

    def _read_binary(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        content = np.frombuffer(_content(path), dtype=np.uint8)
        size = self.header_bytes + _PIXELS
        if content.size == 0 or content.size % size:
            raise DataError(
                f"{path} is {content.size:,} bytes long; it must hold whole records of {size:,}. It was cut "
                "off: fetch it again."
            )
        records = content.reshape(-1, size)
        return records[:, self.header_bytes :], records[:, self.header_bytes - 1].astype(np.int64)

    def _read_pickle(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        batch = read_pickle(_content(path), str(path))
        images, labels = batch.get("data"), batch.get(self.label_key)
        are_numbers = isinstance(labels, list) and all(type(label) is int and label >= 0 for label in labels)
        if (
            not isinstance(images, np.ndarray)
            or not are_numbers
            or images.shape != (len(labels or ()), _PIXELS)
        ):
            raise DataError(
                f"{path} does not hold 'data' of shape (n, {_PIXELS:,}) and n numbers under "
                f"{self.label_key!r}. Fetch it again."
            )
        return images, np.array(labels, dtype=np.int64)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a readable file. Check its permissions."
        ) from error
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes, which no original has. Fetch it again.")
    return content


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CIFAR10 = Cifar(
    name="cifar10",
    about="small colour photographs of 10 classes, by Krizhevsky",
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
    binary_folder="cifar-10-batches-bin",
    binary_files=(*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
    label_key="labels",
    header_bytes=1,
)

CIFAR100 = Cifar(
    name="cifar100",
    about="small colour photographs of 100 classes, by Krizhevsky",
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
    binary_folder="cifar-100-binary",
    binary_files=("train.bin", "test.bin"),
    label_key="fine_labels",
    header_bytes=2,
)
