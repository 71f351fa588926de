"""Files of decoded images, from which a pack is written: chunks of a folder, read as lazy images.

A chunk is one ``.npz`` file with labels, notes and sums of pixels, and up to three ``.npy`` files with
images, which are mapped into memory and read row by row. The ``.npz`` file is written last: a chunk that has
it is complete.
"""

import io
import re
import secrets
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.formats.image_batch import BatchInfo, ImageBatch, pixel_ranges
from dilution.data.formats.image_notes import Event
from dilution.data.formats.image_pixels import Depth
from dilution.data.near_copies import scale_down
from dilution.errors import DataError
from dilution.utils.atomic import create_file
from dilution.utils.npz_size import check_arrays_fit
from dilution.utils.printable import one_line

_OPEN_CHUNKS = 2
_DAMAGED = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
_IMAGES, _DEEP, _SCALED = "images", "deep", "scaled"
_CHUNK_FILE = re.compile(r"\d{6,}(\.\d+)?\.npz|\d{6,}\.(images|deep|scaled)(\.\d+)?\.npy")
"""Names of the files of a chunk, complete or not."""


def save_chunk(batch: ImageBatch, path: Path, *, scaled: bool = True) -> None:
    """Write a chunk.

    Parameters
    ----------
    batch
        Its images.
    path
        The ``.npz`` file.
    scaled
        Whether images are kept in the size in which near-copies are sought, too, if that is smaller.
    """
    info = batch.info
    images = torch.from_numpy(batch.images)
    _save_array(path, _IMAGES, batch.images)
    if len(batch.deep):
        _save_array(path, _DEEP, batch.deep)
    if scaled and len(images):
        small = torch.cat([scale_down(image[None]) for image in images])
        if small.shape != images.shape:
            _save_array(path, _SCALED, small.numpy())
    content = io.BytesIO()
    np.savez(
        content,
        labels=info.labels,
        sums=_pixel_sums(images),
        files=_table(list(zip(info.names, info.formats, strict=True)), 2),
        skipped=_table(info.skipped, 2),
        converted=_table(info.converted, 4),
        deep_rows=batch.deep_rows,
        depth_kinds=_table([(depth.kind,) for depth in info.depths], 1),
        depth_ranges=np.array([depth[1:] for depth in info.depths], dtype=np.float64).reshape(-1, 2),
    )
    _write(path, [content.getbuffer()])


def delete_chunks(folder: Path) -> bool:
    """Delete the chunks in a folder, and the folder if nothing else is in it; return whether it is gone.

    Parameters
    ----------
    folder
        A folder of chunks, or of anything that somebody has put there.
    """
    for path in folder.iterdir():
        if _CHUNK_FILE.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
            path.unlink()
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True


class Chunk(NamedTuple):
    """A chunk without its images.

    Parameters
    ----------
    path
        Its ``.npz`` file.
    info
        Labels, names and notes.
    sums
        As :attr:`Arrays.pixel_sums`, int64, shape (2, n, 3); those of images of more than 8 bits are not
        filled in yet.
    deep_rows
        As :attr:`ImageBatch.deep_rows`.
    """

    path: Path
    info: BatchInfo
    sums: NDArray[np.int64]
    deep_rows: NDArray[np.int64]


def open_chunk(path: Path, size: int) -> Chunk:
    """Return a chunk that :func:`save_chunk` wrote.

    Parameters
    ----------
    path
        The ``.npz`` file.
    size
        Height and width of its images in pixels.

    Raises
    ------
    DataError
        If the files are damaged, or others than were written.
    """
    try:
        with path.open("rb") as file:
            check_arrays_fit(file)
        chunk = _read_chunk(path)
        n = len(chunk.info.labels)
        images = np.load(_array_path(path, _IMAGES), mmap_mode="r")
        shapes_fit = images.shape == (n, 3, size, size) and chunk.sums.shape == (2, n, 3)
        if not shapes_fit or images.dtype != np.uint8 or chunk.info.labels.shape != (n,):
            raise ValueError("its images are not those of its labels")
    except _DAMAGED as error:
        raise DataError(
            f"{path} is no chunk of decoded images ({one_line(str(error))}). Delete {path.parent}, and run "
            "the same command again."
        ) from error
    return chunk


def _read_chunk(path: Path) -> Chunk:
    with np.load(path, allow_pickle=False) as arrays:
        ranges = zip(arrays["depth_kinds"][:, 0].tolist(), arrays["depth_ranges"].tolist(), strict=True)
        files = arrays["files"]
        info = BatchInfo(
            arrays["labels"],
            tuple(files[:, 0].tolist()),
            tuple((name, reason) for name, reason in arrays["skipped"].tolist()),
            tuple(
                Event(kind, name, detail, int(number))
                for kind, name, detail, number in arrays["converted"].tolist()
            ),
            tuple(Depth(kind, low, high) for kind, (low, high) in ranges),
            tuple(files[:, 1].tolist()),
        )
        return Chunk(path, info, arrays["sums"], arrays["deep_rows"])


