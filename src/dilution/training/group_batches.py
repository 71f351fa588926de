"""The batches of a run group: images and targets of all replicas, in memory that stays."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from dilution.training.evaluation import Normalise
from dilution.training.replica import Replica

Batches = tuple[Tensor, Tensor]
"""Normalised images, float32, shape (R, b, channels, height, width), and targets with R in front."""


def take_together(shown: Sequence[Tensor | None], device: torch.device) -> bool:
    """Return whether the images of all replicas are taken together, from one tensor on a GPU.

    Parameters
    ----------
    shown
        For each replica the tensor whose rows are its images; None if there is no such tensor.
    device
        Device of the batches.
    """
    one_tensor = shown[0] is not None and all(images is shown[0] for images in shown)
    return one_tensor and device.type == "cuda"


class GroupBatches:
    """The batches of all replicas, one after the other or together.

    On a GPU the replicas of a study show rows of one tensor; then a few launches take the images of all
    replicas, instead of several per replica. On a CPU the images of one replica stay in the cache while they
    are normalised.

    Parameters
    ----------
    replicas
        The replicas of a run group.
    size
        Examples per batch and replica that this process computes.
    device
        Device of the batches.
    together
        Whether to take the images of all replicas together. Default: on a GPU, if all show rows of
        one tensor.
    """

    def __init__(
        self, replicas: Sequence[Replica], size: int, device: torch.device, *, together: bool | None = None
    ) -> None:
        shown = [replica.shown_images for replica in replicas]
        if together is None:
            together = take_together(shown, device)
        self._replicas, self._shown = replicas, shown[0] if together else None
        # Batches are written to the same memory at every step: a captured step reads them there, and small
        # tensors that stay, between large ones that come and go, would fragment the heap of a process that
        # keeps freed memory.
        self._images = torch.empty(len(replicas), size, *replicas[0].image_shape, device=device)
        self._targets: Tensor | None = None

    def from_step(self, start: int) -> Iterator[Batches]:
        """Yield the batches of the steps from `start` (0: the first) to the last, in the same two tensors."""
        return self._one_by_one(start) if self._shown is None else self._together(self._shown, start)

    def _one_by_one(self, start: int) -> Iterator[Batches]:
        streams = [replica.batches(start) for replica in self._replicas]
        for batches in zip(*streams, strict=True):
            for replica, batch, images in zip(self._replicas, batches, self._images, strict=True):
                replica.normalise.into(images, batch.images)
            self._targets = torch.stack([batch.targets for batch in batches], out=self._targets)
            yield self._images, self._targets

    def _together(self, shown: Tensor, start: int) -> Iterator[Batches]:
        normalise = Normalise.of_replicas([replica.normalise for replica in self._replicas])
        taken = torch.empty(self._images.shape, dtype=shown.dtype, device=shown.device)
        for first, count in self._replicas[0].chunks(start, len(self._replicas)):
            parts = [replica.rows_and_targets(first, count) for replica in self._replicas]
            rows, targets = (torch.stack(part, dim=1) for part in zip(*parts, strict=True))
            if self._targets is None:
                self._targets = torch.empty_like(targets[0])
            for step in range(count):
                torch.index_select(shown, 0, rows[step].flatten(), out=taken.flatten(0, 1))
                normalise.into(self._images, taken)
                self._targets.copy_(targets[step])
                yield self._images, self._targets
