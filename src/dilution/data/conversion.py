"""Conversion of a user's arrays to tensors of images: images become uint8, features float32."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.data.pixel_range import check_range, describe_levels, describe_rounding
from dilution.errors import InputError, short_repr


def to_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return values as an array; floats that NumPy does not have, such as bfloat16, become float32.

    Raises
    ------
    InputError
        If rows differ in length, values are masked, or a tensor has no values. The message calls them `name`.
    """
    if isinstance(values, torch.Tensor):
        return _tensor_to_array(values, name)
    n_masked = int(np.sum(np.ma.getmaskarray(values))) if isinstance(values, np.ma.MaskedArray) else 0
    if n_masked:
        raise InputError(
            f"{name} hold {n_masked:,} masked values; none may be missing. Fill "
            f"them, with {name}.filled(0) for instance, or leave those examples out."
        )
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(
            f"{name} are no array ({error}); all rows must have one shape. Resize or pad them."
        ) from error


def _tensor_to_array(tensor: torch.Tensor, name: str) -> NDArray[Any]:
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()
    try:
        dense = tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()
        array: NDArray[Any] = dense.numpy(force=True)
    except (TypeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name} are a tensor without usual values ({reason}). Pass a dense tensor of numbers."
        ) from error
    return array


def to_uint8(images: ArrayLike, name: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return images as uint8, shape (n, channels, height, width), a copy, and notes on them.

    Parameters
    ----------
    images
        Shape (n, height, width) or (n, channels, height, width); uint8, or floats in [0, 1], which are
        rounded to 256 levels.
    name
        Name of the argument, for messages.

    Raises
    ------
    InputError
        If shape, type or a pixel breaks a rule above, or channels come last.
    """
    array = to_array(images, name)
    if array.ndim not in (3, 4) or array.size == 0:
        raise InputError(
            f"{name} have shape {array.shape}; they must be (n, height, width) or "
            "(n, channels, height, width), none of them 0. Reshape them."
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        raise InputError(
            f"{name} have shape {array.shape}; channels must come before height and width. "
            f"Pass {name}.transpose(0, 3, 1, 2)."
        )
    if array.dtype == np.uint8:
        return array.copy(), describe_levels(array, name)
    if array.dtype.kind != "f":
        raise InputError(
            f"{name} are {array.dtype}; they must be uint8 or floats in [0, 1]. {_remedy(array, name)}"
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            f"{name} hold {_count(count, 'pixel')} NaN or infinite; all must lie in [0, 1]. "
            "Remove those images or fill the pixels."
        )
    check_range(low, high, name)
    levels: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
    return levels, describe_rounding(array, levels, name)


def _remedy(array: NDArray[Any], name: str) -> str:
    """Return the remedy for images of another type than uint8 and floats."""
    kind = array.dtype.kind
    if kind == "c":
        return f"Pass abs({name}) / abs({name}).max(), their magnitudes."
    if kind in "biu":
        low, high = int(array.min()), int(array.max())
        if low >= 0 and high <= 1:
            return f"Pass {name}.astype('float32'), since they hold only 0 and 1."
        if low >= 0 and high <= 255:
            return f"If their range is 0 … 255, pass {name}.astype('uint8')."
        if low >= 0:
            return f"They run from {low} to {high}: pass {name} / {high}."
        return f"They run from {low} to {high}: undo any normalisation."
    return f"If they hold numbers in 0 … 255, pass {name}.astype('uint8')."


def to_features(features: ArrayLike, name: str) -> NDArray[np.float32]:
    """Return rows of features as float32, shape (n, features, 1, 1), a copy.

    Parameters
    ----------
    features
        Shape (n, features), any finite numbers.
    name
        Name of the argument, for messages.

    Raises
    ------
    InputError
        If shape or type breaks a rule above, or a value is missing, infinite or too large.
    """
    array = to_array(features, name)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"{name} have shape {array.shape}; they must be (n, features), neither of them 0. Reshape them; "
            "pass images as images."
        )
    if array.dtype.kind not in "biuf":
        if array.dtype.kind == "c":
            raise InputError(
                f"{name} are of type {array.dtype}, complex; they must be real numbers. Pass both parts, "
                f"numpy.hstack([{name}.real, {name}.imag])."
            )
        if collection := _first_collection(array):
            raise InputError(
                f"{name} hold {collection}; each must be one number. Make each element a column of its own: "
                "frame[column].apply(pd.Series) of pandas does so for a column."
            )
        convert = f"Pass {name}.astype('float32'), or w" if _is_castable(array) else "W"
        raise InputError(
            f"{name} are of type {array.dtype}; they must be numbers. {convert}rite the table to a CSV file, "
            "where text becomes numbers."
        )
    with np.errstate(over="ignore"):
        values = np.array(array, dtype=np.float32)
    not_finite = ~np.isfinite(values)
    if not_finite.any():
        row, column = (int(index) for index in np.argwhere(not_finite)[0])
        raise InputError(
            f"{name} hold {_count(int(not_finite.sum()), 'value')} NaN, infinite or beyond 3.4e38, the "
            f"first is {name}[{row}, {column}] = {array[row, column]}; all must be finite. Fill them or "
            "drop those rows; or write a CSV file, where missing numbers are filled."
        )
    _check_precision(array, values, name)
    return values[:, :, None, None]


_DISTINCT = 1000  # numbers that the range of a feature must hold in float32


def _check_precision(array: NDArray[Any], values: NDArray[np.float32], name: str) -> None:
    """Refuse a feature of large and close numbers, such as times in seconds: float32 makes them equal."""
    low, high = array.min(axis=0), array.max(axis=0)
    spread = np.array(high - low if array.dtype.kind in "iu" else high * 1.0 - low, dtype=np.float64)
    steps = np.spacing(np.abs(values).max(axis=0)).astype(np.float64)
    coarse = (spread > 0) & (spread < _DISTINCT * steps)
    if coarse.any():
        column = int(np.flatnonzero(coarse)[0])
        raise InputError(
            f"{name}[:, {column}] runs from {low[column]} to {high[column]}; float32 cannot tell such large "
            f"and close numbers apart. Pass {name} - {name}.min(axis=0)."
        )


def _count(count: int, noun: str) -> str:
    """Return a count with its noun and verb, for what follows: ``"1 value that is"``."""
    return f"1 {noun} that is" if count == 1 else f"{count:,} {noun}s that are"


def _first_collection(array: NDArray[Any]) -> str:
    """Return the first list, dictionary or the like in an array of objects, with its type; empty if none."""
    kinds = (list, tuple, set, dict, np.ndarray)
    first = next((value for value in array.flat if isinstance(value, kinds)), None)
    return "" if first is None else f"{short_repr(first)}, a {type(first).__name__}"


def _is_castable(array: NDArray[Any]) -> bool:
    """Return whether all values of an array of text or objects are numbers."""
    try:
        array.astype(np.float32)
    except (TypeError, ValueError):
        return False
    return array.dtype.kind in "OUS"
