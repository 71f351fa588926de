"""Writer of packs; :mod:`dilution.data.pack.reader` describes the file."""

import hashlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.pack.index import SPLITS
from dilution.data.pack.reader import HEADER, IMAGES_START, MAGIC
from dilution.errors import DataError, InputError
from dilution.utils.atomic import create_file, flush_folder, temporary_path

_BLOCK = 1024  # images that are written at once


def write_pack(
    path: Path, train: Iterable[Arrays], test: Iterable[Arrays], notes: Sequence[str] = ()
) -> Path:
    """Write a pack and return its path; the file has its name only once it is complete.

    Parameters
    ----------
    path
        File to write; an existing one is replaced.
    train, test
        Splits in parts of any length, all with the same classes and image shape. Only one part needs to be in
        memory.
    notes
        Notes of the data set, such as :attr:`DataSet.notes`, which it has again when the pack is opened.

    Raises
    ------
    InputError
        If parts differ in classes or image shape, hold floats, or only some have observed labels or groups,
        or a split has no images.
    DataError
        If the file cannot be written; no part of it is left then.
    """
    part = temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with create_file(part) as file:
            _write(file, train, test, notes)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}. Choose a folder that you may write to "
            "and that has room."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _write(file: BinaryIO, train: Iterable[Arrays], test: Iterable[Arrays], notes: Sequence[str]) -> None:
    file.write(bytes(IMAGES_START))
    shapes: set[tuple[object, ...]] = set()
    index: dict[str, NDArray[Any]] = {}
    for split, parts in zip(SPLITS, (train, test), strict=True):
        split_index = _SplitIndex(split)
        for arrays in _blocks(parts):
            if arrays.dtype != torch.uint8:
                raise InputError(
                    f"images are {arrays.dtype}; a pack holds uint8 only. Rows of features need no pack: "
                    "name their file itself."
                )
            shapes.add((arrays.shape, arrays.classes))
            if len(shapes) > 1:
                raise InputError(f"parts differ in image shape or classes: {shapes}; they must agree.")
            images = arrays.images
            images = images.contiguous() if isinstance(images, Tensor) else images.take(_all_rows(arrays))
            file.write(images.numpy().data)
            split_index.add(arrays, images)
        index |= split_index.entries(bool(notes))
    ((shape, classes),) = shapes
    index["shape"], index["classes"] = np.array(shape), np.array(classes)
    if notes:  # packs without notes are the same bytes as those of older versions
        index["notes"] = np.array(notes)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **index)
    content = buffer.getvalue()
    start = file.tell()
    file.write(content)
    file.seek(0)
    file.write(HEADER.pack(MAGIC, start, len(content), hashlib.sha256(content).digest()))


def _blocks(parts: Iterable[Arrays]) -> Iterator[Arrays]:
    """Yield parts of at most _BLOCK images, since the images of another pack are not read at once either."""
    for arrays in parts:
        for rows in _all_rows(arrays).split(_BLOCK):
            yield arrays if len(rows) == len(arrays) else arrays.subset(rows)


def _all_rows(arrays: Arrays) -> Tensor:
    return torch.arange(len(arrays))


class _SplitIndex:
    """Entries of the index for the images of one split.

    Each is one growing buffer: thousands of small tensors, allocated between large ones for images, would
    fragment the heap.
    """

    def __init__(self, split: str) -> None:
        self._split = split
        self._labels, self._sums, self._checksums = io.BytesIO(), io.BytesIO(), io.BytesIO()
        self._observed, self._groups = io.BytesIO(), io.BytesIO()

    def add(self, arrays: Arrays, images: Tensor) -> None:
        """Append the next images."""
        self._labels.write(arrays.labels.numpy().tobytes())
        if arrays.observed is not None:
            self._observed.write(arrays.observed.numpy().tobytes())
        if arrays.groups is not None:
            self._groups.write(arrays.groups.numpy().tobytes())
        self._sums.write(arrays.pixel_sums.transpose(0, 1).numpy().tobytes())
        checksums = [zlib.crc32(image.numpy().data) for image in images]
        self._checksums.write(np.array(checksums, dtype=np.uint32).tobytes())

    def entries(self, has_notes: bool) -> dict[str, NDArray[Any]]:
        """Return the arrays of the index by name.

        Groups are among them where examples share one, or notes may speak of copies.
        """
        split = self._split
        labels = np.frombuffer(self._labels.getvalue(), np.int64)
        if not len(labels):
            raise InputError(f"the {split} split has no images; a pack needs some in both splits.")
        observed = np.frombuffer(self._observed.getvalue(), np.int64)
        if len(observed) not in (0, len(labels)):
            raise InputError(
                f"{len(observed):,} of {len(labels):,} images of the {split} split have an observed label; "
                "all must have one, or none."
            )
        groups = np.frombuffer(self._groups.getvalue(), np.int64)
        if len(groups) not in (0, len(labels)):
            raise InputError(
                f"{len(groups):,} of {len(labels):,} images of the {split} split have a group; all must have "
                "one, or none."
            )
        has_groups = len(groups) > 0 and (has_notes or len(np.unique(groups)) < len(groups))
        optional = {f"{split}_observed": observed} if len(observed) else {}
        if has_groups:
            optional[f"{split}_groups"] = groups
        return optional | {
            f"{split}_labels": labels,
            f"{split}_pixel_sums": np.frombuffer(self._sums.getvalue(), np.int64).reshape(len(labels), 2, -1),
            f"{split}_checksums": np.frombuffer(self._checksums.getvalue(), np.uint32),
        }
