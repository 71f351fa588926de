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
_PROJECTIONS = 128  # random ones
_SEED = 0  # of their directions
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
    if (smaller := scaled_size(height, width)) == (height, width):
        return images.float()
    return adaptive_avg_pool2d(images.float(), smaller)


def scaled_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width to which :func:`scale_down` brings images."""
    return min(height, _SIDE), min(width, _SIDE)


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
    rotated = _rotated(features)
    search = NearCopySearch(
        rotated,
        edges,
        lambda numbers: _pixels(_take_from(parts, compared[numbers])),
        np.searchsorted(compared, groups[compared]),
        lambda: _with_projections(rotated, parts, compared),
    )
    joined, is_alike[compared] = search.run(int(np.searchsorted(compared, n_known)))
    groups[compared] = compared[joined]
    return groups, is_alike


def _with_projections(
    features: Floats, parts: Sequence[tuple[Tensor | LazyImages, Ints]], compared: Ints
) -> Floats:
    """Return features with random projections of the pixels, and the length that they lack to 1.

    Projections on m of D directions hold about m/D of whatever low frequencies lack: of noise and fine
    texture too. So the products of different images stay below the least correlation.

    Parameters
    ----------
    features
        As :func:`_rotated` returns them, float32, shape (n, any).
    parts
        As for :func:`find_near_copies`.
    compared
        Numbers of the n images, int64, shape (n,).
    """
    images = parts[0][0]
    channels, height, width = images.shape[1], *(min(side, _SIDE) for side in images.shape[2:])
    low = _in_grey(_frequencies(height, width)[0][_is_low()], channels)
    random = np.random.default_rng(_SEED).normal(size=(_PROJECTIONS, low.shape[1]))
    directions = torch.from_numpy(np.linalg.qr((random - random @ low.T @ low).T)[0]).float()
    joined = np.empty((len(features), features.shape[1] - 1 + _PROJECTIONS), dtype=np.float32)
    joined[:, :-_PROJECTIONS] = features[:, :-1]
    for start in range(0, len(features), _CHUNK):
        rows = slice(start, start + _CHUNK)
        normalised, _ = _normalised(_take_from(parts, compared[rows]))
        joined[rows, -_PROJECTIONS:] = (normalised.flatten(1) @ directions).numpy()
    return _completed(joined)


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
    projection = torch.from_numpy(_in_grey(basis, channels)).float().T
    is_low = _is_low()
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


def _is_low() -> NDArray[np.bool_]:
    """Return which frequencies of edges are low, bool, shape (frequencies,)."""
    is_high = np.arange(_EDGE_FREQUENCIES) >= _FREQUENCIES
    is_low: NDArray[np.bool_] = ~np.logical_or.outer(is_high, is_high).ravel()[1:]
    return is_low


def _in_grey(basis: NDArray[np.float64], channels: int) -> NDArray[np.float64]:
    """Return directions of grey values as directions of pixels; colours are compared later."""
    directions: NDArray[np.float64] = np.tile(basis, channels) / np.sqrt(channels)
    return directions


def _frequencies(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return low frequencies as images, shape (frequencies, pixels), and what multiplies them in edges."""
    from scipy.fft import dct  # imported late: commands that read no images start sooner

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
