"""All training examples of one replica, as a strategy looks at them between two epochs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dilution.noise import Dilution
from dilution.training.evaluation import Normalise
from dilution.training.strategies.networks import Network

_BATCH_SIZE = 1000
_BATCH_VALUES = 1 << 24  # pixels, and so the batch of large images is smaller
_CHUNK = 1 << 15  # labels computed at once


@dataclass(frozen=True)
class Examples:
    """The training examples with their labels; images are normalised and not augmented.

    Parameters
    ----------
    count
        Number of examples.
    classes
        Number of classes.
    shape
        Image shape: (channels, height, width).
    device
        Device of the images.
    images
        Function of numbers of examples, int64 of shape (b,), that returns their images, float32.
    labels
        Function of numbers of examples that returns their labels, int64 of shape (b,).
    distinct
        Numbers of examples with different images, int64, and the function that returns for numbers of
        examples the place of their image among those. None: all images may differ.
    """

    count: int
    classes: int
    shape: tuple[int, int, int]
    device: torch.device
    images: Callable[[Tensor], Tensor]
    labels: Callable[[Tensor], Tensor]
    distinct: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None

    @classmethod
    def of(cls, training: Dilution, normalise: Normalise) -> "Examples":
        """Return the examples of a training set."""
        device, distinct = training.data.device, None
        if training.image_source.name == "same":  # the clean examples show all images
            places = torch.empty(len(training.data), dtype=torch.int64, device=device)
            first = torch.arange(training.n, device=device)
            places[training.clean_rows] = first
            distinct = first, lambda index: places[training.source(index)]
        return cls(
            len(training),
            training.classes,
            training.data.shape,
            device,
            lambda index: normalise(training.images(index)),
            training.labels,
            distinct,
        )

    def __len__(self) -> int:
        return self.count

    def losses(self, network: Network) -> Tensor:
        """Return the cross entropy of each example in evaluation mode, float32, shape (examples,)."""
        parts = [
            F.cross_entropy(logits, self.labels(index), reduction="none")
            for index, logits in self._predicted(network)
        ]
        return torch.cat(parts)

    def predict(self, network: Network) -> Tensor:
        """Return the logits of each example in evaluation mode, float32, shape (examples, classes)."""
        return torch.cat([logits for _, logits in self._predicted(network)])

    def _predicted(self, network: Network) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield numbers of examples, all in order, with their logits."""
        everything = torch.arange(self.count, device=self.device)
        if self.distinct is None:
            for index in everything.split(self._batch_size):
                yield index, network.predict(self.images(index))
            return
        shown, place_of = self.distinct
        logits = torch.cat([network.predict(self.images(index)) for index in shown.split(self._batch_size)])
        for index in everything.split(_CHUNK):
            yield index, logits[place_of(index)]

    @property
    def _batch_size(self) -> int:
        channels, height, width = self.shape
        return min(_BATCH_SIZE, max(1, _BATCH_VALUES // (channels * height * width)))
