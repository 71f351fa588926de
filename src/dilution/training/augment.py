"""Augmentation: training images mirrored and shifted, on the device that holds them."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from dilution.errors import InputError
from dilution.training.batches import Batch
from dilution.training.config import TrainConfig
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.utils import rng

_CHUNK = 1 << 13  # positions drawn at once: enough to hide the cost of the calls behind the steps


def check_augmentation(config: TrainConfig, image_shape: tuple[int, int, int]) -> None:
    """Refuse mirroring of images that are one pixel wide, and shifts as large as an image.

    Parameters
    ----------
    config
        Configuration of the training.
    image_shape
        Image shape: (channels, height, width).

    Raises
    ------
    InputError
        If `hflip` is on for images one pixel wide, as rows of features are, or `translate` is not
        smaller than both sides of an image.
    """
    _, height, width = image_shape
    if config.hflip and width == 1:
        raise InputError(
            f"hflip is true and images are {height}×{width}; they must be wider than one pixel to be "
            "mirrored. Rows of features cannot be augmented: leave hflip out."
        )
    if config.translate >= min(height, width):
        raise InputError(
            f"translate is {config.translate} and images are {height}×{width}; it must be smaller than both "
            f"sides, or nothing of an image may be left. Give translate from 0 to {min(height, width) - 1}."
        )


class Augmentation:
    """Mirroring and shifts of training images, each a function of the seed and the position of an example.

    With `hflip` an image is mirrored left to right with probability 1/2. With `translate` it is
    then shifted down and to the right by whole pixels, each uniform on −translate … translate, like
    a crop out of the image with a black margin. Uncovered pixels are 0, also in float32 images.

    Parameters
    ----------
    config
        Configuration of the training.
    image_shape
        Image shape: (channels, height, width).
    seed
        Root seed of the stream of random numbers.
    shard
        The part of each batch that is augmented.
    stream
        Name of the stream; another name augments the same images in another way.

    Raises
    ------
    InputError
        As :func:`check_augmentation`.
    """

    def __init__(
        self,
        config: TrainConfig,
        image_shape: tuple[int, int, int],
        *,
        seed: int,
        shard: Shard = WHOLE_BATCH,
        stream: str = "augmentation",
    ) -> None:
        check_augmentation(config, image_shape)
        self._shard, self._batch_size = shard, config.batch_size
        self._hflip, self._translate, self._image_shape = config.hflip, config.translate, image_shape
        self._key = rng.stream(seed, stream)

    @property
    def changes_images(self) -> bool:
        """Whether images are mirrored or shifted."""
        return self._hflip or self._translate > 0

    def moves(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how images are mirrored and shifted.

        Parameters
        ----------
        position
            Positions in the stream of examples: step · batch size + position in the batch; int64,
            shape (b,).

        Returns
        -------
        tuple of Tensor
            Three tensors, int64 of shape (b,): 1 where the image is mirrored, else 0; the shift
            down; the shift to the right, in pixels.
        """
        # Three draws in any case, so that neither setting changes the numbers of the other.
        draws = rng.uniform_bits(self._key, 3 * position + torch.arange(3, device=position.device)[:, None])
        mirrored = draws[0] % 2 if self._hflip else torch.zeros_like(position)
        down, right = draws[1:] % (2 * self._translate + 1) - self._translate
        return mirrored, down, right

    def apply(self, batches: Iterable[Batch], start: int = 0) -> Iterator[Batch]:
        """Yield the batches of steps start, start + 1, …, all of one size, with augmented images.

        If both settings are off, the batches themselves are returned.
        """
        return self._augmented(batches, start) if self.changes_images else iter(batches)

    def apply_to(self, images: Tensor, step: int) -> Tensor:
        """Return the images of a whole batch as :meth:`apply` augments them at a step."""
        if not self.changes_images:
            return images
        positions = step * len(images) + torch.arange(len(images), device=images.device)
        (window,) = self._windows(positions[None])
        return self._cut(images, window)

    def _augmented(self, batches: Iterable[Batch], start: int) -> Iterator[Batch]:
        windows: tuple[Tensor, ...] = ()
        for number, batch in enumerate(batches):
            size = len(batch.images)
            steps_per_chunk = max(1, _CHUNK // size)
            if number % steps_per_chunk == 0:
                batch_size = self._batch_size if self._shard.size > 1 else size
                part = self._shard.slice_of(batch_size)
                first, device = start + number, batch.images.device
                steps = torch.arange(first, first + steps_per_chunk, device=device)
                positions = torch.arange(part.start, part.stop, device=device)
                windows = self._windows(steps[:, None] * batch_size + positions)
            yield Batch(self._cut(batch.images, windows[number % steps_per_chunk]), batch.targets)

    def _windows(self, position: Tensor) -> tuple[Tensor, ...]:
        """Return for each of several steps where its images begin in the memory laid out by :meth:`_cut`."""
        steps, size = position.shape
        channels, height, width = self._image_shape
        padded_height, padded_width = height + 2 * self._translate, width + 2 * self._translate
        index = torch.arange(steps * size, device=position.device)
        mirrored, down, right = self.moves(position.flatten())
        image = mirrored * size + index % size
        row = image * (channels * padded_height) + self._translate - down
        first = row * padded_width + self._translate - right
        return tuple(first.view(steps, size))

    def _cut(self, images: Tensor, window: Tensor) -> Tensor:
        """Pad images and their mirror images with black, and cut one window per image."""
        channels, height, width = self._image_shape
        margin = self._translate
        versions = (images, images.flip(3)) if self._hflip else (images,)
        shape = len(versions), len(images), channels, height + 2 * margin, width + 2 * margin
        padded = images.new_zeros(shape)
        for out, version in zip(padded, versions, strict=True):
            out[:, :, margin : margin + height, margin : margin + width] = version
        # A view in which an image begins at every value: selecting from it copies whole rows, in a tenth of
        # the time of an index per pixel.
        *_, channel_stride, row_stride, _ = padded.stride()
        extent = (channels - 1) * channel_stride + (height - 1) * row_stride + width
        view_shape = (padded.numel() - extent + 1, *self._image_shape)
        view = padded.as_strided(view_shape, (1, channel_stride, row_stride, 1))
        return view.index_select(0, window)
