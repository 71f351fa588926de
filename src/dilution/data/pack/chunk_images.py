"""Chunks of decoded images as lazy images, of which a pack is written."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.formats.image_batch import ImageBatch, pixel_ranges
from dilution.data.near_copies import scale_down
from dilution.data.pack.chunk_files import DEEP, IMAGES, SCALED, Chunk, pixel_sums, read_array

_OPEN_CHUNKS = 2


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
        self._chunks, self._size = chunks, size
        self._verified: set[tuple[int, str]] = set()
        self._ranges = pixel_ranges(chunk.info for chunk in chunks)
        counts = [len(chunk.info.labels) for chunk in chunks]
        self._starts = np.cumsum([0, *counts])[:-1]
        self._rows = torch.arange(sum(counts))
        self.shape = len(self._rows), 3, size, size
        # The least recently used chunks are closed, so that a folder of any size fits.
        self._open = lru_cache(maxsize=_OPEN_CHUNKS)(self._open_chunk)
        self._open_scaled = lru_cache(maxsize=_OPEN_CHUNKS)(lambda number: self._load(number, SCALED))
        self._sums = torch.from_numpy(np.concatenate([chunk.sums for chunk in chunks], axis=1))
        deep = [start + chunk.deep_rows for start, chunk in zip(self._starts, chunks, strict=True)]
        self._deep_rows = np.concatenate(deep)
        for row in self._deep_rows.tolist():
            self._sums[:, row] = torch.from_numpy(pixel_sums(self.take(torch.tensor([row]))))[:, 0]

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
        if SCALED not in chunk.checksums or np.isin(inner, chunk.deep_rows).any():
            return scale_down(self.take(rows))
        return torch.from_numpy(self._open_scaled(chunk_number)[inner])

    def _chunk_numbers(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self._starts, numbers, side="right") - 1

    def _open_chunk(self, number: int) -> ImageBatch:
        chunk = self._chunks[number]
        has_deep = len(chunk.deep_rows) > 0
        deep = self._load(number, DEEP) if has_deep else np.empty((0, 2, 1, 1), np.float32)
        return ImageBatch(chunk.info, self._load(number, IMAGES), deep, chunk.deep_rows)

    def _load(self, number: int, kind: str) -> NDArray[Any]:
        """Return an array of images, whose checksum is verified when it is first opened."""
        array = read_array(
            self._chunks[number], kind, self._size, verify=(number, kind) not in self._verified
        )
        self._verified.add((number, kind))
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
