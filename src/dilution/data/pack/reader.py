"""Packs: a data set in one file, whose images are read one by one and never all held in memory.

A file has three parts: a header of 4,096 bytes; the images of the train split, then those of the test split;
and an index (``.npz``) with everything else, including a checksum of every image.
"""

import hashlib
import math
import os
import shlex
import struct
import weakref
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
from dilution.data.class_checks import check_test_classes
from dilution.data.from_arrays import leave_out_unused
from dilution.data.pack.index import SPLITS, BadIndexError, parse_index
from dilution.data.splits import with_own_test_split
from dilution.errors import DataError
from dilution.utils.available_memory import available_memory
from dilution.utils.printable import printable

MAGIC = b"dilution pack 1\n"
HEADER = struct.Struct("<16sQQ32s")  # magic, start of the index, its length, its SHA-256
IMAGES_START = 4096
_SAMPLE = 8  # images of a batch that are tested for being in memory
_INDEX_COPIES = 3  # of the index while it is read
_IMAGE_COPIES = 5  # of an image while it is read: its bytes, and float32
_REMEDY = "Pack the data set again, or fetch the file again."


class PackedImages:
    """The images of one split of a pack, uint8, read from disk when they are taken.

    Nothing stays in memory but the system's cache of the file. The checksum of an image is verified when this
    process first reads it.

    Parameters
    ----------
    path
        The pack.
    start
        Position of the first image in the file, in bytes.
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
        self._arguments = path, start, shape, checksums, pixel_sums, rows
        self._path, self._start, self._checksums, self._sums = path, start, checksums, pixel_sums
        self._rows = rows
        self.shape = (shape[0] if rows is None else len(rows), *shape[1:])
        self._bytes = shape[1] * shape[2] * shape[3]
        self._unverified = np.ones(shape[0], dtype=bool)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __reduce__(self) -> tuple[type["PackedImages"], tuple[object, ...]]:
        path, *others = self._arguments
        return PackedImages, (
            path.absolute(),
            *others,
        )  # another process, in any folder, opens the file itself

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""
        return self._sums if self._rows is None else self._sums[:, self._rows]

    def take(self, rows: Tensor) -> Tensor:
        """Return images read from disk: uint8, shape (len(rows), channels, height, width).

        Raises
        ------
        DataError
            If the file ends early, cannot be read, or an image does not match its checksum.
        """
        images = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8)
        view = images.numpy().reshape(-1).data if len(rows) else memoryview(b"")
        for number, row in enumerate(self._file_rows(rows)):
            image = view[number * self._bytes : (number + 1) * self._bytes]
            try:
                read = os.preadv(self._file, [image], self._start + row * self._bytes)
            except OSError as error:
                raise DataError(f"{self._path} cannot be read ({error.strerror}). {_REMEDY}") from error
            if read != self._bytes:
                raise DataError(f"{self._path} ends before image {row}; it was cut off. {_REMEDY}")
            if self._unverified[row]:
                if zlib.crc32(image) != self._checksums[row]:
                    raise DataError(f"image {row} of {self._path} does not match its checksum. {_REMEDY}")
                self._unverified[row] = False
        return images

    def prefetch(self, rows: Tensor) -> None:
        """Have the system read images that will be taken soon, without waiting for them."""
        file_rows = self._file_rows(rows)
        sample = file_rows[:: max(1, len(file_rows) // _SAMPLE)]
        if hasattr(os, "posix_fadvise") and not all(self._in_memory(row) for row in sample):
            _prefetch_thread().submit(self._announce, file_rows)

    def _in_memory(self, row: int) -> bool:
        """Return whether the system's cache holds the first byte of an image; then prefetching costs time."""
        try:
            os.preadv(self._file, [bytearray(1)], self._start + row * self._bytes, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # reading would block, or the system cannot tell
            return False
        return True

    def _announce(self, file_rows: list[int]) -> None:
        for row in file_rows:
            start = self._start + row * self._bytes
            os.posix_fadvise(self._file, start, self._bytes, os.POSIX_FADV_WILLNEED)

    def subset(self, rows: Tensor) -> "PackedImages":
        """Return some of the images, without reading them."""
        path, start, shape, checksums, sums, _ = self._arguments
        rows = rows.cpu()
        subset = rows if self._rows is None else self._rows[rows]
        return PackedImages(path, start, shape, checksums, sums, subset)

    def _file_rows(self, rows: Tensor) -> list[int]:
        """Return the rows in the file of rows of this subset."""
        file_rows: list[int] = (rows if self._rows is None else self._rows[rows.cpu()]).tolist()
        return file_rows


@lru_cache(maxsize=1)
def _prefetch_thread() -> ThreadPoolExecutor:
    """Return the thread that announces images to the system, while this thread computes."""
    return ThreadPoolExecutor(1, "dilution-pack")


def load(path: Path) -> DataSet:
    """Return the data set in a pack, named after the file; its images stay on disk.

    Classes without images, which packs of older versions may name, are left out with a note.

    Raises
    ------
    DataError
        If the file is missing, cut off, damaged or no pack.
    """
    index, _ = _read_index(path)
    shape, classes = index["shape"].tolist(), tuple(map(printable, index["classes"].tolist()))
    notes = tuple(map(printable, index.get("notes", np.array((), np.str_)).tolist()))
    start, splits = IMAGES_START, []
    for split in SPLITS:
        labels = torch.from_numpy(index[f"{split}_labels"])
        sums = torch.from_numpy(index[f"{split}_pixel_sums"]).transpose(0, 1)
        images = PackedImages(path, start, (len(labels), *shape), index[f"{split}_checksums"], sums)
        observed, groups = (
            None if values is None else torch.from_numpy(values)
            for values in (index.get(f"{split}_{name}") for name in ("observed", "groups"))
        )
        splits.append(Arrays(images, labels, classes, observed, groups))
        start += len(labels) * math.prod(shape)
    (train, test), unused = leave_out_unused(splits)
    if train.groups is not None:  # copies were sought before the images were packed; notes speak of them
        check_test_classes(train.labels, test.labels, train.classes)
        return DataSet(path.stem, train, test, (*notes, *unused))
    return with_own_test_split(path.stem, train, test, (*notes, *unused), near=False)


def identity(path: Path) -> str:
    """Return the SHA-256 of the index of a pack, in hex; it identifies the content.

    Raises
    ------
    DataError
        As :func:`load`.
    """
    return _read_index(path)[1]


def find_damage(path: Path) -> list[str]:
    """Read a whole pack and return descriptions of its damaged parts, such as ``"train image 9"``."""
    try:
        data = load(path)
    except DataError as error:
        return [str(error)]
    damaged = []
    for split, arrays in zip(SPLITS, (data.train, data.test), strict=True):
        for row, label in enumerate(arrays.labels):
            try:
                image = Arrays(arrays.take(torch.tensor([row])), label[None], arrays.classes)
            except DataError:
                damaged.append(f"{split} image {row}")
                continue
            if not torch.equal(image.pixel_sums[:, 0], arrays.pixel_sums[:, row]):
                damaged.append(f"pixel sums of {split} image {row}")
    return damaged


def _read_index(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the index of a pack and its SHA-256 in hex."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = file.read(HEADER.size)
            if len(header) < HEADER.size or not header.startswith(MAGIC):
                raise DataError(f"{path} is no pack. Name a file that the command data pack has written.")
            _, start, length, digest = HEADER.unpack(header)
            if any(file.read(IMAGES_START - HEADER.size)):
                raise DataError(f"{path} is damaged: its header has more than it may have. {_REMEDY}")
            if not IMAGES_START <= start <= start + length <= size:
                raise DataError(f"{path} is cut off: {size:,} bytes of {start + length:,}. {_REMEDY}")
            if size > start + length:
                raise DataError(
                    f"{path} is damaged: {size - start - length:,} bytes follow its end. {_REMEDY}"
                )
            free = available_memory()
            if free is not None and _INDEX_COPIES * length > free:
                raise DataError(
                    f"{path} has an index of {length:,} bytes, which takes three times as much while it is "
                    f"read; {free / 1e9:,.1f} GB of memory are free. {_REMEDY}"
                )
            file.seek(start)
            content = file.read(length)
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist. Correct the name, or write a pack, such as that of the digits: "
            f"`dilution data pack digits {shlex.quote(str(path))}`."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {_REMEDY}") from error
    if hashlib.sha256(content).digest() != digest:
        raise DataError(f"{path} is damaged: its index does not match its checksum. {_REMEDY}")
    try:
        index = parse_index(content, start - IMAGES_START)
    except BadIndexError as error:
        raise DataError(f"{path} is no valid pack ({error}). {_REMEDY}") from error
    _check_memory(index["shape"].tolist(), path)
    return index, digest.hex()


def _check_memory(shape: list[int], path: Path) -> None:
    """Raise DataError if a single image does not fit in memory."""
    needed, free = _IMAGE_COPIES * math.prod(shape), available_memory()
    if free is not None and needed > free:
        raise DataError(
            f"{path} has images of {'×'.join(map(str, shape))}, of which one takes {needed / 1e9:,.1f} GB "
            f"while it is read; {free / 1e9:,.1f} GB of memory are free. Pack the data set with a smaller "
            "--size."
        )
