"""Sums of gradients in blocks of independent examples, which give |G|² and the scatter of one gradient."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.advice.half_trained import HalfTrainedModel
from dilution.data.splits import divide_groups
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import BatchSampler
from dilution.training.config import Targets
from dilution.training.losses import forward_corrected

BLOCKS = 16
"""Sums of gradients that are kept: the jackknife leaves out each in turn."""

BATCHES = 128
"""Gradients that are measured."""

_MAX_BATCH_SIZE = 128
_MIN_ROWS = 2  # of a block: batch normalisation takes two examples

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class GradientSums:
    """Sums over the gradients of examples, in blocks.

    Examples of one group, such as copies, are in one block, so that blocks are independent.

    Parameters
    ----------
    sizes
        Examples of each block, int64, shape (blocks,).
    products
        Inner products of the blocks' sums of gradients, float64, shape (blocks, blocks).
    squares
        Sum over the batches of a block of the squared sum of gradients of a batch, shape (blocks,).
    squared_sizes
        Sum over the batches of a block of the squared number of examples of a batch, shape (blocks,).
    pairs_in_batches, pairs_in_blocks
        Ordered pairs of different examples of one group within a batch and within a block, shape (blocks,).
        None: each example is a group of its own.
    """

    sizes: Ints
    products: Floats
    squares: Floats
    squared_sizes: Floats
    pairs_in_batches: Floats | None = None
    pairs_in_blocks: Floats | None = None

    @classmethod
    def measure(
        cls, model: HalfTrainedModel, noisy: Dilution, targets: Targets, transition: Tensor, seed: int
    ) -> "GradientSums":
        """Measure the gradients of one pass at most, in the order of a training.

        Parameters
        ----------
        model, noisy, seed
            As for :func:`dilution.advice.noise_scale.measure_noise_scale`.
        targets
            ``"sampled"`` for gradients of single labels, ``"pooled"`` for those of all labels of an image.
        transition
            T[true, noisy], float32, shape (classes, classes).

        Raises
        ------
        InputError
            If there are fewer than two groups of at least two examples.
        """
        batch_size = min(_MAX_BATCH_SIZE, max(2, noisy.n // BATCHES))
        n_batches = min(BATCHES, noisy.n // batch_size) // BLOCKS * BLOCKS
        sampler = BatchSampler(noisy, targets, batch_size, seed=seed)
        rows, weights = (part.flatten(0, 1) for part in sampler.rows_and_targets(0, n_batches))
        groups = noisy.data.split_groups
        of_row = None if groups is None else groups[rows].numpy()
        blocks = _make_blocks(len(rows), batch_size, of_row)
        sums: list[Tensor] = []
        squares = np.zeros(len(blocks))
        for block, batch, is_first in _with_prefetch(noisy, rows, blocks):
            gradient = _gradient(model, noisy.data.take(rows[batch]), weights[batch], transition)
            gradient *= len(batch)
            double = gradient.double()
            squares[block] += float(double @ double)
            if is_first:
                sums.append(gradient)
            else:
                sums[-1] += gradient
        sizes = [np.array([len(batch) for batch in batches]) for batches in blocks]
        in_batches = in_blocks = None
        if of_row is not None:
            in_batches = np.array(
                [sum(_pairs(of_row[batch]) for batch in batches) for batches in blocks], float
            )
            in_blocks = np.array([_pairs(of_row[np.concatenate(batches)]) for batches in blocks], float)
        return cls(
            np.array([of_block.sum() for of_block in sizes]),
            _inner_products(sums),
            squares,
            np.array([(of_block**2).sum() for of_block in sizes], float),
            in_batches,
            in_blocks,
        )

    def estimates(self, blocks: Ints) -> tuple[float, float]:
        """Return |G|² and tr Σ of one example from some blocks, both without bias.

        |G|² is the mean product of the gradients of two independent examples: of different batches, or of
        different blocks where examples of one group share a block. The square of a batch has |G|² per pair of
        examples and tr Σ per example, and per pair of one group what gradients of a group have in common;
        the squares of whole blocks, which hold more such pairs, show how much that is.
        """
        n = float(self.sizes[blocks].sum())
        products = self.products[np.ix_(blocks, blocks)]
        of_batches, of_blocks = float(self.squares[blocks].sum()), float(np.trace(products))
        pairs_in_batches = float(self.squared_sizes[blocks].sum())  # an example with itself included
        pairs_in_blocks = float((self.sizes[blocks].astype(np.float64) ** 2).sum())
        if self.pairs_in_batches is None or self.pairs_in_blocks is None:
            signal = (float(products.sum()) - of_batches) / (n**2 - pairs_in_batches)
            return signal, (of_batches - pairs_in_batches * signal) / n
        signal = (float(products.sum()) - of_blocks) / (n**2 - pairs_in_blocks)
        alike_in_batches = float(self.pairs_in_batches[blocks].sum())
        more_alike = float(self.pairs_in_blocks[blocks].sum()) - alike_in_batches
        common = 0.0
        if more_alike:
            excess = of_blocks - of_batches - (pairs_in_blocks - pairs_in_batches) * signal
            common = excess / more_alike
        return signal, (of_batches - pairs_in_batches * signal - alike_in_batches * common) / n


def _make_blocks(n: int, batch_size: int, groups: Ints | None) -> list[list[Ints]]:
    """Return the positions of the examples of each batch of each block.

    Parameters
    ----------
    n
        Number of examples.
    batch_size
        Examples per batch. With groups a batch has more where they divide a block no better.
    groups
        Group of each example, int64, shape (n,); a group is in one block. Default: each example is a group.
    """
    if groups is None:
        return [list(block) for block in np.arange(n).reshape(BLOCKS, -1, batch_size)]
    for n_blocks in range(min(BLOCKS, len(np.unique(groups))), 1, -1):
        block_of = divide_groups(groups, n_blocks)
        if np.bincount(block_of, minlength=n_blocks).min() >= _MIN_ROWS:
            break
    else:
        raise InputError(
            f"the {n:,} examples that are measured are of one group, or all but one of them are; the "
            "gradient noise scale compares gradients of different groups. Raise n, or name smaller groups."
        )
    blocks = []
    for number in range(n_blocks):
        rows = np.flatnonzero(block_of == number)
        rows = rows[np.argsort(groups[rows], kind="stable")]
        n_batches = max(1, len(rows) // batch_size)
        # Every n_batches-th row, so that a batch has as few examples of one group as can be.
        blocks.append([rows[first::n_batches] for first in range(n_batches)])
    return blocks


def _with_prefetch(
    noisy: Dilution, rows: Tensor, blocks: list[list[Ints]]
) -> Iterator[tuple[int, Tensor, bool]]:
    """Yield the block of each batch, its positions in `rows`, and whether it is the first of its block.

    Lazy images of the next batch are read meanwhile.
    """
    batches = [
        (block, torch.from_numpy(batch), number == 0)
        for block, of_block in enumerate(blocks)
        for number, batch in enumerate(of_block)
    ]
    for position, batch in enumerate(batches):
        for _, following, _ in batches[position + 1 : position + 2]:
            noisy.data.prefetch(rows[following])
        yield batch


def _gradient(model: HalfTrainedModel, images: Tensor, targets: Tensor, transition: Tensor) -> Tensor:
    """Return the gradient of the mean loss of a batch, shape (weights,)."""
    weights = [weight for weight in model.module.parameters() if weight.requires_grad]
    for weight in weights:
        weight.grad = None
    with model.computing():
        logits = model.module(model.prepare(images))
    _, gradient = forward_corrected(transition)(logits.detach().float(), targets)
    logits.backward(gradient.to(logits.dtype))
    return torch.cat([(w.grad if w.grad is not None else torch.zeros_like(w)).flatten() for w in weights])


def _pairs(groups: Ints) -> int:
    """Return the number of ordered pairs of different examples of one group."""
    counts = np.unique(groups, return_counts=True)[1]
    return int((counts * (counts - 1)).sum())


def _inner_products(sums: list[Tensor]) -> Floats:
    products = np.zeros((len(sums), len(sums)))
    for row, gradient in enumerate(sums):  # one in float64 at a time: all would take as much memory again
        double = gradient.double()
        for column in range(row, len(sums)):
            products[row, column] = products[column, row] = float(double @ sums[column].double())
    return products
