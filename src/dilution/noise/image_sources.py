"""Image sources of the noisy examples: the same images, fresh ones, another data set, white noise."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dilution.data import Arrays
from dilution.errors import InputError, unknown
from dilution.noise.channel_moments import channel_moments
from dilution.utils import rng
from dilution.utils.migration import EXTERNAL_IMAGES_STREAM

IMAGE_SOURCES = ("same", "fresh", "white_noise")
"""Names of the image sources; the images may also come from another data set."""

LEVEL_BITS = 16
"""White noise has 2**16 levels of the normal distribution, each drawn with 16 bits of a hash."""


class ImageSource(Protocol):
    """Images of the noisy examples k = 0, 1, …, computed from k alone."""

    @property
    def name(self) -> str:
        """Name in results."""

    @property
    def note(self) -> str:
        """How the images were resized, converted or reused, for readers of results; may be empty."""

    def rows(self, k: Tensor) -> Tensor:
        """Return the row of each image in the set it comes from, −1 for white noise; int64, shape of `k`."""

    def partners(self, k: Tensor) -> Tensor:
        """Return the row, in the clean data, of the example that gives each noisy label its true class."""

    def images(self, k: Tensor) -> Tensor:
        """Return images of the same dtype as the clean ones, shape (len(k), channels, height, width)."""


def open_image_source(
    image_source: str | Arrays,
    data: Arrays,
    *,
    clean_rows: Tensor,
    fresh_rows: Tensor,
    count: int,
    seed: int,
) -> ImageSource:
    """Return the image source of a diluted set.

    Parameters
    ----------
    image_source
        One of `IMAGE_SOURCES`, or the `Arrays` of another data set.
    data
        Clean images.
    clean_rows, fresh_rows
        Rows of the clean examples and of the other images of the data.
    count
        Number of noisy examples.
    seed
        Root seed.

    Raises
    ------
    InputError
        If there is no such image source, or it has no images that fit.
    """
    if isinstance(image_source, Arrays):
        return ExternalImages(data, clean_rows, image_source, seed)
    if image_source == "same":
        return SameImages(data, clean_rows)
    if image_source == "fresh":
        return FreshImages(data, fresh_rows, count)
    if image_source == "white_noise":
        return WhiteNoise(data, clean_rows, seed)
    if not isinstance(image_source, str):
        raise InputError(
            f"image_source is a {type(image_source).__name__}; it must be 'same', 'fresh', 'white_noise' or "
            "the Arrays of another data set, such as its train split."
        )
    raise unknown("image source", image_source, IMAGE_SOURCES)


@dataclass(frozen=True)
class SameImages:
    """The clean images again: noisy example k shows clean image k mod n."""

    data: Arrays
    clean_rows: Tensor
    name: str = "same"
    note: str = ""

    def rows(self, k: Tensor) -> Tensor:
        return self.clean_rows[k % len(self.clean_rows)]

    def partners(self, k: Tensor) -> Tensor:
        return self.rows(k)

    def images(self, k: Tensor) -> Tensor:
        return self.data.take(self.rows(k))


@dataclass(frozen=True)
class FreshImages:
    """Other images of the same data set, none of them among the n clean ones.

    They are used in the order of `fresh_rows`, and again from the start once all were used.
    """

    data: Arrays
    fresh_rows: Tensor
    count: int
    name: str = "fresh"

    def __post_init__(self) -> None:
        if len(self.fresh_rows) == 0:
            raise InputError(
                f"image_source='fresh' finds 0 fresh images: all {len(self.data)} are among the clean "
                "ones. Lower n, or use image_source='same'."
            )

    @property
    def note(self) -> str:
        uses = self.count / len(self.fresh_rows)
        return f"each of {len(self.fresh_rows)} fresh images is used {uses:.2f} times" if uses > 1 else ""

    def rows(self, k: Tensor) -> Tensor:
        return self.fresh_rows[k % len(self.fresh_rows)]

    def partners(self, k: Tensor) -> Tensor:
        return self.rows(k)

    def images(self, k: Tensor) -> Tensor:
        return self.data.take(self.rows(k))


class ExternalImages:
    """Images of another data set, converted to the shape of the clean ones.

    Such an image has no true class in these data. Noisy example k is the partner of clean example k
    mod n, and its label is drawn from the row of that example's class, so that the labels are
    distributed exactly as with ``image_source="same"`` and only the images differ.
    """

    name = "external"

    def __init__(self, data: Arrays, clean_rows: Tensor, external: Arrays, seed: int) -> None:
        shape = data.shape
        if external.dtype != data.dtype or (data.dtype.is_floating_point and external.shape != shape):
            raise InputError(
                f"external images are {external.dtype} of shape {external.shape}, the data {data.dtype} of "
                f"shape {shape}; both must have one dtype, and float32 images one shape, because only uint8 "
                "images can be resized. Use images of the same kind, or image_source='white_noise'."
            )
        self._clean_rows = clean_rows
        self._external, self._shape = external, shape
        # Images in memory are converted once, images in files whenever they are read.
        images = external.images if isinstance(external.images, Tensor) else external.take(torch.arange(1))
        converted, self.note = _convert(images, shape)
        self._converted = converted if isinstance(external.images, Tensor) else None
        self._key = rng.stream(seed, EXTERNAL_IMAGES_STREAM)

    def rows(self, k: Tensor) -> Tensor:
        size = len(self._external)
        lap, position = k.div(size, rounding_mode="floor"), k % size
        shift = rng.uniform_bits(self._key, lap)  # other partners in each lap over the set
        return (rng.permute(self._key, position, size) + shift) % size

    def partners(self, k: Tensor) -> Tensor:
        return self._clean_rows[k % len(self._clean_rows)]

    def images(self, k: Tensor) -> Tensor:
        if self._converted is not None:
            return self._converted[self.rows(k)]
        return _convert(self._external.take(self.rows(k)), self._shape)[0]


class WhiteNoise:
    """Gaussian noise with the mean and standard deviation of each channel of the clean images.

    Values of uint8 images are rounded and clipped to 0 … 255, those of float32 images stay as
    drawn. Labels are drawn as for :class:`ExternalImages`.
    """

    name = "white_noise"
    note = ""

    def __init__(self, data: Arrays, clean_rows: Tensor, seed: int) -> None:
        self._clean_rows = clean_rows
        self._shape = data.shape
        self._key = rng.stream(seed, "white noise")
        self._data = data

    @cached_property  # reads all images, which opening the set must not cost
    def _moments(self) -> tuple[Tensor, Tensor]:
        return channel_moments(self._data, self._clean_rows)

    @cached_property
    def _levels(self) -> Tensor:
        """A table of quantiles instead of a transform: integers in, integers out, on every machine.

        For uint8 it has one row per channel, end to end; for float32 it is the standard normal
        distribution, because there may be a thousand channels.
        """
        quantiles = torch.from_numpy(scipy.special.ndtri((np.arange(2**LEVEL_BITS) + 0.5) / 2**LEVEL_BITS))
        if self._data.dtype.is_floating_point:
            return quantiles.float().to(self._data.device)
        mean, deviation = self._moments
        levels = 255 * (mean[:, None] + deviation[:, None] * quantiles)
        return levels.round().clamp(0, 255).to(self._data.device, torch.uint8).flatten()

    def rows(self, k: Tensor) -> Tensor:
        return torch.full_like(k, -1)

    def partners(self, k: Tensor) -> Tensor:
        return self._clean_rows[k % len(self._clean_rows)]

    def images(self, k: Tensor) -> Tensor:
        channels, height, width = self._shape
        area = height * width
        pixel = torch.arange(channels * area, device=k.device)
        draw = rng.mix(self._key, k[:, None] * (channels * area) + pixel) & (2**LEVEL_BITS - 1)
        if self._data.dtype.is_floating_point:
            values = self._levels[draw].reshape(len(k), channels, height, width)
            mean, deviation = (moment.float()[:, None, None].to(k.device) for moment in self._moments)
            return values * deviation + mean
        level = draw + pixel.div(area, rounding_mode="floor") * 2**LEVEL_BITS
        return self._levels[level].reshape(len(k), channels, height, width)


def _convert(images: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, str]:
    """Return images converted to (channels, height, width), and a note of what was done."""
    changes = []
    channels, height, width = shape
    if images.shape[1] != channels:
        if images.shape[1] not in (1, 3) or channels not in (1, 3):
            raise InputError(
                f"external images have {images.shape[1]} channels, the data {channels}; only grey (1) and "
                "colour (3) can be converted into each other. Convert the images first."
            )
        if channels == 3:
            images = images.expand(-1, 3, -1, -1)
            changes.append("grey repeated on three channels")
        else:
            images = torch.cat([_grey(part) for part in images.split(1024)])
            changes.append("colour turned to grey")
    if images.shape[2:] != (height, width):
        changes.append(f"resized from {images.shape[2]}×{images.shape[3]} to {height}×{width}")
        images = torch.cat([_resized(part, height, width) for part in images.split(1024)])
    return images, "external images: " + ", ".join(changes) if changes else ""


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114])  # luma, ITU-R BT.601
    return (images.float() * weights[:, None, None]).sum(1, keepdim=True).round().to(torch.uint8)


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    resized = interpolate(images.float(), (height, width), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
