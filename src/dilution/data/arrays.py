"""Containers of labelled images: one split (Arrays), a train and a test split (DataSet), unsplit data."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.exact_copies import exact_groups
from dilution.data.group_numbers import count_groups, number_groups
from dilution.errors import InputError


class LazyImages(Protocol):
    """Images that are read when they are taken, such as those of a pack."""

    shape: tuple[int, int, int, int]
    """(n, channels, height, width)."""

    @property
    def pixel_sums(self) -> Tensor:
        """As :attr:`Arrays.pixel_sums`."""

    def take(self, rows: Tensor) -> Tensor:
        """Return images: uint8, shape (len(rows), channels, height, width)."""

    def prefetch(self, rows: Tensor) -> None:
        """Start reading images that will be taken soon, without waiting for them."""

    def subset(self, rows: Tensor) -> "LazyImages":
        """Return some of the images."""


class InputEncoding(Protocol):
    """How rows of a table or files became images, as plain data: what new examples need to become so too."""

    @property
    def kind(self) -> str:
        """``"table"`` or ``"image files"``."""

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding in types that JSON has."""


@dataclass(frozen=True, repr=False)
class Arrays:
    """Images with their labels.

    A row of a table is an image of one pixel with one channel per feature.

    Parameters
    ----------
    images
        uint8, or finite float32 of any range, shape (n, channels, height, width); or ``LazyImages``,
        which are uint8.
    labels
        int64, shape (n,), values 0 … classes − 1.
    classes
        Names of the classes, in the order of their numbers. Default: the numbers 0 … max(labels).
    observed
        Observed labels, some of which may be wrong, where `labels` are the true ones: int64, shape (n,),
        values 0 … classes − 1. Default: there are none.
    groups
        Number of the group of each example, int64, shape (n,): examples of one group share a side of every
        split. Default: equal examples are a group.
    encoding
        How the images were made of a table or of files. None: they are arrays as they were given.

    Raises
    ------
    InputError
        If a type, shape or label breaks a rule above.
    """

    images: Tensor | LazyImages
    labels: Tensor
    classes: tuple[str, ...] = field(default=())
    observed: Tensor | None = None
    groups: Tensor | None = None
    encoding: InputEncoding | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.images, Tensor):
            _check_images(self.images)
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != tuple(self.images.shape[:1]):
            raise InputError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)} for "
                f"{self.images.shape[0]} images; they must be torch.int64, one per image."
            )
        if len(self.labels) == 0:
            raise InputError("there are 0 images; at least one is needed.")
        low, high = int(self.labels.min()), int(self.labels.max())
        if not self.classes:
            object.__setattr__(self, "classes", tuple(str(number) for number in range(high + 1)))
        if low < 0 or high >= len(self.classes):
            raise InputError(
                f"labels run from {low} to {high}; with {len(self.classes)} classes they must lie "
                f"in 0 … {len(self.classes) - 1}. Renumber them, or name every class."
            )
        if self.observed is not None:
            _check_observed(self.observed, self.labels, len(self.classes))
        if self.groups is not None:
            _check_groups(self.groups, self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        observed = "" if self.observed is None else ", observed labels"
        examples = _describe_examples(len(self), self.shape)
        return f"Arrays({examples}, {len(self.classes)} classes{observed})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def dtype(self) -> torch.dtype:
        """Type of the pixels: ``torch.uint8`` or ``torch.float32``."""
        return self.images.dtype if isinstance(self.images, Tensor) else torch.uint8

    @property
    def unit(self) -> int:
        """Divisor that brings pixels to natural units: 255 for uint8, 1 for float32."""
        return 255 if self.dtype == torch.uint8 else 1

    def take(self, rows: Tensor) -> Tensor:
        """Return images of this :attr:`dtype`: (len(rows), channels, height, width); `rows` is int64."""
        if isinstance(self.images, Tensor):
            return self.images.index_select(0, rows)  # half the time of indexing with a tensor
        return self.images.take(rows).to(rows.device, non_blocking=True)

    @property
    def device(self) -> torch.device:
        """Device of the labels, to which images are taken."""
        return self.labels.device

    def to(self, device: torch.device) -> "Arrays":
        """Return the same images and labels on a device; one copy per device is made and kept.

        Lazy images are not copied.
        """
        if device == self.device:
            return self
        if device not in self._copies:
            moved = copy.copy(self)  # without __init__, whose checks would make a GPU wait
            for name, value in vars(self).items():
                if isinstance(value, Tensor):
                    object.__setattr__(moved, name, value.to(device))
            vars(moved).pop("_copies")
            self._copies[device] = moved
        return self._copies[device]

    @cached_property
    def _copies(self) -> dict[torch.device, "Arrays"]:
        return {}

    def prefetch(self, rows: Tensor) -> None:
        """Start reading lazy images that will be taken soon; nothing happens to images in memory."""
        if not isinstance(self.images, Tensor):
            self.images.prefetch(rows)

    def subset(self, rows: Tensor) -> "Arrays":
        """Return some of the images with their labels."""
        images = self.images[rows] if isinstance(self.images, Tensor) else self.images.subset(rows)
        observed, groups = (
            None if values is None else values[rows] for values in (self.observed, self.groups)
        )
        return Arrays(images, self.labels[rows], self.classes, observed, groups, self.encoding)

    @cached_property
    def split_groups(self) -> Tensor | None:
        """Group of each example, numbered from 0; None if each example is a group of its own.

        None too where `groups` is not given and all examples are equal: placeholders have no content by which
        one could give another away.
        """
        groups = (
            exact_groups(self.images) if self.groups is None else number_groups(self.groups.cpu().numpy())
        )
        n_groups = count_groups(groups)
        is_trivial = n_groups == len(self) or (n_groups == 1 and self.groups is None)
        return None if is_trivial else torch.from_numpy(groups)

    @cached_property
    def pixel_sums(self) -> Tensor:
        """Sum of pixels and sum of squared pixels per channel of each uint8 image.

        int64, shape (2, n, channels). Computed once: the moments of any subset follow from it quickly.

        Raises
        ------
        InputError
            If the images are float32, whose sums of squares would lose digits that the variance needs.
        """
        if not isinstance(self.images, Tensor):
            return self.images.pixel_sums.to(self.device)
        if self.dtype != torch.uint8:
            raise InputError(
                f"images are {self.dtype}; pixel sums exist for uint8 only. "
                "dilution.noise.channel_moments gives mean and deviation of either."
            )
        pixels = self.images.cpu().flatten(2).numpy()  # NumPy sums these in an eighth of torch's time
        sums = torch.empty(2, *pixels.shape[:2], dtype=torch.int64)
        # Blocks of 64 images and one output array leave no small allocations between large ones in the heap.
        for first in range(0, len(pixels), 64):
            values = pixels[first : first + 64].astype(np.uint16)  # 255² fits
            for out in sums.numpy()[:, first : first + 64]:
                np.sum(values, axis=2, dtype=np.uint64, out=out.view(np.uint64))
                np.square(values, out=values)
        return sums.to(self.device)


@dataclass(frozen=True, repr=False)
class DataSet:
    """A data set with a train and a test split; no setting is chosen on the test split.

    Parameters
    ----------
    name
        Name of the data set in results.
    train, test
        Splits with the same image shape, pixel type and classes.
    notes
        Conversions made when the data were read, one sentence each, for the user.

    Raises
    ------
    InputError
        If the splits do not fit.
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
                "same. Pass classes= to both splits if one lacks a class."
            )

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} + {len(self.test)}"
        examples = _describe_examples(sizes, self.train.shape)
        return f"DataSet({self.name!r}, {examples}, {len(self.train.classes)} classes)"


@dataclass(frozen=True, repr=False)
class UnsplitData:
    """Labelled examples in the user's order, from which no test split was taken.

    Parameters
    ----------
    arrays
        The examples.
    names
        Id of each example: the user's own where there are ids, otherwise ``"row 17"`` of a table or the path
        of a file in its folder. None: the id of an example is its position.
    notes
        As of :class:`DataSet`.
    positions
        Position of each example in what the user gave, from 0: int64, shape (n,), increasing. Examples
        that were left out, such as rows without a label, count. Default: 0 … n − 1.
    places
        Row of a table or path of a file of each example, where `names` are ids of the user. None: there is
        no such place beside the names.
    weights
        Training weight of each label, float64, shape (n,), where the data bring them. None: they do not.

    Raises
    ------
    InputError
        If there is not one name, position, place and weight per example.
    """

    arrays: Arrays
    names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    positions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    places: tuple[str, ...] | None = None
    weights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.arrays)
        if not len(self.positions):
            object.__setattr__(self, "positions", np.arange(n))
        for values, noun in (
            (self.names, "names"),
            (self.positions, "positions"),
            (self.places, "places"),
            (self.weights, "weights"),
        ):
            if values is not None and len(values) != n:
                raise InputError(
                    f"there are {len(values):,} {noun} for {n:,} examples; there must be one per example. "
                    "Check that both come from the same rows."
                )

    def __repr__(self) -> str:
        return f"UnsplitData({self.arrays!r})"

    @classmethod
    def without_test_split(
        cls,
        train: Arrays,
        test: Arrays | None,
        notes: tuple[str, ...] = (),
        names: tuple[str, ...] | None = None,
        positions: NDArray[np.int64] | None = None,
    ) -> "UnsplitData":
        """Return the training examples, with a note on those of a test split that the data bring.

        Parameters
        ----------
        train, test
            The splits; None: the data have no test split of their own.
        notes
            Notes on the data.
        names, positions
            Names and positions of the training examples.
        """
        if test is not None:
            verb = "example of the test split is" if len(test) == 1 else "examples of the test split are"
            notes = (*notes, f"{len(test):,} {verb} left out")
        return cls(train, names, notes, np.arange(len(train)) if positions is None else positions)


def check_arrays(data: object) -> None:
    """Refuse what is no `Arrays`, such as a data set with both of its splits.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(data, Arrays):
        raise InputError(
            f"data is a {type(data).__name__}; it must be Arrays of images and labels, such as the train "
            "split: dilution.load('digits').train."
        )


def _describe_examples(count: int | str, shape: tuple[int, int, int]) -> str:
    """Return number and shape of examples: ``"360 images of 1×8×8"`` or ``"40 rows of 3 features"``."""
    channels, height, width = shape
    if height == width == 1:
        return f"{count} rows of {channels} {'feature' if channels == 1 else 'features'}"
    return f"{count} images of {channels}×{height}×{width}"


def _check_images(images: Tensor) -> None:
    if images.dtype not in (torch.uint8, torch.float32) or images.ndim != 4:
        raise InputError(
            f"images are {images.dtype} of shape {tuple(images.shape)}; they must be torch.uint8 or "
            "torch.float32 of shape (n, channels, height, width). Grey images need a channel axis: "
            "images[:, None]; rows of features become images with features[:, :, None, None]."
        )
    if images.is_floating_point() and images.numel() and not torch.stack(images.aminmax()).isfinite().all():
        not_finite = ~images.isfinite()
        index, count = tuple(not_finite.nonzero()[0].tolist()), int(not_finite.sum())
        raise InputError(
            f"images hold {count:,} {'value that is' if count == 1 else 'values that are'} NaN or infinite, "
            f"the first at {index}; "
            "all must be finite. Fill them, or leave those examples out."
        )


def _check_groups(groups: Tensor, labels: Tensor) -> None:
    if groups.dtype != torch.int64 or groups.shape != labels.shape:
        raise InputError(
            f"groups are {groups.dtype} of shape {tuple(groups.shape)} for {len(labels)} images; they must "
            "be torch.int64, one number per image. Number them with "
            "torch.from_numpy(pandas.factorize(numpy.asarray(groups))[0])."
        )


def _check_observed(observed: Tensor, labels: Tensor, n_classes: int) -> None:
    if observed.dtype != torch.int64 or observed.shape != labels.shape:
        raise InputError(
            f"observed labels are {observed.dtype} of shape {tuple(observed.shape)} for {len(labels)} "
            "images; they must be torch.int64, one per image."
        )
    low, high = int(observed.min()), int(observed.max())
    if low < 0 or high >= n_classes:
        raise InputError(
            f"observed labels run from {low} to {high}; with {n_classes} classes they must lie in "
            f"0 … {n_classes - 1}. Renumber them, or name every class."
        )
