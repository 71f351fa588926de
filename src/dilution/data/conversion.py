"""A user's images become uint8, rows of features float32, of shape (n, channels, height, width)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.errors import InputError


def to_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return an array; InputError, which calls it `what`, if the rows have different lengths."""
    if isinstance(values, torch.Tensor):
        return np.asarray(values.detach().cpu())
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


def to_features(features: ArrayLike, what: str) -> NDArray[np.float32]:
    """Return rows of features as the library keeps them: images of one pixel, a channel for each feature.

    Parameters
    ----------
    features
        Shape (n, features), any finite numbers.
    what
        How error messages call them.

    Returns
    -------
    ndarray
        float32, shape (n, features, 1, 1), a copy.

    Raises
    ------
    InputError
        If shape or type breaks the rules above, or a value is missing, infinite or too large.
    """
    array = to_array(features, what)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"{what} have shape {array.shape}; they must be (n, features), neither of them 0. Reshape them; "
            "images go under images."
        )
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{what} are of type {array.dtype}; they must be numbers. Pass {what}.astype('float32'), or "
            "write the table to a CSV file, where text becomes numbers."
        )
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        raise InputError(
            f"{what} hold {int(bad.sum()):,} values that are NaN, infinite or beyond 3.4e38, the first is "
            f"{what}[{row}, {column}] = {array[row, column]}; all must be finite. Fill them or drop those "
            "rows; or give a CSV file, where missing numbers are filled."
        )
    return values[:, :, None, None]
