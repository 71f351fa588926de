"""MNIST and Fashion-MNIST: four IDX files each, whose checksums are verified at every reading."""

import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin.base import Description
from dilution.data.download import FileStatus, download
from dilution.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_BYTES = 16 + 60_000 * 28 * 28  # of the largest file, unpacked
_IDX_MAGIC = b"\x00\x00\x08"  # two zero bytes, then the code of unsigned bytes


@dataclass(frozen=True)
class Checksums:
    """SHA-256 of one file: of its unpacked content, which is verified, and gzipped as the mirrors send it."""

    content: str
    gzipped: str


@dataclass(frozen=True)
class IdxDataSet:
    """A :class:`BuiltinDataSet` in four IDX files with the names of MNIST's.

    Each file is looked for in ``root/NAME``, gzipped and plain. Downloads go there.

    Parameters
    ----------
    name, about
        As of :class:`Description`.
    classes
        Names of the classes, in the order of their numbers.
    mirrors
        URLs of folders with the gzipped files, tried in order.
    files
        Checksums by name of file, without ``.gz``.
    in_root
        Whether the files are also looked for in ``root`` itself. Only one data set may be: all have
        the same names of files.
    """

    name: str
    about: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: dict[str, Checksums]
    in_root: bool = False

    @property
    def description(self) -> Description:
        """Description of the data set."""
        files = tuple(f"{file}.gz" for file in self.files)
        return Description(self.name, self.about, len(self.classes), (1, 28, 28), 60_000, 10_000, files)

    def load(self, root: Path) -> DataSet:
        """Return the data set, uint8 images of shape (n, 1, 28, 28), downloading files that are missing.

        Raises
        ------
        DataError
            If a file is altered, or missing and cannot be downloaded.
        """
        missing = [file for file in self.files if self.locate(file, root) is None]
        if missing:
            for file in self.files.keys() - missing:
                self._read(file, root)  # report a damaged file before anything is downloaded
        for file in missing:
            self._download(file, root)
        return DataSet(self.name, self._split("train", root), self._split("t10k", root))

    def fetch(self, root: Path) -> list[FileStatus]:
        """Download files that are missing or altered, and return the state of each file.

        Raises
        ------
        DataError
            If the folder cannot be written to, or no mirror sends a file.
        """
        for file, status in zip(self.files, self.check(root), strict=True):
            if status.state == "present":
                continue
            try:
                self._download(file, root)
            except DataError as error:
                if status.state == "missing":
                    raise
                raise DataError(f"{status.file} is altered, and {error}") from error
        return self.check(root)

    def check(self, root: Path) -> list[FileStatus]:
        """Return the state of each of the four files; nothing is written or downloaded."""
        return [self._status(file, root) for file in self.files]

    def is_present(self, root: Path) -> bool:
        """Return whether all files exist, without verifying them."""
        return len(self.paths(root)) == len(self.files)

    def paths(self, root: Path) -> list[Path]:
        """Return the files that exist and are read."""
        located = (self.locate(file, root) for file in self.files)
        return [path for path in located if path is not None]

    def identity(self, root: Path, load: Callable[[], DataSet]) -> str:  # noqa: ARG002
        """Return an empty string: the checksums fix the content."""
        return ""

    def locate(self, file: str, root: Path) -> Path | None:
        """Return the path of a file, or None; ``root/NAME/*.gz``, where downloads go, is searched first."""
        folders = (root / self.name, root) if self.in_root else (root / self.name,)
        candidates = [folder / (file + suffix) for folder in folders for suffix in (".gz", "")]
        try:
            return next((path for path in candidates if path.is_file()), None)
        except PermissionError as error:
            raise DataError(
                f"{root} cannot be searched ({error.strerror}); it must be a folder that you may read. "
                "Name another with --data-root or DILUTION_DATA."
            ) from error

    def _download(self, file: str, root: Path) -> None:
        download(f"{file}.gz", self.files[file].gzipped, root / self.name, self.mirrors)

    def _status(self, file: str, root: Path) -> FileStatus:
        expected = self.files[file].content
        path = self.locate(file, root)
        if path is None:
            return FileStatus(root / self.name / f"{file}.gz", "missing", "", 0, expected)
        size = path.stat().st_size
        try:
            sha256 = hashlib.sha256(_unpack(path)).hexdigest()
        except DataError:
            return FileStatus(path, "altered", "", size, expected)
        return FileStatus(path, "present" if sha256 == expected else "altered", sha256, size, expected)

    def _split(self, prefix: str, root: Path) -> Arrays:
        images = torch.from_numpy(self._read(f"{prefix}-images-idx3-ubyte", root))
        labels = torch.from_numpy(self._read(f"{prefix}-labels-idx1-ubyte", root))
        return Arrays(images[:, None], labels.to(torch.int64), self.classes)

    def _read(self, file: str, root: Path) -> NDArray[np.uint8]:
        """Return the array in a file once its checksum is verified."""
        fetch = f"dilution data fetch {self.name}"
        path = self.locate(file, root)
        if path is None:
            raise DataError(f"{root} has no {file}. Download it with: {fetch}")
        expected = self.files[file].content
        remedy = f"the original has SHA-256 {expected[:12]}…. Replace it with: {fetch}"
        try:
            content = _unpack(path)
        except DataError as error:
            raise DataError(f"{error} It has {path.stat().st_size:,} bytes; unpacked, {remedy}") from error
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != expected:
            raise DataError(f"{path} is altered: SHA-256 {sha256[:12]}… unpacked; {remedy}")
        return _parse_idx(content, path)


