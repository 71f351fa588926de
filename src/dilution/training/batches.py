"""The three batch orders: which images and which targets each optimizer step sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.config import Targets
from dilution.training.distributed import WHOLE, Share
from dilution.utils import rng

_CHUNK = 1 << 15  # indices drawn at once: enough to hide the cost of a call behind the steps
_WHOLE = 1 << 18  # epochs up to this length are shuffled at once
_TABLE = 1 << 26  # histogram entries kept; a larger table is counted batch by batch


@dataclass(frozen=True)
class Batch:
    """What one optimizer step sees.

    Parameters
    ----------
    images
        uint8, shape (b, channels, height, width).
    targets
        Class numbers, int64 of shape (b,), or label weights, float32 of shape (b, classes).
    """

    images: Tensor
    targets: Tensor


class BatchSampler:
    """Batches of a diluted set in a keyed order, one epoch after the other.

    The stream of examples runs across epochs without a gap: a batch may hold the end of one epoch and
    the start of the next, so that no batch is smaller than the others.

    Parameters
    ----------
    noisy
        The diluted set.
    targets
        Batch order; see :class:`TrainSettings`.
    batch
        Examples or images in a batch.
    seed
        Root seed of the stream ``"order"``.
    share
        Which part of each batch is yielded.

    Raises
    ------
    InputError
        If the order needs the same images and the set shows others.
    """

    def __init__(
        self, noisy: Dilution, targets: Targets, batch: int, *, seed: int, share: Share = WHOLE
    ) -> None:
        self._noisy, self._targets, self._batch = noisy, targets, batch
        self._part = share.of(batch)
        self._seed, self._device = seed, noisy.data.device
        self.length = len(noisy) if targets == "sampled" else noisy.n
        """Examples (or images) in an epoch."""
        self.drawn: Tensor | None = None
        """How often each label was drawn for each class, (classes, classes), where that was counted."""
        self._table: Tensor | None = None
        self._shuffled: tuple[int, Tensor] | None = None  # an epoch and its order
        if targets == "sampled":
            return
        if noisy.image_source.name != "same":
            raise InputError(
                f"targets={targets!r} pools the labels of an image, which needs image_source='same'; here "
                f"images={noisy.image_source.name!r}. Use targets='sampled'."
            )
        if noisy.n * noisy.classes <= _TABLE:
            parts = torch.arange(noisy.n, device=self._device).split(_CHUNK)
            if targets == "expected":
                self._table = torch.cat([self._weights_of(place) for place in parts])
            else:
                counts = torch.cat([noisy.histogram(place) for place in parts])
                true = noisy.data.labels[noisy.clean_rows]
                self.drawn = true.new_zeros(noisy.classes, noisy.classes)
                self.drawn.index_add_(0, true, counts)
                self._table = counts.float() * (noisy.n / len(noisy))

    def batches(self, steps: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start … steps − 1."""
        per_chunk = max(1, _CHUNK // self._batch)
        for first in range(start, steps, per_chunk):
            count = min(per_chunk, steps - first)
            places = self._places(first * self._batch, count * self._batch)
            targets = self._noisy.labels(places) if self._targets == "sampled" else None
            rows = self._noisy.source(places) if self._noisy.image_source.name in ("same", "fresh") else None
            for part in range(count):
                begin = part * self._batch
                at = slice(begin + self._part.start, begin + self._part.stop)
                if rows is not None:
                    self._noisy.data.prefetch(rows[at.start + self._batch : at.stop + self._batch])
                yield Batch(
                    self._noisy.images(places[at]) if rows is None else self._noisy.data.take(rows[at]),
                    self._weights(places[at]) if targets is None else targets[at],
                )

    def _places(self, start: int, count: int) -> Tensor:
        """Return the shuffled places of stream positions start … start + count − 1."""
        parts = []
        while count:
            epoch, position = divmod(start, self.length)
            take = min(count, self.length - position)
            key = rng.stream(self._seed, f"order/{epoch}")
            if self.length <= _WHOLE:
                if self._shuffled is None or self._shuffled[0] != epoch:
                    # kept here: among many replicas the shared ones are pushed out before they are used up
                    self._shuffled = epoch, rng.permutation(key, self.length)
                parts.append(self._shuffled[1][position : position + take].to(self._device))
            else:
                at = torch.arange(position, position + take, device=self._device)
                parts.append(rng.permute(key, at, self.length))
            start, count = start + take, count - take
        return torch.cat(parts)

    def _weights(self, place: Tensor) -> Tensor:
        return self._weights_of(place) if self._table is None else self._table.index_select(0, place)

    def _weights_of(self, place: Tensor) -> Tensor:
        """Return label weights: float32, shape (b, classes), summing to the number of images over all.

        Each label weighs 1/(1 + alpha), with the alpha that was delivered, so the mean over the n
        images equals the mean over the n(1 + alpha) examples.
        """
        noisy = self._noisy
        if self._targets == "expected":
            weights = torch.from_numpy(noisy.overall).float().to(self._device)
            return weights[noisy.data.labels[noisy.clean_rows[place]]]
        return noisy.histogram(place).float() * (noisy.n / len(noisy))
