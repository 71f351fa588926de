"""Near-copies among images, found by a perceptual hash: low frequencies first, then pixels and edges.

Images are scaled down to 32 × 32 pixels, and each is shifted and scaled to mean 0 and length 1, so that the
product of two images is their correlation and does not depend on brightness and contrast. Near-copies have a
correlation of at least 0.985, and the differences of neighbouring pixels one of at least 0.975; smooth
images, whose differences are mostly noise of the compression, 0.995 and 0.7. Photographs that were compressed
again or made brighter do, and different images hardly ever. The low frequencies of two images bound both
correlations from above, so that few pairs are compared pixel by pixel.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dilution.data.arrays import LazyImages

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_MIN_SIDE = 16  # pixels: smaller images have too few to tell copies from images that are alike
_SIDE = 32  # pixels to which larger images are scaled down
_LEAST_CORRELATION = 0.985
_LEAST_EDGE_CORRELATION = 0.975
_SMOOTH_CORRELATION, _SMOOTH_EDGE_CORRELATION = 0.995, 0.7
_LEAST_DEVIATION = 2.0  # levels of 255, or shares of the range of floats: a blank image has no content
_FREQUENCIES = 8  # per axis
_EDGE_FREQUENCIES = 16  # edges need more; with 12 ten times as many pairs are compared pixel by pixel
_CELL_AXES = 4  # leading components by which images are sorted into cells
MAX_IMAGES = 200_000  # the pairs that are compared grow with the square
_CHUNK = 1 << 10
_BLOCK = 1 << 22  # products of images that are held at once


@runtime_checkable
class ScaledImages(Protocol):
    """Lazy images that are at hand in the size in which they are compared, too."""

    def take_scaled(self, rows: Tensor) -> Tensor:
        """Return images as :func:`scale_down` does."""


def scale_down(images: Tensor) -> Tensor:
    """Return images of at most 32 × 32 pixels, float32, shape (n, channels, height, width)."""
    height, width = images.shape[2:]
    if max(height, width) <= _SIDE:
        return images.float()
    return adaptive_avg_pool2d(images.float(), (min(height, _SIDE), min(width, _SIDE)))


def can_be_near_copies(images: Tensor | LazyImages) -> bool:
    """Return whether images have enough pixels to tell near-copies from images that are alike."""
    return min(images.shape[2:]) >= _MIN_SIDE


def find_near_copies(images: Tensor | LazyImages, rows: Ints) -> Ints:
    """Return pairs of near-copies, rows of int64, shape (pairs, 2).

    Parameters
    ----------
    images
        uint8 or float32, shape (n, channels, height, width), or lazy images.
    rows
        The images that are compared, int64, ascending. Of more than 200,000 none are.
    """
    no_pairs: Ints = np.empty((0, 2), dtype=np.int64)
    if not can_be_near_copies(images) or not 1 < len(rows) <= MAX_IMAGES:
        return no_pairs
    features, edges, has_content = _low_frequencies(images, rows)
    rows, features, edges = rows[has_content], features[has_content], edges[has_content]
    candidates = [no_pairs]
    rotated = _rotated(features)
    for similar in _similar_pairs(rotated):
        for pairs in _chunked(similar):
            first, second = pairs.T
            bounds = (np.einsum("ij,ij->i", part[first], part[second]) for part in (rotated, edges))
            candidates.append(rows[pairs[_is_enough(*bounds)]])
    chunks = _chunked(np.concatenate(candidates))
    return np.concatenate([no_pairs, *(pairs[_are_near_copies(images, pairs)] for pairs in chunks)])


def _take(images: Tensor | LazyImages, rows: Ints) -> Tensor:
    """Return images as :func:`scale_down` does."""
    numbers = torch.from_numpy(rows)
    if isinstance(images, ScaledImages):
        return images.take_scaled(numbers)
    return scale_down((images[numbers] if isinstance(images, Tensor) else images.take(numbers)).cpu())


def _normalised(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return images with mean 0 and length 1, and their deviations before, shape (n,)."""
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    lengths = centred.flatten(1).norm(dim=1)
    return centred / lengths.clamp_min(1e-12)[:, None, None, None], lengths / centred[0].numel() ** 0.5