class ChunkImages:
    """The images of several chunks, uint8, which are read from disk when they are taken.

    Parameters
    ----------
    chunks
        All chunks of a folder, from which the ranges of images of more than 8 bits follow.
    size
        Height and width in pixels.
    """

    def __init__(self, chunks: Sequence[Chunk], size: int) -> None:
        self._chunks = chunks
        self._ranges = pixel_ranges(chunk.info for chunk in chunks)
        counts = [len(chunk.info.labels) for chunk in chunks]
        self._starts = np.cumsum([0, *counts])[:-1]
        self._rows = torch.arange(sum(counts))
        self.shape = len(self._rows), 3, size, size
        # The least recently used chunks are closed, so that a folder of any size fits.
        self._open = lru_cache(maxsize=_OPEN_CHUNKS)(self._open_chunk)
        self._open_scaled = lru_cache(maxsize=_OPEN_CHUNKS)(lambda number: self._load(number, _SCALED))
        self._sums = torch.from_numpy(np.concatenate([chunk.sums for chunk in chunks], axis=1))
        deep = [start + chunk.deep_rows for start, chunk in zip(self._starts, chunks, strict=True)]
        self._deep_rows = np.concatenate(deep)
        for row in self._deep_rows.tolist():
            self._sums[:, row] = torch.from_numpy(_pixel_sums(self.take(torch.tensor([row]))))[:, 0]

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""
        return self._sums[:, self._rows]

    def take(self, rows: Tensor) -> Tensor:
        """Return images: uint8, shape (len(rows), 3, size, size)."""
        numbers = self._rows[rows].numpy()
        images = np.empty((len(numbers), *self.shape[1:]), dtype=np.uint8)
        chunk_numbers = self._chunk_numbers(numbers)
        for chunk_number in np.unique(chunk_numbers).tolist():
            places = np.flatnonzero(chunk_numbers == chunk_number)
            batch = self._open(chunk_number)
            inner = numbers[places] - self._starts[chunk_number]
            images[places] = batch.images[inner]
            for place, row in zip(places, inner, strict=True):
                if len(batch.deep_rows) and np.isin(row, batch.deep_rows):
                    images[place] = batch.scaled(row, self._ranges)
        return torch.from_numpy(images)

    def take_scaled(self, rows: Tensor) -> Tensor:
        """Return images as :func:`dilution.data.near_copies.scale_down` does."""
        numbers = self._rows[rows].numpy()
        chunk_numbers = self._chunk_numbers(numbers)
        parts = torch.empty(0)
        for chunk_number in np.unique(chunk_numbers).tolist():
            places = np.flatnonzero(chunk_numbers == chunk_number)
            inner = numbers[places] - self._starts[chunk_number]
            scaled = self._scaled(chunk_number, inner, rows[torch.from_numpy(places)])
            if not len(parts):
                parts = torch.empty(len(rows), *scaled.shape[1:])
            parts[torch.from_numpy(places)] = scaled
        return parts

    def _scaled(self, chunk_number: int, inner: NDArray[np.int64], rows: Tensor) -> Tensor:
        """Return images of one chunk scaled down."""
        chunk = self._chunks[chunk_number]
        if not _array_path(chunk.path, _SCALED).exists() or np.isin(inner, chunk.deep_rows).any():
            return scale_down(self.take(rows))
        return torch.from_numpy(self._open_scaled(chunk_number)[inner])

    def _chunk_numbers(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, numbers, side="right") - 1

    def _open_chunk(self, number: int) -> ImageBatch:
        chunk = self._chunks[number]
        has_deep = len(chunk.deep_rows) > 0
        deep = self._load(number, _DEEP) if has_deep else np.empty((0, 2, 1, 1), np.float32)
        return ImageBatch(chunk.info, self._load(number, _IMAGES), deep, chunk.deep_rows)

    def _load(self, number: int, kind: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(_array_path(self._chunks[number].path, kind), mmap_mode="r")
        return array

    def prefetch(self, rows: Tensor) -> None:
        """Do nothing: images are read in the order of their files."""

    def subset(self, rows: Tensor) -> "ChunkImages":
        """Return some of the images, without reading them."""
        subset = object.__new__(type(self))
        vars(subset).update(vars(self))
        subset._rows = self._rows[rows]
        subset.shape = len(subset._rows), *self.shape[1:]
        return subset


def _pixel_sums(images: Tensor) -> NDArray[np.int64]:
    if not len(images):
        return np.empty((2, 0, 3), dtype=np.int64)
    return Arrays(images, torch.zeros(len(images), dtype=torch.int64)).pixel_sums.numpy()


def _array_path(path: Path, kind: str) -> Path:
    """Return the file of an array of images beside the ``.npz`` file of their chunk."""
    return path.with_suffix(f".{kind}.npy")


def _save_array(path: Path, kind: str, array: NDArray[Any]) -> None:
    array, header = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    _write(_array_path(path, kind), [header.getbuffer(), array.reshape(-1).view(np.uint8).data])


def _write(path: Path, parts: Sequence[memoryview]) -> None:
    """Write a file that has its name once it is complete; until then nobody can foresee its name."""
    temporary = path.with_name(f"{path.stem}.{secrets.randbits(64)}{path.suffix}")
    with create_file(temporary) as file:  # np.save does not say why a file could not be written
        for part in parts:
            file.write(part)
    temporary.replace(path)


def _table(rows: Sequence[Sequence[object]], columns: int) -> NDArray[np.str_]:
    return np.array([list(map(str, row)) for row in rows], dtype=np.str_).reshape(-1, columns)
