"""The two containers that every room shares: labelled images, and a data set with its test half."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dilution.errors import InputError


class Pictures(Protocol):
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

    def subset(self, rows: Tensor) -> "Pictures":
        """Return some of the images."""


@dataclass(frozen=True)
class Arrays:
    """Labelled images, anyone's.

    Parameters
    ----------
    images
        uint8, shape (n, channels, height, width); or the :class:`Pictures` of a file.
    labels
        int64, shape (n,), values 0 … classes − 1.
    classes
        Names of the classes, in the order of their numbers. Default: the numbers found.

    Raises
    ------
    InputError
        If dtype, shape, length or a label breaks the rules above.
    """

    images: Tensor | Pictures
    labels: Tensor
    classes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if isinstance(self.images, Tensor) and (self.images.dtype != torch.uint8 or self.images.ndim != 4):
            raise InputError(
                f"images are {self.images.dtype} of shape {tuple(self.images.shape)}; they must be "
                "torch.uint8 of shape (n, channels, height, width). Grey images need a channel "
                "axis: images[:, None]; images in [0, 1] become uint8 with (images * 255).round()."
            )
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

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def take(self, rows: Tensor) -> Tensor:
        """Return images: uint8, shape (len(rows), channels, height, width); `rows` is int64."""
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
        return Arrays(images, self.labels[rows], self.classes)

    @cached_property
    def pixel_sums(self) -> Tensor:
        """Sum of the pixels of each channel of each image, and of their squares.

        int64, shape (2, n, channels). Computed once, so that the moments of any subset come cheap.
        """
        if not isinstance(self.images, Tensor):
            return self.images.pixel_sums.to(self.device)
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
        Both with the same image shape and the same classes.
    """

    name: str
    train: Arrays
    test: Arrays

    def __post_init__(self) -> None:
        shapes = self.train.shape, self.test.shape
        if shapes[0] != shapes[1] or self.train.classes != self.test.classes:
            raise InputError(
                f"training images are {shapes[0]} with {len(self.train.classes)} classes, "
                f"test images {shapes[1]} with {len(self.test.classes)}; both must be the "
                "same. Pass classes= to both halves if one lacks a class."
            )
