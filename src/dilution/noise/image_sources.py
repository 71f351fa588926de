"""Where the images of noisy examples come from: the same, fresh, another data set, white noise."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor
from torch.nn.functional import interpolate

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.utils import rng

LEVELS = 16
"""White noise takes 2**16 levels of its normal distribution, each from 16 bits of a hash."""


class ImageSource(Protocol):
    """Images of the noisy examples k = 0, 1, …, computed from k alone."""

    @property
    def name(self) -> str:
        """How results call the source."""

    @property
    def note(self) -> str:
        """What a reader must know of how the images were made; empty if nothing."""

    def rows(self, k: Tensor) -> Tensor:
        """Row of each image in the set it is from, −1 where it is in none; int64, shape of `k`."""

    def partners(self, k: Tensor) -> Tensor:
        """Row, in the clean data, of the example whose class the noisy label is drawn for."""

    def images(self, k: Tensor) -> Tensor:
        """Images of the clean ones' dtype, shape (len(k), channels, height, width)."""


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
    needed: int
    name: str = "fresh"

    def __post_init__(self) -> None:
        if len(self.fresh_rows) == 0:
            raise InputError(
                f"image_source='fresh' finds 0 fresh images: all {len(self.data)} are among the clean "
                "ones. Lower n, or use image_source='same'."
            )

    @property
    def note(self) -> str:
        uses = self.needed / len(self.fresh_rows)
        return f"each of {len(self.fresh_rows)} fresh images is used {uses:.2f} times" if uses > 1 else ""

    def rows(self, k: Tensor) -> Tensor:
        return self.fresh_rows[k % len(self.fresh_rows)]

    def partners(self, k: Tensor) -> Tensor:
        return self.rows(k)

    def images(self, k: Tensor) -> Tensor:
        return self.data.take(self.rows(k))


class ExternalImages:
    """Images of another data set, brought to the shape of the clean ones.

    Such an image has no true class here. Noisy example k is the partner of clean example k mod n, and
    its label is drawn from that example's row, so that labels are distributed exactly as with
    ``image_source="same"`` and only the images differ.
    """

    name = "external"

    def __init__(self, data: Arrays, clean_rows: Tensor, external: Arrays, seed: int) -> None:
        shape = data.shape
        if external.dtype != data.dtype or (data.dtype.is_floating_point and external.shape != shape):
            raise InputError(
                f"external images are {external.dtype} of shape {external.shape}, the data {data.dtype} of "
                f"shape {shape}; both must be of one type, and floats of one shape, since only images of "
                "pixels can be resized. Take images of the same kind, or image_source='white_noise'."
            )
        self._clean_rows = clean_rows
        self._external, self._shape = external, shape
        # What is in memory is brought to the shape once, what is not whenever it is read.
        images = external.images if isinstance(external.images, Tensor) else external.take(torch.arange(1))
        fitted, self.note = _fit(images, shape)
        self._fitted = fitted if isinstance(external.images, Tensor) else None
        self._key = rng.stream(seed, "external pictures")

    def rows(self, k: Tensor) -> Tensor:
        size = len(self._external)
        lap, place = k.div(size, rounding_mode="floor"), k % size
        shift = rng.uniform_bits(self._key, lap)  # other partners in each lap over the set
        return (rng.permute(self._key, place, size) + shift) % size

    def partners(self, k: Tensor) -> Tensor:
        return self._clean_rows[k % len(self._clean_rows)]

    def images(self, k: Tensor) -> Tensor:
        if self._fitted is not None:
            return self._fitted[self.rows(k)]
        return _fit(self._external.take(self.rows(k)), self._shape)[0]


