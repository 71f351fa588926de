"""Packs: a data set in one file, read picture by picture and never held in memory.

A file has three parts: a page that says what it is; the pictures of both halves, one after the other;
and an index (``.npz``) of everything else, with a checksum of every picture.
"""

import hashlib
import io
import os
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet
from dilution.errors import DataError, InputError

_MAGIC = b"dilution pack 1\n"
_HEAD = struct.Struct("<16sQQ32s")  # magic, where the index starts, its length, its SHA-256
_START = 4096
_HALVES = ("train", "test")


class Packed:
    """The pictures of one half of a pack, uint8, read from disk when they are taken.

    Reading leaves nothing in memory but what the system keeps of the file. A picture's
    checksum is compared the first time that this process reads it.

    Parameters
    ----------
    path
        The pack.
    start
        Where its pictures start, in bytes.
    shape
        (n, channels, height, width).
    checksums
        CRC-32 of each picture, uint32, shape (n,).
    pixel_sums
        As :attr:`Arrays.pixel_sums`.
    rows
        Which of the pictures, int64. Default: all.
    """

    def __init__(
        self,
        path: Path,
        start: int,
        shape: tuple[int, int, int, int],
        checksums: NDArray[np.uint32],
        pixel_sums: Tensor,
        rows: Tensor | None = None,
    ) -> None:
        self._made_of = path, start, shape, checksums, pixel_sums, rows
        self._path, self._start, self._checksums, self._sums = path, start, checksums, pixel_sums
        self._rows = rows
        self.shape = (shape[0] if rows is None else len(rows), *shape[1:])
        self._bytes = shape[1] * shape[2] * shape[3]
        self._unread = np.ones(shape[0], dtype=bool)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[type["Packed"], tuple[object, ...]]:
        return Packed, self._made_of  # another process opens the file for itself

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""
        return self._sums if self._rows is None else self._sums[:, self._rows]

    def take(self, rows: Tensor) -> Tensor:
        """Read pictures: uint8, shape (len(rows), channels, height, width).

        Raises
        ------
        DataError
            If the file ends early, cannot be read, or a picture is not what it was when it was packed.
        """
        out = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8)
        view = out.numpy().reshape(-1).data if len(rows) else memoryview(b"")
        for place, row in enumerate(self._places(rows)):
            into = view[place * self._bytes : (place + 1) * self._bytes]
            try:
                read = os.preadv(self._file, [into], self._start + row * self._bytes)
            except OSError as error:
                raise DataError(f"{self._path} cannot be read ({error.strerror}). {_REMEDY}") from error
            if read != self._bytes:
                raise DataError(f"{self._path} ends before picture {row}; it was cut off. {_REMEDY}")
            if self._unread[row]:
                if zlib.crc32(into) != self._checksums[row]:
                    raise DataError(f"picture {row} of {self._path} does not fit its checksum. {_REMEDY}")
                self._unread[row] = False
        return out

    def prefetch(self, rows: Tensor) -> None:
        """Ask the system to read pictures that will be taken soon; does not wait for them."""
        if hasattr(os, "posix_fadvise"):
            _reader().submit(self._announce, self._places(rows))

    def _announce(self, places: list[int]) -> None:
        for row in places:
            at = self._start + row * self._bytes
            os.posix_fadvise(self._file, at, self._bytes, os.POSIX_FADV_WILLNEED)

    def subset(self, rows: Tensor) -> "Packed":
        """Return some of the pictures, without reading them."""
        path, start, shape, checksums, sums, _ = self._made_of
        return Packed(path, start, shape, checksums, sums, rows if self._rows is None else self._rows[rows])

    def _places(self, rows: Tensor) -> list[int]:
        places: list[int] = (rows if self._rows is None else self._rows[rows]).tolist()
        return places


@lru_cache(maxsize=1)
def _reader() -> ThreadPoolExecutor:
    """Return the thread that speaks to the system of pictures to come, while this one computes."""
    return ThreadPoolExecutor(1, "dilution-pack")


_REMEDY = "Pack the data set again, or fetch the file again."


def load(path: Path) -> DataSet:
    """Return the data set in a pack, named after the file. Pictures stay on disk.

    Raises
    ------
    DataError
        If the file is missing, cut off, damaged or no pack.
    """
    index, _ = _index(path)
    shape, classes = index["shape"].tolist(), tuple(index["classes"].tolist())
    start, halves = _START, []
    for half in _HALVES:
        labels = torch.from_numpy(index[f"{half}_labels"])
        whole = (len(labels), *shape)
        sums = torch.from_numpy(index[f"{half}_pixel_sums"]).transpose(0, 1)
        halves.append(Arrays(Packed(path, start, whole, index[f"{half}_checksums"], sums), labels, classes))
        start += len(labels) * shape[0] * shape[1] * shape[2]
    return DataSet(path.stem, *halves)


