"""Batches of a diluted set: the images and targets of each optimizer step."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.config import Targets
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.utils import rng

_CHUNK = 1 << 15  # indices drawn at once: enough to hide the cost of a call behind the steps
_CHUNK_ON_GPU = 1 << 18  # there a call costs a launch, whatever its size
_CHUNK_BYTES = 1 << 28  # most memory of the rows and targets of a chunk, over all replicas of a group
_SHUFFLED_TOGETHER = 1 << 13  # positions of short epochs: a call costs more than shuffling a few hundred
_FEW_EPOCHS = 2  # which a GPU shuffles one by one; of more, each would cost a hundred launches
_TABLE = 1 << 26  # entries of a table of histograms; a larger one is computed batch by batch


@dataclass(frozen=True)
class Batch:
    """The images and targets of one optimizer step.

    Parameters
    ----------
    images
        Images of the dtype of the data, shape (b, channels, height, width).
    targets
        Class numbers, int64 of shape (b,); class numbers and numbers of the examples, int64 of shape (b, 2);
        or label weights, float32 of shape (b, classes).
    """

    images: Tensor
    targets: Tensor


class BatchSampler:
    """Batches of a diluted set in a shuffled order that depends on the seed alone.

    The stream of examples continues from one epoch to the next: a batch may contain the end of one
    epoch and the start of the next, so that all batches have the same size.

    Parameters
    ----------
    noisy
        The diluted set.
    targets
        Targets of the loss; see :class:`TrainConfig`.
    batch_size
        Examples or images per batch.
    seed
        Root seed of the streams ``"order/…"``.
    shard
        The part of each batch to yield.
    label_weights
        Targets in place of the labels: weights of the classes for each row of the data, float32, shape
        (rows, classes). Only with pooled targets.
    numbered
        Whether sampled targets are labels and numbers of examples, for a loss that takes both.

    Attributes
    ----------
    length
        Examples (or images) per epoch.
    label_counts
        Labels per true class, int64, shape (classes, classes), if the sampler has counted them;
        else None.

    Raises
    ------
    InputError
        If pooled or expected targets are requested and the noisy examples do not show the same
        images.
    """

    def __init__(
        self,
        noisy: Dilution,
        targets: Targets,
        batch_size: int,
        *,
        seed: int,
        shard: Shard = WHOLE_BATCH,
        label_weights: Tensor | None = None,
        numbered: bool = False,
    ) -> None:
        self._noisy, self._targets, self._batch_size = noisy, targets, batch_size
        self._is_numbered = numbered
        self._part = shard.slice_of(batch_size)
        self._seed, self._device = seed, noisy.data.device
        self.length = len(noisy) if targets == "sampled" else noisy.n
        self.label_counts: Tensor | None = None
        self._table: Tensor | None = None
        if targets == "sampled":
            return
        if noisy.image_source.name != "same":
            raise InputError(
                f"targets={targets!r} pools the labels of an image, which needs image_source='same'; here "
                f"image_source={noisy.image_source.name!r}. Use targets='sampled'."
            )
        if label_weights is not None:
            self._table = label_weights.to(self._device)[noisy.clean_rows]
        elif noisy.n * noisy.classes <= _TABLE:
            self._make_table()

    def _make_table(self) -> None:
        """Compute the targets of all images at once."""
        noisy = self._noisy
        parts = torch.arange(noisy.n, device=self._device).split(_CHUNK)
        if self._targets == "expected":
            self._table = torch.cat([self._compute_weights(index) for index in parts])
            return
        counts = torch.cat([noisy.histogram(index) for index in parts])
        true = noisy.data.labels[noisy.clean_rows]
        self.label_counts = true.new_zeros(noisy.classes, noisy.classes)
        self.label_counts.index_add_(0, true, counts)
        self._table = counts.float() * (noisy.n / len(noisy))

    @property
    def shown_images(self) -> Tensor | None:
        """The tensor whose rows are the images of every batch; None if there is no such tensor.

        There is none if images are read from a pack, come from another data set or are made of noise, or if
        label weights are too many for a table.
        """
        images = self._noisy.data.images
        in_rows = self._noisy.image_source.name in ("same", "fresh")
        has_targets = self._targets == "sampled" or self._table is not None
        return images if isinstance(images, Tensor) and in_rows and has_targets else None

    def batches(self, steps: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start … steps − 1."""
        for first, count in self.chunks(steps, start):
            yield from self._chunk(first, count)

    def chunks(self, steps: int, start: int = 0, replicas: int = 1) -> Iterator[tuple[int, int]]:
        """Yield first step and number of steps of the chunks that are drawn at once.

        The batches do not depend on where chunks begin and end.

        Parameters
        ----------
        steps, start
            As for :meth:`batches`.
        replicas
            Number of samplers whose rows and targets of a chunk are in memory at once.
        """
        chunk = _CHUNK_ON_GPU if self._device.type == "cuda" else _CHUNK
        per_example = 8 + (
            (8 + 8 * self._is_numbered) if self._targets == "sampled" else 4 * self._noisy.classes
        )
        steps_per_chunk = max(1, min(chunk, _CHUNK_BYTES // (replicas * per_example)) // self._batch_size)
        for first in range(start, steps, steps_per_chunk):
            yield first, min(steps_per_chunk, steps - first)

    def rows_and_targets(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the batches of `count` steps, from step `first` on, as rows of :attr:`shown_images`.

        Returns
        -------
        rows
            int64, shape (count, b).
        targets
            As in a batch, with `count` in front.
        """
        index = self._shuffled(first * self._batch_size, count * self._batch_size)
        index = index.view(count, self._batch_size)[:, self._part].flatten()
        targets = self._labels(index) if self._targets == "sampled" else self._weights(index)
        return self._noisy.source(index).view(count, -1), targets.view(count, -1, *targets.shape[1:])

    def _chunk(self, first: int, count: int) -> Iterator[Batch]:
        """Yield the batches of `count` steps, from step `first` on."""
        noisy = self._noisy
        index = self._shuffled(first * self._batch_size, count * self._batch_size)
        labels = self._labels(index) if self._targets == "sampled" else None
        rows = noisy.source(index) if noisy.image_source.name in ("same", "fresh") else None
        for step in range(count):
            begin = step * self._batch_size
            part = slice(begin + self._part.start, begin + self._part.stop)
            if rows is not None:
                noisy.data.prefetch(rows[part.start + self._batch_size : part.stop + self._batch_size])
            yield Batch(
                noisy.images(index[part]) if rows is None else noisy.data.take(rows[part]),
                self._weights(index[part]) if labels is None else labels[part],
            )

    def _labels(self, index: Tensor) -> Tensor:
        """Return the labels of examples, with their numbers if the loss takes them."""
        labels = self._noisy.labels(index)
        return torch.stack([labels, index], dim=1) if self._is_numbered else labels

    def _shuffled(self, start: int, count: int) -> Tensor:
        """Return the indices at positions start … start + count − 1 of the stream over all epochs."""
        if self._device.type != "cpu" and count > _FEW_EPOCHS * self.length:
            return self._shuffled_at_once(start, count)
        parts = []
        while count:
            epoch, position = divmod(start, self.length)
            size = min(count, self.length - position)
            epochs = 0 if size < self.length else min(count, _SHUFFLED_TOGETHER) // self.length
            # A copied order would make a GPU wait for the processor, and that of a huge batch is too large to
            # keep.
            if self._device.type != "cpu" or size > _CHUNK:
                positions = torch.arange(position, position + size, device=self._device)
                parts.append(rng.permute(self._order_key(epoch), positions, self.length))
            elif epochs > 1:  # cached, as below: replicas of a study often share their order
                keys = tuple(self._order_key(epoch + number) for number in range(epochs))
                parts.append(rng.permutations(keys, self.length))
                size = epochs * self.length
            else:
                key = self._order_key(epoch)
                parts.append(rng.part_of_permutation(key, self.length, position, position + size))
            start, count = start + size, count - size
        return torch.cat(parts)

    def _shuffled_at_once(self, start: int, count: int) -> Tensor:
        """Return what :meth:`_shuffled` returns; each operation is one of all epochs, as a GPU needs them."""
        first, last = start // self.length, (start + count - 1) // self.length
        keys = torch.tensor([self._order_key(epoch) for epoch in range(first, last + 1)], device=self._device)
        begin = start - first * self.length
        places = torch.arange(begin, begin + count, device=self._device)
        epochs = places.div(self.length, rounding_mode="floor")
        return rng.permute(keys[epochs], places - epochs * self.length, self.length)

    def _order_key(self, epoch: int) -> int:
        return rng.stream(self._seed, f"order/{epoch}")

    def _weights(self, index: Tensor) -> Tensor:
        return self._compute_weights(index) if self._table is None else self._table.index_select(0, index)

    def _compute_weights(self, index: Tensor) -> Tensor:
        """Return label weights: float32, shape (b, classes), summing to the number of images over all.

        Each label has the weight 1/(1 + alpha), with the empirical alpha, so that the mean over the
        n images equals the mean over the n(1 + alpha) examples.
        """
        noisy = self._noisy
        if self._targets == "expected":
            weights = torch.from_numpy(noisy.overall).float().to(self._device)
            return weights[noisy.data.labels[noisy.clean_rows[index]]]
        return noisy.histogram(index).float() * (noisy.n / len(noisy))
