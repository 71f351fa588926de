"""Search for near-copies among many images, of which few pairs are compared pixel by pixel.

Images are sorted into cells by their low frequencies, whose products bound the correlations of images and
of their edges from above. Images that are joined already are not compared again, so that time and memory
hold where all images are alike, such as the frames of a fixed camera. Low frequencies tell little of images
that are mostly fine texture or noise: once many pairs were compared pixel by pixel in vain, random
projections of the pixels make the bounds closer.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dilution.data.components import Components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

MOST_DIFFERENT = 2000
"""Images of like frequencies and other pixels with which an image is compared; real ones have hundreds."""

_LEAST_CORRELATION = 0.985
_LEAST_EDGE_CORRELATION = 0.975
_SMOOTH_CORRELATION, _SMOOTH_EDGE_CORRELATION = 0.995, 0.7
_CELL_AXES = 4  # leading components by which images are sorted into cells
_CHUNK = 1 << 10  # pairs that are compared at once
_BLOCK = (1 << 10, 1 << 12)  # images whose products are held at once
_TILE = (1 << 8, 1 << 10)  # images whose pixels are multiplied at once
_DENSE = 1 / 16  # share of pairs above which the product of all images of a tile is faster
_IN_VAIN = 1 << 12, 1 / 4  # pairs compared in vain before the bounds are narrowed: so many, and per image


class NearCopySearch:
    """Search for near-copies.

    Parameters
    ----------
    features, edges
        Rows of length 1 whose products are at least the correlations of images and of their edges, float32,
        shape (n, any).
    pixels
        Function that returns pixels and edges of some images, rows of mean 0 and length 1, float32.
    numbers
        Component of each image as it is known before, int64, shape (n,).
    narrow
        Function that returns other features with closer bounds, for which all images are read once. Default:
        there are none.

    Attributes
    ----------
    n_in_vain
        Pairs that were compared pixel by pixel so far and are no near-copies.
    """

    def __init__(
        self,
        features: Floats,
        edges: Floats,
        pixels: Callable[[Ints], tuple[Floats, Floats]],
        numbers: Ints,
        narrow: Callable[[], Floats] | None = None,
    ) -> None:
        self._features, self._edges, self._pixels = features, edges, pixels
        self._narrow, self.n_in_vain = narrow, 0
        self._components = Components(numbers)
        self._n_different = np.zeros(len(features), dtype=np.int64)
        self._pending: list[Ints] = []

    def run(self, known: int = 0) -> tuple[Ints, Bools]:
        """Return the component of each image, and which images were compared with too many to go on.

        Pairs of the first `known` images are not compared.
        """
        for block in _blocks(self._features, known):
            self._compare_block(*block)
        self._compare_pending()
        return self._components.numbers, self._n_different >= MOST_DIFFERENT

    def _compare_block(self, first: Ints, second: Ints, first_rank: Ints, second_rank: Ints) -> None:
        """Compare images of both lists, of which the first has the lower rank."""
        self._narrow_if_in_vain()
        is_open = self._n_different < MOST_DIFFERENT
        first, first_rank = first[is_open[first]], first_rank[is_open[first]]
        second, second_rank = second[is_open[second]], second_rank[is_open[second]]
        if not len(first) or not len(second) or self._components.are_joined(first, second):
            return
        similar = self._features[first] @ self._features[second].T >= _LEAST_CORRELATION
        if np.count_nonzero(similar) <= _DENSE * similar.size:
            i, j = _nonzero(similar)
            is_new = first_rank[i] < second_rank[j]
            self._compare_pairs(np.stack([first[i[is_new]], second[j[is_new]]], axis=1))
            return
        similar &= first_rank[:, None] < second_rank
        for top in range(0, len(first), _TILE[0]):
            for left in range(0, len(second), _TILE[1]):
                rows, columns = slice(top, top + _TILE[0]), slice(left, left + _TILE[1])
                self._compare_tile(first[rows], second[columns], similar[rows, columns])

    def _compare_tile(self, first: Ints, second: Ints, similar: Bools) -> None:
        """Compare those images of both lists that are similar, bool, shape (first, second)."""
        components, is_open = self._components.numbers, self._n_different < MOST_DIFFERENT
        similar &= components[first][:, None] != components[second]
        similar &= is_open[first][:, None] & is_open[second]
        if self._is_dense(similar):
            bounds = (part[first] @ part[second].T for part in (self._features, self._edges))
            similar &= _is_enough(*bounds)
        if not self._is_dense(similar):
            i, j = _nonzero(similar)
            self._compare_pairs(np.stack([first[i], second[j]], axis=1))
            return
        pixels = zip(self._pixels(first), self._pixels(second), strict=True)
        equal = similar & _is_enough(*(rows @ columns.T for rows, columns in pixels))
        i, j = _nonzero(equal)
        self._components.join(np.stack([first[i], second[j]], axis=1))
        similar &= ~equal
        self.n_in_vain += int(np.count_nonzero(similar))
        np.add.at(self._n_different, first, similar.sum(axis=1))
        np.add.at(self._n_different, second, similar.sum(axis=0))

    @staticmethod
    def _is_dense(similar: Bools) -> bool:
        return bool(np.count_nonzero(similar) > max(_CHUNK, _DENSE * similar.size))

    def _compare_pairs(self, pairs: Ints) -> None:
        """Compare pairs of images; those that their low frequencies do not tell apart wait for others."""
        for chunk in _chunked(pairs):
            first, second = chunk.T
            parts = self._features, self._edges
            bounds = (np.einsum("ij,ij->i", part[first], part[second]) for part in parts)
            self._pending.append(chunk[_is_enough(*bounds)])
            if sum(map(len, self._pending)) >= _CHUNK:
                self._compare_pending()
                self._narrow_if_in_vain()

    def _compare_pending(self) -> None:
        """Compare the pairs that wait pixel by pixel."""
        pending, self._pending = self._pending, []
        for chunk in _chunked(np.concatenate(pending)) if pending else ():
            is_open = (self._n_different < MOST_DIFFERENT)[chunk].all(axis=1)
            pairs = chunk[is_open & self._components.are_apart(chunk)]
            if not len(pairs):
                continue
            images, numbers = np.unique(pairs, return_inverse=True)
            first, second = numbers.reshape(pairs.shape).T
            parts = self._pixels(images)
            equal = _is_enough(*(np.einsum("ij,ij->i", part[first], part[second]) for part in parts))
            self._components.join(pairs[equal])
            self.n_in_vain += int(np.count_nonzero(~equal))
            np.add.at(self._n_different, pairs[~equal].ravel(), 1)

    def _narrow_if_in_vain(self) -> None:
        """Narrow the bounds once many pairs were compared pixel by pixel in vain."""
        least, per_image = _IN_VAIN
        if self._narrow is not None and self.n_in_vain > least + per_image * len(self._features):
            self._features, self._narrow = self._narrow(), None


def _blocks(features: Floats, known: int) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Yield lists of images that may be near-copies of each other, and ranks: the first one is lower.

    Each pair whose product is at least the least correlation comes once, save those of the first `known`
    images. Images of such a pair are at most a radius apart. So images are sorted into cells of this size,
    and compared with those of neighbouring cells.
    """
    radius = np.sqrt(2 * (1 - _LEAST_CORRELATION))
    cells = np.floor(features[:, :_CELL_AXES] / radius).astype(np.int64)
    keys, inverse = np.unique(cells, axis=0, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    in_cells = np.split(order, np.cumsum(np.bincount(inverse.reshape(-1)))[:-1])
    members = dict(zip(map(tuple, keys.tolist()), in_cells, strict=True))
    offsets = list(product((-1, 0, 1), repeat=_CELL_AXES))
    if not known:  # two cells are compared once
        offsets = [offset for offset in offsets if offset >= (0,) * _CELL_AXES]
    for key, inside in members.items():
        new = inside[inside >= known]
        if not len(new):
            continue
        keys_around = (tuple(k + step for k, step in zip(key, offset, strict=True)) for offset in offsets)
        # Without known images the cell itself comes first, and its members have their own positions as ranks.
        others = np.concatenate([members[key] for key in keys_around if key in members])
        ranks = (-new, -others) if known else (np.arange(len(new)), np.arange(len(others)))
        for top in range(0, len(new), _BLOCK[0]):
            for left in range(0, len(others), _BLOCK[1]):
                rows, columns = slice(top, top + _BLOCK[0]), slice(left, left + _BLOCK[1])
                yield new[rows], others[columns], ranks[0][rows], ranks[1][columns]


def _chunked(pairs: Ints) -> list[Ints]:
    return [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]


def _nonzero(matrix: Bools) -> tuple[Ints, Ints]:
    """Return the rows and columns of what is true; ``numpy.nonzero`` takes twice as long."""
    return np.divmod(np.flatnonzero(matrix), matrix.shape[1])


def _is_enough(correlation: Floats, edge_correlation: Floats) -> Bools:
    """Return which correlations, of images and of their edges, are those of near-copies."""
    is_near = (correlation >= _LEAST_CORRELATION) & (edge_correlation >= _LEAST_EDGE_CORRELATION)
    is_smooth = (correlation >= _SMOOTH_CORRELATION) & (edge_correlation >= _SMOOTH_EDGE_CORRELATION)
    enough: Bools = is_near | is_smooth
    return enough
