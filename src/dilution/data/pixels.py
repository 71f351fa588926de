"""A user's pictures become uint8 of shape (n, channels, height, width)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError


def to_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array; InputError, which calls it `what`, if the rows have different lengths."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(
            f"{what} are no array ({error}); all rows must have one shape. Resize or pad them."
        ) from error


def to_uint8(images: ArrayLike, what: str) -> NDArray[np.uint8]:
    """Return images as the library keeps them.

    Parameters
    ----------
    images
        Shape (n, height, width) or (n, channels, height, width); uint8, or floats in [0, 1],
        which are rounded to 256 levels.
    what
        How error messages call them.

    Returns
    -------
    ndarray
        uint8, shape (n, channels, height, width), a copy.

    Raises
    ------
    InputError
        If shape, type or a pixel breaks the rules above, or channels come last.
    """
    array = to_array(images, what)
    if array.ndim not in (3, 4) or array.size == 0:
        raise InputError(
            f"{what} have shape {array.shape}; they must be (n, height, width) or "
            "(n, channels, height, width), none of them 0. Reshape them."
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise InputError(
            f"{what} have shape {array.shape}; channels must come before height and width. "
            f"Pass {what}.transpose(0, 3, 1, 2)."
        )
    if array.dtype == np.uint8:
        return array.copy()
    if array.dtype.kind != "f":
        raise InputError(
            f"{what} are {array.dtype}; they must be uint8 or floats in [0, 1]. "
            f"If their values lie in 0 … 255, pass {what}.astype('uint8')."
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            f"{what} hold {count:,} pixels that are NaN or infinite; all must lie in [0, 1]. "
            "Remove those images or fill the pixels."
        )
    if low < 0 or high > 1:
        raise InputError(
            f"{what} run from {low:g} to {high:g}; floats must lie in [0, 1]. Divide by the "
            "largest possible value (often 255), or pass uint8; undo any normalisation."
        )
    levels: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return levels
