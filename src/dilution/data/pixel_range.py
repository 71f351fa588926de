"""One rule for the range of a user's pixels: floats lie in [0, 1], and uint8 in 0 … 255."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.errors import InputError

_LEVEL = 1 / 255
_ROUNDING = 1e-3  # share of a level below which a difference is one of float arithmetic


def check_range(low: float, high: float, name: str) -> None:
    """Refuse floats outside [0, 1], and those that were divided by 255 twice.

    Parameters
    ----------
    low, high
        Least and largest pixel.
    name
        Name of the images in messages.
    """
    if low < 0 or high > 1:
        raise InputError(
            f"{name} run from {low:g} to {high:g}; floats must lie in [0, 1]. Divide by the "
            "largest possible value (often 255), or pass uint8; undo any normalisation."
        )
    if 0 < high <= _LEVEL * (1 + 1e-6):
        raise InputError(
            f"{name} run from {low:g} to {high:.3g}, at most 1/255, and floats lie in [0, 1]; they were "
            f"probably divided by 255 twice. Pass {name} * 255."
        )


def describe_levels(images: NDArray[np.uint8] | Tensor, name: str) -> tuple[str, ...]:
    """Return a note on uint8 images whose only pixels are 0 and 1; none for others.

    Parameters
    ----------
    images
        Images of any type and shape.
    name
        Name of the images in notes.
    """
    if images.dtype not in (np.uint8, torch.uint8) or not len(images):
        return ()
    # Most images have a larger pixel in the first rows, so that the whole is rarely read.
    if int(images[:1].max()) > 1 or int(images.max()) != 1:
        return ()
    return (
        f"{name} are uint8 of 0 … 255 and hold only 0 and 1, which are both nearly black; if 1 is white, "
        f"pass {name} * 255",
    )


def describe_rounding(images: NDArray[Any], levels: NDArray[np.uint8], name: str) -> tuple[str, ...]:
    """Return a note on floats that lie between the 256 levels to which they are rounded; none if none does.

    Parameters
    ----------
    images
        Floats in [0, 1].
    levels
        Their levels, of the same shape.
    name
        Name of the images in notes.
    """
    largest = 0.0
    for start in range(0, len(images), 1024):  # so that few temporary arrays of floats exist at once
        part = slice(start, start + 1024)
        difference = np.abs(images[part] * 255 - levels[part])
        largest = max(largest, float(difference.max()))
    if largest <= _ROUNDING:
        return ()
    count = int(levels.max()) - int(levels.min()) + 1
    return (
        f"{name} are floats between the 256 levels of images and are rounded to them, by at most "
        f"{largest * _LEVEL:.2g}; their range has {count} of the levels",
    )
