"""The two containers that every room shares: labelled images, and a data set with its test half."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from dilution.errors import InputError


@dataclass(frozen=True)
class Arrays:
    """Labelled images, anyone's.

    Parameters
    ----------
    images
        uint8, shape (n, channels, height, width).
    labels
        int64, shape (n,), values 0 … classes − 1.
    classes
        Names of the classes, in the order of their numbers. Default: the numbers found.

    Raises
    ------
    InputError
        If dtype, shape, length or a label breaks the rules above.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise InputError(
                f"images are {self.images.dtype} of shape {tuple(self.images.shape)}; they must be "
                "torch.uint8 of shape (n, channels, height, width). Grey images need a channel "
                "axis: images[:, None]; images in [0, 1] become uint8 with (images * 255).round()."
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise InputError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)} for "
                f"{len(self.images)} images; they must be torch.int64, one for each image."
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

    @cached_property
    def pixel_sums(self) -> Tensor:
        """Sum of the pixels of each channel of each image, and of their squares.

        int64, shape (2, n, channels). Computed once, so that the moments of any subset come cheap.
        """
        parts = []
        for part in self.images.flatten(2).split(1024):
            values = part.long()
            parts.append(torch.stack([values.sum(dim=2), (values * values).sum(dim=2)]))
        return torch.cat(parts, dim=1)


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
        shapes = self.train.images.shape[1:], self.test.images.shape[1:]
        if shapes[0] != shapes[1] or self.train.classes != self.test.classes:
            raise InputError(
                f"training images are {tuple(shapes[0])} with {len(self.train.classes)} classes, "
                f"test images {tuple(shapes[1])} with {len(self.test.classes)}; both must be the "
                "same. Pass classes= to both halves if one lacks a class."
            )
