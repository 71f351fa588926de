"""Augmentation: training pictures mirrored and shifted, on the device that they are on."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.training.batches import Batch
from dilution.training.config import TrainSettings
from dilution.training.distributed import WHOLE, Share
from dilution.utils import rng

_CHUNK = 1 << 13  # positions drawn at once: enough to hide the cost of the calls behind the steps


def check_augmentation(settings: TrainSettings, picture: tuple[int, int, int]) -> None:
    """Refuse mirrors that change nothing, and shifts that could leave nothing of a picture.

    Parameters
    ----------
    settings
        How to train.
    picture
        Picture shape: (channels, height, width).

    Raises
    ------
    InputError
        If `flips` is on for pictures one pixel wide, as rows of features are, or `crops` is not smaller than
        the sides of a picture.
    """
    _, height, width = picture
    if settings.flips and width == 1:
        raise InputError(
            f"flips is true and pictures are {height}×{width}; they must be wider than one pixel to be "
            "mirrored. Rows of features cannot be augmented: leave flips out."
        )
    if settings.crops >= min(height, width):
        raise InputError(
            f"crops is {settings.crops} and pictures are {height}×{width}; it must be smaller than both "
            f"sides, or nothing of a picture may be left. Give crops from 0 to {min(height, width) - 1}."
        )


class Augmentation:
    """Flips and shifts of the pictures of a training, each a function of the seed and of its position.

    With `flips` a picture is mirrored left to right with probability 1/2. With `crops` it is then shifted
    by whole pixels, down and to the right each by a number that is uniform on −crops … crops, as a crop
    out of the picture with a black margin would be. What it no longer covers is black: 0, of floats too.

    Parameters
    ----------
    settings
        How to train.
    picture
        Picture shape: (channels, height, width).
    seed
        Root seed of the stream ``"augmentation"``.

    Raises
    ------
    InputError
        As :func:`check_augmentation`.
    """

    def __init__(
        self, settings: TrainSettings, picture: tuple[int, int, int], *, seed: int, share: Share = WHOLE
    ) -> None:
        check_augmentation(settings, picture)
        self._share, self._batch = share, settings.batch
        self._flips, self._crops, self._picture = settings.flips, settings.crops, picture
        self._key = rng.stream(seed, "augmentation")

    def moves(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how pictures are changed.

        Parameters
        ----------
        position
            Positions in the stream of examples: step · batch + place in the batch; int64, shape (b,).

        Returns
        -------
        tuple of Tensor
            Three times int64 of shape (b,): 1 where mirrored, else 0; and by how many pixels the picture is
            then shifted down and to the right.
        """
        # Three draws whatever is on, so that either setting changes nothing of what the other one does.
        draws = rng.uniform_bits(self._key, 3 * position + torch.arange(3, device=position.device)[:, None])
        mirrored = draws[0] % 2 if self._flips else torch.zeros_like(position)
        down, right = draws[1:] % (2 * self._crops + 1) - self._crops
        return mirrored, down, right

    def of(self, batches: Iterable[Batch], start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start, start + 1, …, all of one size, with their pictures changed.

        With both settings off these are the batches themselves.
        """
        return self._changed(batches, start) if self._flips or self._crops else iter(batches)

    def _changed(self, batches: Iterable[Batch], start: int) -> Iterator[Batch]:
        windows: tuple[Tensor, ...] = ()
        for number, batch in enumerate(batches):
            size = len(batch.pictures)
            ahead = max(1, _CHUNK // size)
            if number % ahead == 0:
                whole = self._batch if self._share.size > 1 else size
                part = self._share.of(whole)
                steps = torch.arange(start + number, start + number + ahead, device=batch.pictures.device)
                places = torch.arange(part.start, part.stop, device=batch.pictures.device)
                windows = self._windows(steps[:, None] * whole + places)
            yield Batch(self._cut(batch.pictures, windows[number % ahead]), batch.targets)

    def _windows(self, position: Tensor) -> tuple[Tensor, ...]:
        """Return for each of a few steps where, in what :meth:`_cut` lays out, its pictures begin."""
        steps, size = position.shape
        channels, height, width = self._picture
        tall, wide = height + 2 * self._crops, width + 2 * self._crops
        place = torch.arange(steps * size, device=position.device)
        mirrored, down, right = self.moves(position.flatten())
        padded = mirrored * size + place % size
        row = padded * (channels * tall) + self._crops - down
        first = row * wide + self._crops - right
        return tuple(first.view(steps, size))

    def _cut(self, pictures: Tensor, window: Tensor) -> Tensor:
        """Lay pictures, and their mirror images, out in black and cut one window for each picture."""
        channels, height, width = self._picture
        margin = self._crops
        versions = (pictures, pictures.flip(3)) if self._flips else (pictures,)
        shape = len(versions), len(pictures), channels, height + 2 * margin, width + 2 * margin
        padded = pictures.new_zeros(shape)
        for out, version in zip(padded, versions, strict=True):
            out[:, :, margin : margin + height, margin : margin + width] = version
        # A view in which a picture begins at every value: selecting from it copies whole rows, in a tenth of
        # the time of an index for each pixel.
        *_, channel, row, _ = padded.stride()
        reach = (channels - 1) * channel + (height - 1) * row + width
        begins = padded.as_strided((padded.numel() - reach + 1, *self._picture), (1, channel, row, 1))
        return begins.index_select(0, window)