def identity(path: Path) -> str:
    """Return what identifies a pack's content: the SHA-256 of its index, which covers every picture.

    Raises
    ------
    DataError
        As :func:`load`.
    """
    return _index(path)[1]


def altered(path: Path) -> list[str]:
    """Read a whole pack and return the parts of it that are damaged, in words; none if it is sound."""
    try:
        data = load(path)
    except DataError as error:
        return [str(error)]
    found = []
    for half, arrays in zip(_HALVES, (data.train, data.test), strict=True):
        for row in range(len(arrays)):
            try:
                arrays.take(torch.tensor([row]))
            except DataError:
                found.append(f"{half} picture {row}")
    return found


class _Half:
    """What the index keeps of the pictures of one half.

    Each in one growing buffer: thousands of small tensors between the large ones of pictures, which come and
    go, would leave the heap full of holes.
    """

    def __init__(self) -> None:
        self._labels, self._sums, self._checksums = io.BytesIO(), io.BytesIO(), io.BytesIO()

    def add(self, arrays: Arrays, pictures: Tensor) -> None:
        """Take up the next pictures."""
        self._labels.write(arrays.labels.numpy().tobytes())
        self._sums.write(arrays.pixel_sums.transpose(0, 1).numpy().tobytes())
        checksums = [zlib.crc32(picture.numpy().data) for picture in pictures]
        self._checksums.write(np.array(checksums, dtype=np.uint32).tobytes())

    def index(self, half: str) -> dict[str, NDArray[Any]]:
        """Return its entries of the index."""
        labels = np.frombuffer(self._labels.getvalue(), np.int64)
        if not len(labels):
            raise InputError(f"the {half} half has no pictures; a pack needs some in both.")
        return {
            f"{half}_labels": labels,
            f"{half}_pixel_sums": np.frombuffer(self._sums.getvalue(), np.int64).reshape(len(labels), 2, -1),
            f"{half}_checksums": np.frombuffer(self._checksums.getvalue(), np.uint32),
        }


def write(path: Path, train: Iterable[Arrays], test: Iterable[Arrays]) -> Path:
    """Write a pack. Its name appears once it is whole.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    train, test
        The halves in parts of any length, all with the same classes and picture shape: only one part needs
        to be in memory.

    Raises
    ------
    InputError
        If parts differ in classes or picture shape, or a half has none.
    DataError
        If the file cannot be written. Nothing is left behind then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            _write(file, train, test)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}. Choose a file in a folder that you may "
            "write to and that has room."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(file: BinaryIO, train: Iterable[Arrays], test: Iterable[Arrays]) -> None:
    file.write(bytes(_START))
    shapes: set[tuple[object, ...]] = set()
    index: dict[str, NDArray[Any]] = {}
    for half, parts in zip(_HALVES, (train, test), strict=True):
        kept = _Half()
        for arrays in _small(parts):
            shapes.add((arrays.shape, arrays.classes))
            if len(shapes) > 1:
                raise InputError(f"parts differ in picture shape or classes: {shapes}; they must agree.")
            pictures = arrays.take(torch.arange(len(arrays)))
            file.write(pictures.numpy().data)
            kept.add(arrays, pictures)
        index |= kept.index(half)
    ((shape, classes),) = shapes
    index["shape"], index["classes"] = np.array(shape), np.array(classes)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **index)
    content = packed.getvalue()
    at = file.tell()
    file.write(content)
    file.seek(0)
    file.write(_HEAD.pack(_MAGIC, at, len(content), hashlib.sha256(content).digest()))


def _small(parts: Iterable[Arrays], pictures: int = 1024) -> Iterator[Arrays]:
    """Yield parts of few pictures: what is in a pack already is not to be read at once either."""
    for arrays in parts:
        for rows in torch.arange(len(arrays)).split(pictures):
            yield arrays.subset(rows)


def _index(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the index of a pack and its SHA-256 in hex."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size or not head.startswith(_MAGIC):
                raise DataError(f"{path} is no pack; `dilution data pack` writes one.")
            _, at, length, digest = _HEAD.unpack(head)
            file.seek(at)
            content = file.read(length)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; `dilution data pack` writes one.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error
    if hashlib.sha256(content).digest() != digest:
        raise DataError(f"{path} is cut off or damaged: its index does not fit its checksum. {_REMEDY}")
    with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
        return dict(loaded), digest.hex()
