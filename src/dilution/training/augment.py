"""Augmentation: training images mirrored and shifted, on the device that they are on."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.training.batches import Batch
from dilution.training.config import TrainConfig
from dilution.training.distributed import WHOLE, Share
from dilution.utils import rng

_CHUNK = 1 << 13  # positions drawn at once: enough to hide the cost of the calls behind the steps


def check_augmentation(settings: TrainConfig, image: tuple[int, int, int]) -> None:
    """Refuse mirrors that change nothing, and shifts that could leave nothing of an image.

    Parameters
    ----------
    settings
        How to train.
    image
        Image shape: (channels, height, width).

    Raises
    ------
    InputError
        If `hflip` is on for images one pixel wide, as rows of features are, or `translate` is not smaller than
        the sides of an image.
    """
    _, height, width = image
    if settings.hflip and width == 1:
        raise InputError(
            f"flips is true and images are {height}×{width}; they must be wider than one pixel to be "
            "mirrored. Rows of features cannot be augmented: leave flips out."
        )
    if settings.translate >= min(height, width):
        raise InputError(
            f"translate is {settings.translate} and images are {height}×{width}; it must be smaller than both "
            f"sides, or nothing of an image may be left. Give crops from 0 to {min(height, width) - 1}."
        )


class Augmentation:
    """Flips and shifts of the images of a training, each a function of the seed and of its position.

    With `hflip` an image is mirrored left to right with probability 1/2. With `translate` it is then shifted
    by whole pixels, down and to the right each by a number that is uniform on −crops … crops, as a crop
    out of the image with a black margin would be. What it no longer covers is black: 0, of floats too.

    Parameters
    ----------
    settings
        How to train.
    image
        Image shape: (channels, height, width).
    seed
        Root seed of the stream ``"augmentation"``.

    Raises
    ------
    InputError
        As :func:`check_augmentation`.
    """

    def __init__(
        self, settings: TrainConfig, image: tuple[int, int, int], *, seed: int, share: Share = WHOLE
    ) -> None:
        check_augmentation(settings, image)
        self._share, self._batch = share, settings.batch_size
        self._flips, self._crops, self._image = settings.hflip, settings.translate, image
        self._key = rng.stream(seed, "augmentation")

    def moves(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how images are changed.

        Parameters
        ----------
        position
            Positions in the stream of examples: step · batch + place in the batch; int64, shape (b,).

        Returns
        -------
        tuple of Tensor
            Three times int64 of shape (b,): 1 where mirrored, else 0; and by how many pixels the image is
            then shifted down and to the right.
        """
        # Three draws whatever is on, so that either setting changes nothing of what the other one does.
        draws = rng.uniform_bits(self._key, 3 * position + torch.arange(3, device=position.device)[:, None])
        mirrored = draws[0] % 2 if self._flips else torch.zeros_like(position)
        down, right = draws[1:] % (2 * self._crops + 1) - self._crops
        return mirrored, down, right

    def of(self, batches: Iterable[Batch], start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start, start + 1, …, all of one size, with their images changed.

        With both settings off these are the batches themselves.
        """
        return self._changed(batches, start) if self._flips or self._crops else iter(batches)

    def _changed(self, batches: Iterable[Batch], start: int) -> Iterator[Batch]:
        windows: tuple[Tensor, ...] = ()
        for number, batch in enumerate(batches):
            size = len(batch.images)
            ahead = max(1, _CHUNK // size)
            if number % ahead == 0:
                whole = self._batch if self._share.size > 1 else size
                part = self._share.of(whole)
                steps = torch.arange(start + number, start + number + ahead, device=batch.images.device)
                places = torch.arange(part.start, part.stop, device=batch.images.device)
                windows = self._windows(steps[:, None] * whole + places)
            yield Batch(self._cut(batch.images, windows[number % ahead]), batch.targets)

    def _windows(self, position: Tensor) -> tuple[Tensor, ...]:
        """Return for each of a few steps where, in what :meth:`_cut` lays out, its images begin."""
        steps, size = position.shape
        channels, height, width = self._image
        tall, wide = height + 2 * self._crops, width + 2 * self._crops
        place = torch.arange(steps * size, device=position.device)
        mirrored, down, right = self.moves(position.flatten())
        padded = mirrored * size + place % size
        row = padded * (channels * tall) + self._crops - down
        first = row * wide + self._crops - right
        return tuple(first.view(steps, size))

    def _cut(self, images: Tensor, window: Tensor) -> Tensor:
        """Lay images, and their mirror images, out in black and cut one window for each image."""
        channels, height, width = self._image
        margin = self._crops
        versions = (images, images.flip(3)) if self._flips else (images,)
        shape = len(versions), len(images), channels, height + 2 * margin, width + 2 * margin
        padded = images.new_zeros(shape)
        for out, version in zip(padded, versions, strict=True):
            out[:, :, margin : margin + height, margin : margin + width] = version
        # A view in which an image begins at every value: selecting from it copies whole rows, in a tenth of
        # the time of an index for each pixel.
        *_, channel, row, _ = padded.stride()
        reach = (channels - 1) * channel + (height - 1) * row + width
        begins = padded.as_strided((padded.numel() - reach + 1, *self._image), (1, channel, row, 1))
        return begins.index_select(0, window)
