"""Writing a pack: see :mod:`dilution.data.pack.reader` for what is in the file."""

import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.pack.reader import HALVES, HEAD, MAGIC, START
from dilution.errors import DataError, InputError


def write_pack(path: Path, train: Iterable[Arrays], test: Iterable[Arrays]) -> Path:
    """Write a pack. Its name appears once it is whole.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    train, test
        The halves in parts of any length, all with the same classes and image shape: only one part needs
        to be in memory.

    Raises
    ------
    InputError
        If parts differ in classes or image shape, are floats, or only some have observed labels, or a half
        has no images.
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
    file.write(bytes(START))
    shapes: set[tuple[object, ...]] = set()
    index: dict[str, NDArray[Any]] = {}
    for half, parts in zip(HALVES, (train, test), strict=True):
        kept = _Half()
        for arrays in _small(parts):
            if arrays.dtype != torch.uint8:
                raise InputError(
                    f"images are {arrays.dtype}; a pack holds uint8 only. Rows of features need no pack: "
                    "name their file itself."
                )
            shapes.add((arrays.shape, arrays.classes))
            if len(shapes) > 1:
                raise InputError(f"parts differ in image shape or classes: {shapes}; they must agree.")
            images = arrays.images
            images = images.contiguous() if isinstance(images, Tensor) else images.take(_all(arrays))
            file.write(images.numpy().data)
            kept.add(arrays, images)
        index |= kept.index(half)
    ((shape, classes),) = shapes
    index["shape"], index["classes"] = np.array(shape), np.array(classes)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **index)
    content = packed.getvalue()
    at = file.tell()
    file.write(content)
    file.seek(0)
    file.write(HEAD.pack(MAGIC, at, len(content), hashlib.sha256(content).digest()))


def _small(parts: Iterable[Arrays], images: int = 1024) -> Iterator[Arrays]:
    """Yield parts of few images: what is in a pack already is not to be read at once either."""
    for arrays in parts:
        for rows in _all(arrays).split(images):
            yield arrays if len(rows) == len(arrays) else arrays.subset(rows)


def _all(arrays: Arrays) -> Tensor:
    return torch.arange(len(arrays))


class _Half:
    """What the index keeps of the images of one half.

    Each in one growing buffer: thousands of small tensors between the large ones of images, which come and
    go, would leave the heap full of holes.
    """

    def __init__(self) -> None:
        self._labels, self._sums, self._checksums = io.BytesIO(), io.BytesIO(), io.BytesIO()
        self._observed = io.BytesIO()

    def add(self, arrays: Arrays, images: Tensor) -> None:
        """Take up the next images."""
        self._labels.write(arrays.labels.numpy().tobytes())
        if arrays.observed is not None:
            self._observed.write(arrays.observed.numpy().tobytes())
        self._sums.write(arrays.pixel_sums.transpose(0, 1).numpy().tobytes())
        checksums = [zlib.crc32(image.numpy().data) for image in images]
        self._checksums.write(np.array(checksums, dtype=np.uint32).tobytes())

    def index(self, half: str) -> dict[str, NDArray[Any]]:
        """Return its entries of the index."""
        labels = np.frombuffer(self._labels.getvalue(), np.int64)
        if not len(labels):
            raise InputError(f"the {half} half has no images; a pack needs some in both.")
        observed = np.frombuffer(self._observed.getvalue(), np.int64)
        if len(observed) not in (0, len(labels)):
            raise InputError(
                f"{len(observed):,} of {len(labels):,} images of the {half} half have an observed label; "
                "all must have one, or none."
            )
        return ({f"{half}_observed": observed} if len(observed) else {}) | {
            f"{half}_labels": labels,
            f"{half}_pixel_sums": np.frombuffer(self._sums.getvalue(), np.int64).reshape(len(labels), 2, -1),
            f"{half}_checksums": np.frombuffer(self._checksums.getvalue(), np.uint32),
        }
