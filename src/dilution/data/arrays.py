"""The containers that every room shares: labelled images, a data set with its test half, rows with names."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dilution.errors import InputError


class LazyImages(Protocol):
    """Images that are not in memory: what :class:`Arrays` asks of them."""

    shape: tuple[int, int, int, int]
    """(n, channels, height, width)."""

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""

    def take(self, rows: Tensor) -> Tensor:
        """Return images: uint8, shape (len(rows), channels, height, width)."""

    def prefetch(self, rows: Tensor) -> None:
        """Prepare for images that will be taken soon, without waiting for them."""

    def subset(self, rows: Tensor) -> "LazyImages":
        """Return some of the images."""


@dataclass(frozen=True)
class Arrays:
    """Labelled images, anyone's. A row of a table is an image of one pixel with a channel for each feature.

    Parameters
    ----------
    images
        uint8, or finite float32 of any range, shape (n, channels, height, width); or the
        :class:`Images` of a file.
    labels
        int64, shape (n,), values 0 … classes − 1.
    classes
        Names of the classes, in the order of their numbers. Default: the numbers found.
    observed
        Labels as they were observed, of which some may be wrong, beside the true `labels`: int64,
        shape (n,), values 0 … classes − 1. Default: there are none.

    Raises
    ------
    InputError
        If dtype, shape, length or a label breaks the rules above.
    """

    images: Tensor | LazyImages
    labels: Tensor
    classes: tuple[str, ...] = field(default=())
    observed: Tensor | None = None

    def __post_init__(self) -> None:
        if isinstance(self.images, Tensor):
            _check_images(self.images)
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != tuple(self.images.shape[:1]):
            raise InputError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)} for "
                f"{self.images.shape[0]} images; they must be torch.int64, one for each image."
            )
        if len(self.labels) == 0:
            raise InputError("there are 0 images; at least one is needed.")
        low, high = int(self.labels.min()), int(self.labels.max())
        if not self.classes:
            object.__setattr__(self, "classes", tuple(str(k) for k in range(high + 1)))
        if low < 0 or high >= len(self.classes):
            raise InputError(
                f"labels run from {low} to {high}; with {len(self.classes)} classes they must lie "
                f"in 0 … {len(self.classes) - 1}. Renumber them, or name every class."
            )
        if self.observed is not None:
            _check_observed(self.observed, self.labels, len(self.classes))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def dtype(self) -> torch.dtype:
        """Of the values of an image: ``torch.uint8`` or ``torch.float32``."""
        return self.images.dtype if isinstance(self.images, Tensor) else torch.uint8

    @property
    def unit(self) -> int:
        """What a value is divided by to be in natural units: 255 for uint8, 1 for float32."""
        return 255 if self.dtype == torch.uint8 else 1

    def take(self, rows: Tensor) -> Tensor:
        """Return images of this :attr:`dtype`: (len(rows), channels, height, width); `rows` is int64."""
        if isinstance(self.images, Tensor):
            return self.images.index_select(0, rows)  # half the time of indexing with a tensor
        return self.images.take(rows).to(rows.device, non_blocking=True)

    @property
    def device(self) -> torch.device:
        """Where labels are, and images are taken to."""
        return self.labels.device

    def to(self, device: torch.device) -> "Arrays":
        """Return the same images and labels on a device: one copy, however often it is asked for.

        Images that are not in memory stay where they are.
        """
        if device == self.device:
            return self
        if device not in self._elsewhere:
            there = copy.copy(self)  # not made anew: it was checked, which would make a GPU wait
            for name, value in vars(self).items():
                if isinstance(value, Tensor):
                    object.__setattr__(there, name, value.to(device))
            vars(there).pop("_elsewhere")
            self._elsewhere[device] = there
        return self._elsewhere[device]

    @cached_property
    def _elsewhere(self) -> dict[torch.device, "Arrays"]:
        return {}

    def prefetch(self, rows: Tensor) -> None:
        """Prepare for images that will be taken soon; those in memory need nothing."""
        if not isinstance(self.images, Tensor):
            self.images.prefetch(rows)

    def subset(self, rows: Tensor) -> "Arrays":
        """Return some of the images with their labels."""
        images = self.images[rows] if isinstance(self.images, Tensor) else self.images.subset(rows)
        observed = None if self.observed is None else self.observed[rows]
        return Arrays(images, self.labels[rows], self.classes, observed)

    @cached_property
    def pixel_sums(self) -> Tensor:
        """Sum of the pixels of each channel of each uint8 image, and of their squares.

        int64, shape (2, n, channels). Computed once, so that the moments of any subset come cheap.

        Raises
        ------
        InputError
            If the images are float32, whose squares would lose what a difference of sums has to keep.
        """
        if not isinstance(self.images, Tensor):
            return self.images.pixel_sums.to(self.device)
        if self.dtype != torch.uint8:
            raise InputError(
                f"images are {self.dtype}; sums of pixels are kept for uint8 only. "
                "dilution.noise.channel_moments gives mean and deviation of either."
            )
        pixels = self.images.cpu().flatten(2).numpy()  # NumPy's sums take an eighth of torch's time
        sums = torch.empty(2, *pixels.shape[:2], dtype=torch.int64)
        # Few at a time, and sums in one place: nothing small is left between large things in the heap.
        for first in range(0, len(pixels), 64):
            values = pixels[first : first + 64].astype(np.uint16)  # 255² fits
            for out in sums.numpy()[:, first : first + 64]:
                np.sum(values, axis=2, dtype=np.uint64, out=out.view(np.uint64))
                np.square(values, out=values)
        return sums.to(self.device)


@dataclass(frozen=True)
class DataSet:
    """A data set as the studies use it: training images, and test images that choose nothing.

    Parameters
    ----------
    name
        How results call it.
    train, test
        Both with the same image shape, the same type of values and the same classes.
    notes
        What was done to the data on the way in, one sentence each, for the user to read.
    """

    name: str
    train: Arrays
    test: Arrays
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.train.dtype != self.test.dtype:
            raise InputError(
                f"training images are {self.train.dtype}, test images {self.test.dtype}; both must be of one "
                "type. Convert one of them."
            )
        shapes = self.train.shape, self.test.shape
        if shapes[0] != shapes[1] or self.train.classes != self.test.classes:
            raise InputError(
                f"training images are {shapes[0]} with {len(self.train.classes)} classes, "
                f"test images {shapes[1]} with {len(self.test.classes)}; both must be the "
                "same. Pass classes= to both halves if one lacks a class."
            )


@dataclass(frozen=True)
class Labelled:
    """Labelled examples in the order in which a user has them, with what the user calls each.

    Parameters
    ----------
    arrays
        The examples.
    rows
        The name of each: ``"row 17"`` of a table, the path of a file in its folder. None: the number of the
        example, from 0, is its name.
    notes
        What was done to the data on the way in, one sentence each, for the user to read.
    """

    arrays: Arrays
    rows: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def _check_images(images: Tensor) -> None:
    if images.dtype not in (torch.uint8, torch.float32) or images.ndim != 4:
        raise InputError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; they must be torch.uint8 or "
            "torch.float32 of shape (n, channels, height, width). Grey images need a channel axis: "
            "images[:, None]; rows of features become images with features[:, :, None, None]."
        )
    if images.is_floating_point() and images.numel() and not torch.stack(images.aminmax()).isfinite().all():
        finite = images.isfinite()
        place = tuple((~finite).nonzero()[0].tolist())
        raise InputError(
            f"images hold {int((~finite).sum()):,} values that are NaN or infinite, the first at {place}; "
            "all must be finite. Fill them, or leave those examples out."
        )


def _check_observed(observed: Tensor, labels: Tensor, classes: int) -> None:
    if observed.dtype != torch.int64 or observed.shape != labels.shape:
        raise InputError(
            f"observed labels are {observed.dtype} of shape {tuple(observed.shape)} for {len(labels)} "
            "images; they must be torch.int64, one for each image."
        )
    low, high = int(observed.min()), int(observed.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"observed labels run from {low} to {high}; with {classes} classes they must lie in "
            f"0 … {classes - 1}. Renumber them, or name every class."
        )
