"""Packs: a data set in one file, read image by image and never held in memory.

A file has three parts: a page that says what it is; the images of both halves, one after the other;
and an index (``.npz``) of everything else, with a checksum of every image.
"""

import hashlib
import io
import math
import os
import struct
import weakref
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet
from dilution.errors import DataError

MAGIC = b"dilution pack 1\n"
HEAD = struct.Struct("<16sQQ32s")  # magic, where the index starts, its length, its SHA-256
START = 4096
_SAMPLE = 8  # images of a batch that tell whether the others are in memory
HALVES = ("train", "test")


class Packed:
    """The images of one half of a pack, uint8, read from disk when they are taken.

    Reading leaves nothing in memory but what the system keeps of the file. An image's
    checksum is compared the first time that this process reads it.

    Parameters
    ----------
    path
        The pack.
    start
        Where its images start, in bytes.
    shape
        (n, channels, height, width).
    checksums
        CRC-32 of each image, uint32, shape (n,).
    pixel_sums
        As :attr:`Arrays.pixel_sums`.
    rows
        Which of the images, int64. Default: all.
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
        path, *others = self._made_of
        return Packed, (path.absolute(), *others)  # another process opens the file for itself, from anywhere

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""
        return self._sums if self._rows is None else self._sums[:, self._rows]

    def take(self, rows: Tensor) -> Tensor:
        """Read images: uint8, shape (len(rows), channels, height, width).

        Raises
        ------
        DataError
            If the file ends early, cannot be read, or an image is not what it was when it was packed.
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
                raise DataError(f"{self._path} ends before image {row}; it was cut off. {_REMEDY}")
            if self._unread[row]:
                if zlib.crc32(into) != self._checksums[row]:
                    raise DataError(f"image {row} of {self._path} does not fit its checksum. {_REMEDY}")
                self._unread[row] = False
        return out

    def prefetch(self, rows: Tensor) -> None:
        """Ask the system to read images that will be taken soon; does not wait for them."""
        places = self._places(rows)
        sample = places[:: max(1, len(places) // _SAMPLE)]
        if hasattr(os, "posix_fadvise") and not all(self._in_memory(row) for row in sample):
            _reader().submit(self._announce, places)

    def _in_memory(self, row: int) -> bool:
        """Return whether the system holds the start of an image: then asking for it would only cost time."""
        try:
            os.preadv(self._file, [bytearray(1)], self._start + row * self._bytes, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # it would have to wait, or cannot tell
            return False
        return True

    def _announce(self, places: list[int]) -> None:
        for row in places:
            at = self._start + row * self._bytes
            os.posix_fadvise(self._file, at, self._bytes, os.POSIX_FADV_WILLNEED)

    def subset(self, rows: Tensor) -> "Packed":
        """Return some of the images, without reading them."""
        path, start, shape, checksums, sums, _ = self._made_of
        rows = rows.cpu()
        return Packed(path, start, shape, checksums, sums, rows if self._rows is None else self._rows[rows])

    def _places(self, rows: Tensor) -> list[int]:
        places: list[int] = (rows if self._rows is None else self._rows[rows.cpu()]).tolist()
        return places


@lru_cache(maxsize=1)
def _reader() -> ThreadPoolExecutor:
    """Return the thread that speaks to the system of images to come, while this one computes."""
    return ThreadPoolExecutor(1, "dilution-pack")


_REMEDY = "Pack the data set again, or fetch the file again."


def load(path: Path) -> DataSet:
    """Return the data set in a pack, named after the file. Images stay on disk.

    Raises
    ------
    DataError
        If the file is missing, cut off, damaged or no pack.
    """
    index, _ = _index(path)
    shape, classes = index["shape"].tolist(), tuple(index["classes"].tolist())
    start, halves = START, []
    for half in HALVES:
        labels = torch.from_numpy(index[f"{half}_labels"])
        whole = (len(labels), *shape)
        sums = torch.from_numpy(index[f"{half}_pixel_sums"]).transpose(0, 1)
        images = Packed(path, start, whole, index[f"{half}_checksums"], sums)
        observed = index.get(f"{half}_observed")
        halves.append(
            Arrays(images, labels, classes, None if observed is None else torch.from_numpy(observed))
        )
        start += len(labels) * shape[0] * shape[1] * shape[2]
    train, test = halves
    return DataSet(path.stem, train, test)


def identity(path: Path) -> str:
    """Return what identifies a pack's content: the SHA-256 of its index, which covers every image.

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
    for half, arrays in zip(HALVES, (data.train, data.test), strict=True):
        for row in range(len(arrays)):
            try:
                arrays.take(torch.tensor([row]))
            except DataError:
                found.append(f"{half} image {row}")
    return found


def _index(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the index of a pack and its SHA-256 in hex."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(HEAD.size)
            if len(head) < HEAD.size or not head.startswith(MAGIC):
                raise DataError(f"{path} is no pack; `dilution data pack` writes one.")
            _, at, length, digest = HEAD.unpack(head)
            if not START <= at <= at + length <= size:
                raise DataError(f"{path} is cut off: {size:,} bytes of {at + length:,}. {_REMEDY}")
            file.seek(at)
            content = file.read(length)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; `dilution data pack` writes one.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error
    if hashlib.sha256(content).digest() != digest:
        raise DataError(f"{path} is damaged: its index does not fit its checksum. {_REMEDY}")
    try:
        index = _arrays(content)
        _check(index, at - START)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no valid pack ({error}). {_REMEDY}") from error
    return index, digest.hex()


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an index. A checksum proves that it is whole, not who wrote it."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in packed.infolist()):
            raise ValueError("its index is compressed")  # a small one could unpack to any size
    with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
        return dict(loaded)


def _check(index: dict[str, NDArray[Any]], images: int) -> None:
    """Raise ValueError or KeyError unless the entries fit each other and so many bytes of images."""
    shape, classes = index["shape"], index["classes"]
    if shape.shape != (3,) or shape.dtype != np.int64 or (shape < 1).any():
        raise ValueError("the image shape is not three whole numbers")
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise ValueError("the names of the classes are no text")
    count = 0
    for half in HALVES:
        labels, checksums = index[f"{half}_labels"], index[f"{half}_checksums"]
        count += len(labels)
        if labels.dtype != np.int64 or labels.ndim != 1 or len(labels) == 0:
            raise ValueError(f"{half} labels are no whole numbers")
        if not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f"{half} labels are no numbers of classes")
        observed = index.get(f"{half}_observed", labels)
        if observed.dtype != np.int64 or observed.shape != labels.shape:
            raise ValueError(f"{half} observed labels are not one for each image")
        if not 0 <= observed.min() <= observed.max() < len(classes):
            raise ValueError(f"{half} observed labels are no numbers of classes")
        if checksums.dtype != np.uint32 or checksums.shape != labels.shape:
            raise ValueError(f"{half} checksums are not one for each image")
        sums = index[f"{half}_pixel_sums"]
        if sums.dtype != np.int64 or sums.shape != (len(labels), 2, shape[0]):
            raise ValueError(f"{half} pixel sums are not two for each image and channel")
    if count * math.prod(shape.tolist()) != images:
        raise ValueError(f"{count} images of {shape.tolist()} are not {images} bytes")
