"""Examples with equal features or pixels, found by hashes and compared exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.group_numbers import Ints, number_groups

if TYPE_CHECKING:
    from dilution.data.arrays import LazyImages

_CHUNK = 1 << 12  # images that are hashed at once
_CACHED = 1 << 18  # bytes that are mixed at once, where that is enough rows
_LEAST_ROWS = 1 << 10  # that are mixed at once where _LARGEST allows: they cost little more than one
_LARGEST = 1 << 25  # bytes that are mixed at once in order to have so many rows
_START, _FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64
_HALF = np.uint64(32)


def is_copy_of(images: Tensor | LazyImages, others: Tensor | LazyImages) -> NDArray[np.bool_]:
    """Return which of the others equal one of the images, bool, shape (others,)."""
    keys, other_keys = _keys(images), _keys(others)
    is_copy = np.isin(other_keys, keys)
    hashes, other_hashes = _hashes_of(images, np.isin(keys, other_keys)), _hashes_of(others, is_copy)
    is_copy[is_copy] = np.isin(other_hashes, hashes)
    return is_copy


def _keys(images: Tensor | LazyImages) -> NDArray[np.uint64]:
    """Return keys that differ only where examples do, uint64, shape (n,); lazy images are not read for them.

    Examples with one key are compared by hashes of all their bytes.
    """
    if isinstance(images, Tensor):
        return _mixed(images.cpu())
    return _mixed(images.pixel_sums.cpu().transpose(0, 1).flatten(1))


def _mixed(images: Tensor) -> NDArray[np.uint64]:
    """Return 64 bits per example, in which all its numbers are mixed; hashes take five times as long."""
    keys = np.empty(len(images), dtype=np.uint64)
    width = max(1, images[:1].numel() * images.element_size())
    rows = max(1, _CACHED // width, min(_LEAST_ROWS, _LARGEST // width))
    for start in range(0, len(images), rows):
        words = _words(_flat(images[start : start + rows]))
        state = np.full(len(words), _START, dtype=np.uint64)
        shifted = np.empty_like(state)
        for column in words.T:
            np.bitwise_xor(state, column, out=state)
            np.multiply(state, _FACTOR, out=state)
            np.right_shift(state, _HALF, out=shifted)
            np.bitwise_xor(state, shifted, out=state)
        keys[start : start + rows] = state
    return keys


def _words(chunk: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Return rows of numbers as the largest unsigned integers that fill them; bytes are padded with zeros."""
    width = chunk.shape[1] * chunk.itemsize
    if width % 4:
        content = np.zeros((len(chunk), -(-width // 8) * 8), dtype=np.uint8)
        content[:, :width] = chunk.view(np.uint8)
        return content.view(np.uint64)
    return chunk.view(np.uint32 if width % 8 else np.uint64)


def _flat(images: Tensor) -> NDArray[Any]:
    """Return examples as rows of numbers, contiguous; zeros have one sign."""
    chunk = images.reshape(len(images), -1).numpy()
    if chunk.dtype.kind == "f":
        chunk = chunk + 0  # −0.0 equals 0.0 and has other bytes
    return np.ascontiguousarray(chunk)


def _hashes_of(images: Tensor | LazyImages, is_wanted: NDArray[np.bool_]) -> Ints:
    """Return the hashes of some images."""
    rows = np.flatnonzero(is_wanted)
    if isinstance(images, Tensor):
        return _hashes(images.cpu()[torch.from_numpy(rows)] if len(rows) < len(images) else images.cpu())
    parts = np.array_split(rows, len(rows) // _CHUNK + 1)
    return np.concatenate([_hashes(images.take(torch.from_numpy(part))) for part in parts])


def exact_groups(images: Tensor | LazyImages) -> Ints:
    """Return the group of each example, int64, shape (n,); equal examples have the same number."""
    keys = _keys(images)
    groups = np.arange(len(keys))
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return groups
    is_candidate = np.isin(keys, repeated)
    groups[is_candidate] = len(groups) + number_groups(_hashes_of(images, is_candidate))
    return number_groups(groups)


def _hashes(images: Tensor) -> Ints:
    """Return a 64-bit hash of each example: examples with equal numbers have equal hashes."""
    hashes = np.empty(len(images), dtype=np.int64)
    for start in range(0, len(images), _CHUNK):
        chunk = _flat(images[start : start + _CHUNK])
        width = chunk.shape[1] * chunk.itemsize
        content = chunk.tobytes()
        hashes[start : start + _CHUNK] = [
            hash(content[row * width : (row + 1) * width]) for row in range(len(chunk))
        ]
    return hashes