class WhiteNoise:
    """Gaussian images: mean and standard deviation of each channel as in the clean images.

    Values of uint8 are rounded and clipped to 0 … 255, those of float32 stay as drawn. Labels are drawn as
    for :class:`ExternalImages`.
    """

    name = "white_noise"
    note = ""

    def __init__(self, data: Arrays, clean_rows: Tensor, seed: int) -> None:
        self._clean_rows = clean_rows
        self._shape = data.shape
        self._key = rng.stream(seed, "white noise")
        self._data = data

    @cached_property  # all images are read for it, which opening the set must not cost
    def _moments(self) -> tuple[Tensor, Tensor]:
        return channel_moments(self._data, self._clean_rows)

    @cached_property
    def _levels(self) -> Tensor:
        """A table of quantiles instead of a transform: integers in, integers out, on every machine.

        One row after the other for the channels of uint8; of float32 the standard normal, since there may be
        a thousand channels.
        """
        quantiles = torch.from_numpy(ndtri((np.arange(2**LEVELS) + 0.5) / 2**LEVELS))
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
        draw = rng.mix(self._key, k[:, None] * (channels * area) + pixel) & (2**LEVELS - 1)
        if self._data.dtype.is_floating_point:
            drawn = self._levels[draw].reshape(len(k), channels, height, width)
            mean, deviation = (each.float()[:, None, None].to(k.device) for each in self._moments)
            return drawn * deviation + mean
        level = draw + pixel.div(area, rounding_mode="floor") * 2**LEVELS
        return self._levels[level].reshape(len(k), channels, height, width)


def channel_moments(data: Arrays, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over some images of a data set.

    Both are float64, shape (channels,), in natural units: of uint8 for pixels in [0, 1], computed from whole
    numbers; of float32 in the units of the values. A channel of one value has deviation 0 exactly.
    """
    if data.dtype.is_floating_point:
        return _float_moments(data, rows)
    totals, squares = data.pixel_sums[:, rows].sum(dim=1).tolist()
    pixels = len(rows) * data.shape[1] * data.shape[2]
    # Python's integers: the squared total of many images is too large for int64, and as floats the
    # difference would leave a channel of one value a deviation.
    pairs = list(zip(totals, squares, strict=True))
    mean = [total / (255 * pixels) for total in totals]
    deviation = [math.sqrt(pixels * square - total**2) / (255 * pixels) for total, square in pairs]
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64)


def _float_moments(data: Arrays, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the moments of float32 images in two passes, the mean first.

    In one pass, by sums of squares, a column such as 10⁶ ± 1 would lose the digits that its deviation is in.
    """
    parts = rows.split(max(1, _VALUES // math.prod(data.shape)))
    values = len(rows) * data.shape[1] * data.shape[2]
    total = torch.zeros(data.shape[0], dtype=torch.float64, device=data.device)
    squares = torch.zeros_like(total)
    low, high = total.float() + math.inf, total.float() - math.inf
    for part in parts:
        taken = data.take(part)
        low, high = low.minimum(taken.amin(dim=(0, 2, 3))), high.maximum(taken.amax(dim=(0, 2, 3)))
        total += taken.double().sum(dim=(0, 2, 3))
    mean = torch.where(low == high, low.double(), total / values)
    for part in parts:
        squares += (data.take(part).double() - mean[:, None, None]).square_().sum(dim=(0, 2, 3))
    return mean.cpu(), (squares / values).sqrt().cpu()


_VALUES = 1 << 22  # held as float64 at once


def _fit(images: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, str]:
    """Bring images to (channels, height, width) and say in words what was done."""
    done = []
    channels, height, width = shape
    if images.shape[1] != channels:
        if images.shape[1] not in (1, 3) or channels not in (1, 3):
            raise InputError(
                f"external images have {images.shape[1]} channels, the data {channels}; only grey (1) "
                "and colour (3) can be brought together. Convert them first."
            )
        if channels == 3:
            images = images.expand(-1, 3, -1, -1)
            done.append("grey repeated on three channels")
        else:
            weights = torch.tensor([0.299, 0.587, 0.114])  # luma, ITU-R BT.601
            images = torch.cat(
                [
                    (part.float() * weights[:, None, None]).sum(1, keepdim=True).round().to(torch.uint8)
                    for part in images.split(1024)
                ]
            )
            done.append("colour turned to grey")
    if images.shape[2:] != (height, width):
        before = f"{images.shape[2]}×{images.shape[3]}"
        images = torch.cat(
            [
                interpolate(part.float(), (height, width), mode="bilinear", antialias=True)
                .round()
                .clamp(0, 255)
                .to(torch.uint8)
                for part in images.split(1024)
            ]
        )
        done.append(f"resized from {before} to {height}×{width}")
    return images, "external images: " + ", ".join(done) if done else ""