MNIST = IdxDataSet(
    name="mnist",
    about="handwritten digits, by LeCun et al.",
    classes=tuple(str(digit) for digit in range(10)),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        "train-images-idx3-ubyte": Checksums(
            content="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            gzipped="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        "train-labels-idx1-ubyte": Checksums(
            content="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            gzipped="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        "t10k-images-idx3-ubyte": Checksums(
            content="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            gzipped="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        "t10k-labels-idx1-ubyte": Checksums(
            content="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            gzipped="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    },
    in_root=True,
)

FASHION_MNIST = IdxDataSet(
    name="fashion-mnist",
    about="photographs of clothing in MNIST's format, by Xiao et al.",
    classes=(
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    files={
        "train-images-idx3-ubyte": Checksums(
            content="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            gzipped="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        "train-labels-idx1-ubyte": Checksums(
            content="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            gzipped="a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        "t10k-images-idx3-ubyte": Checksums(
            content="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            gzipped="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        "t10k-labels-idx1-ubyte": Checksums(
            content="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            gzipped="67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    },
)


def _unpack(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is gzipped."""
    try:
        with path.open("rb") as file:
            packed = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a readable file. "
            "Check its name and permissions."
        ) from error
    content = packed
    if packed.startswith(_GZIP_MAGIC):
        try:
            with gzip.open(io.BytesIO(packed)) as file:
                content = file.read(_MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} cannot be unpacked ({error}); it must be a whole gzip file. Delete it and fetch it "
                "again."
            ) from error
    if max(len(packed), len(content)) > _MAX_BYTES:
        raise DataError(
            f"{path} holds more than {_MAX_BYTES:,} bytes, which no original does. Delete it and fetch it "
            "again."
        )
    return content


def _parse_idx(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array in unpacked IDX bytes, writable; messages name `path`.

    The header is the code of the type, the number of axes and the length of each.
    """
    if len(content) < 4 or not content.startswith(_IDX_MAGIC):
        raise DataError(
            f"{path} starts with the bytes {content[:4].hex(' ') or '(none)'}; an IDX file of "
            "unsigned bytes starts with 00 00 08. Delete it and fetch it again."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(
            f"{path} is {len(content):,} bytes long; its header alone takes {start}. "
            "It was cut off: delete it and fetch it again."
        )
    shape = tuple(np.frombuffer(content[4:start], dtype=">u4").tolist())
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise DataError(
            f"{path} is {len(content):,} bytes long unpacked; its header announces {expected:,} "
            f"(shape {'×'.join(map(str, shape))}). Delete it and fetch it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()