def _low_frequencies(images: Tensor | LazyImages, rows: Ints) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return low frequencies of normalised images and of their edges, and which images are not blank.

    The product of two rows of edges is at least the correlation of the edges of the images. The difference
    of neighbouring pixels multiplies frequency k of N by 2 sin(πk/2N), and leaves frequencies orthogonal.
    """
    channels, height, width = images.shape[1], *(min(side, _SIDE) for side in images.shape[2:])
    basis, factors = _frequencies(height, width)
    # Of grey values; colours are compared later.
    projection = torch.from_numpy(np.tile(basis, channels) / np.sqrt(channels)).float().T
    is_low = np.add.outer(*2 * [np.arange(_EDGE_FREQUENCIES) >= _FREQUENCIES]).ravel()[1:] == 0
    least = _LEAST_DEVIATION * _level(images)
    features = np.empty((len(rows), int(is_low.sum())), dtype=np.float32)
    edges = np.empty((len(rows), len(basis)), dtype=np.float32)
    has_content = np.empty(len(rows), dtype=bool)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        normalised, deviations = _normalised(_take(images, rows[part]))
        frequencies = (normalised.flatten(1) @ projection).numpy()
        lengths = _edges(normalised).norm(dim=1, keepdim=True).clamp_min(1e-12).numpy()
        features[part] = frequencies[:, is_low]
        edges[part] = frequencies * factors / lengths
        has_content[part] = (deviations >= least).numpy()
    return features, _completed(edges), has_content


def _frequencies(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return low frequencies as images, shape (frequencies, pixels), and what multiplies them in edges."""
    axes = [dct(np.eye(side), axis=0, norm="ortho")[:_EDGE_FREQUENCIES] for side in (height, width)]
    basis = np.einsum("ah,bw->abhw", *axes).reshape(-1, height * width)[1:]
    squares = [4 * np.sin(np.pi * np.arange(_EDGE_FREQUENCIES) / (2 * side)) ** 2 for side in (height, width)]
    return basis, np.sqrt(np.add.outer(*squares).ravel()[1:])


def _level(images: Tensor | LazyImages) -> float:
    """Return the 255th part of the range of pixels."""
    if not isinstance(images, Tensor) or images.dtype == torch.uint8:
        return 1.0
    low, high = images.aminmax()
    return float(high - low) / 255


def _edges(images: Tensor) -> Tensor:
    """Return the differences of neighbouring pixels, shape (n, differences)."""
    return torch.cat([images.diff(dim=2).flatten(1), images.diff(dim=3).flatten(1)], dim=1)


def _completed(features: Floats) -> Floats:
    """Return rows with the length that they lack to 1: their products are then upper bounds."""
    rest = np.sqrt(np.clip(1 - (features**2).sum(axis=1, keepdims=True), 0, None))
    return np.concatenate([features, rest], axis=1)


def _rotated(features: Floats) -> Floats:
    """Return features in the axes of their variance, descending, with the length that they lack to 1.

    The product of two rows is at least the correlation of the images.
    """
    if not len(features):
        return features
    _, axes = np.linalg.eigh(np.cov(features.T, bias=True))
    return _completed(features @ axes[:, ::-1].astype(np.float32))


def _similar_pairs(features: Floats) -> Iterator[Ints]:
    """Yield pairs of rows whose product is at least the least correlation, first row < second row.

    Rows of such a pair are at most a radius apart. So images are sorted into cells of this size, and
    compared with those of neighbouring cells.
    """
    if not len(features):
        return
    radius = np.sqrt(2 * (1 - _LEAST_CORRELATION))
    cells = np.floor(features[:, :_CELL_AXES] / radius).astype(np.int64)
    keys, inverse = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    members = dict(
        zip(
            map(tuple, keys.tolist()),
            np.split(order, np.cumsum(np.bincount(inverse.reshape(-1)))[:-1]),
            strict=True,
        )
    )
    later = [offset for offset in product((-1, 0, 1), repeat=_CELL_AXES) if offset >= (0,) * _CELL_AXES]
    for key, inside in members.items():
        around = [
            rows
            for offset in later
            if (rows := members.get(tuple(k + step for k, step in zip(key, offset, strict=True)))) is not None
        ]
        others = np.concatenate(around)  # the cell itself comes first
        for part in np.array_split(np.arange(len(inside)), len(inside) * len(others) // _BLOCK + 1):
            similar = features[inside[part]] @ features[others].T >= _LEAST_CORRELATION
            first, second = np.nonzero(similar)
            is_new = second > part[first] if len(part) else second > 0
            yield np.sort(np.stack([inside[part[first[is_new]]], others[second[is_new]]], axis=1), axis=1)


def _chunked(pairs: Ints) -> list[Ints]:
    return [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]


def _are_near_copies(images: Tensor | LazyImages, pairs: Ints) -> NDArray[np.bool_]:
    """Return which pairs of images are near-copies."""
    rows, numbers = np.unique(pairs, return_inverse=True)
    first, second = torch.from_numpy(numbers.reshape(pairs.shape)).T
    normalised, _ = _normalised(_take(images, rows))
    edges = _edges(normalised)
    edges = edges / edges.norm(dim=1, keepdim=True).clamp_min(1e-12)
    flat = normalised.flatten(1)
    correlation = (flat[first] * flat[second]).sum(dim=1)
    edge_correlation = (edges[first] * edges[second]).sum(dim=1)
    return _is_enough(correlation.numpy(), edge_correlation.numpy())


def _is_enough(correlation: Floats, edge_correlation: Floats) -> NDArray[np.bool_]:
    """Return which correlations, of images and of their edges, are those of near-copies."""
    is_near = (correlation >= _LEAST_CORRELATION) & (edge_correlation >= _LEAST_EDGE_CORRELATION)
    is_smooth = (correlation >= _SMOOTH_CORRELATION) & (edge_correlation >= _SMOOTH_EDGE_CORRELATION)
    enough: NDArray[np.bool_] = is_near | is_smooth
    return enough
