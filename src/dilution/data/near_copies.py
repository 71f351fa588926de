"""Near-copies among images, found by a perceptual hash: low frequencies first, then pixels and edges.

Images are scaled down to 32 × 32 pixels, and each is shifted and scaled to mean 0 and length 1, so that the
product of two images is their correlation and does not depend on brightness and contrast. Near-copies have a
correlation of at least 0.985, and the differences of neighbouring pixels one of at least 0.975; smooth
images, whose differences are mostly noise of the compression, 0.995 and 0.7. Photographs that were compressed
again or made brighter do, and different images hardly ever. The low frequencies of two images bound both
correlations from above, so that few pairs are compared pixel by pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from dilution.data.near_copy_search import NearCopySearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dilution.data.arrays import LazyImages

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_MIN_SIDE = 16  # pixels: smaller images have too few to tell copies from images that are alike
_SIDE = 32  # pixels to which larger images are scaled down
_LEAST_DEVIATION = 2.0  # levels of 255, or shares of the range of floats: a blank image has no content
_FREQUENCIES = 8  # per axis
_EDGE_FREQUENCIES = 16  # edges need more; with 12 ten times as many pairs are compared pixel by pixel
MAX_IMAGES = 200_000  # the pairs that are compared grow with the square
_CHUNK = 1 << 10


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


def find_near_copies(
    parts: Sequence[tuple[Tensor | LazyImages, Ints]], known: Ints | None = None
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return groups of near-copies, and which images are too alike to tell.

    Parameters
    ----------
    parts
        Images of one shape, uint8 or float32, shape (n, channels, height, width), or lazy images; and those
        of them that are compared, rows of int64. Of more than 200,000 in all none are.
    known
        Groups of near-copies in the first part, int64, shape (rows,), numbered from 0 in the order of their
        first rows. Images of this part are not compared with each other again. Default: none are known.

    Returns
    -------
    groups
        Group of each row, int64, shape (rows of all parts,): the number of its first row.
    is_alike
        Whether a row was compared with so many images of other pixels that the search left it out, bool,
        shape (rows of all parts,).
    """
    sizes = [len(rows) for _, rows in parts]
    groups, is_alike = np.arange(sum(sizes)), np.zeros(sum(sizes), dtype=bool)
    if not can_be_near_copies(parts[0][0]) or not 1 < len(groups) <= MAX_IMAGES:
        return groups, is_alike
    n_known = 0
    if known is not None:
        n_known = len(known)
        groups[:n_known] = np.unique(known, return_index=True)[1][known]
    of_parts = [_low_frequencies(images, rows) for images, rows in parts if len(rows)]
    features, edges, has_content = (
        columns[0] if len(columns) == 1 else np.concatenate(columns)  # a copy would need memory
        for columns in zip(*of_parts, strict=True)
    )
    compared = np.flatnonzero(has_content)
    if len(compared) < 2:
        return groups, is_alike
    if len(compared) < len(groups):
        features, edges = features[compared], edges[compared]
    search = NearCopySearch(
        _rotated(features),
        edges,
        lambda numbers: _pixels(_take_from(parts, compared[numbers])),
        np.searchsorted(compared, groups[compared]),
    )
    joined, is_alike[compared] = search.run(int(np.searchsorted(compared, n_known)))
    groups[compared] = compared[joined]
    return groups, is_alike


def _take_from(parts: Sequence[tuple[Tensor | LazyImages, Ints]], numbers: Ints) -> Tensor:
    """Return images of all parts, of which the rows are numbered one part after the other."""
    ends = np.cumsum([len(rows) for _, rows in parts])
    order = np.argsort(numbers, kind="stable")
    in_parts = np.split(numbers[order], np.searchsorted(numbers[order], ends[:-1]))
    taken = [
        _take(images, rows[own - (end - len(rows))])
        for (images, rows), end, own in zip(parts, ends, in_parts, strict=True)
        if len(own)
    ]
    return torch.cat(taken)[torch.from_numpy(np.argsort(order))]


def _pixels(images: Tensor) -> tuple[Floats, Floats]:
    """Return images and their edges, rows of length 1."""
    normalised, _ = _normalised(images)
    edges = _edges(normalised)
    lengths = edges.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return normalised.flatten(1).numpy(), (edges / lengths).numpy()


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
