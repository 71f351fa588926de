"""Different values of labels in any container: arrays, tensors, lists, columns of data frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import compress
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from dilution.data.conversion import to_array
from dilution.errors import InputError, short_repr

_SCALARS = (str, Real, np.bool_, Decimal)
_ARRAYS = (np.ndarray, torch.Tensor)
_PANDAS_MISSING = ("NAType", "NaTType")  # by name, since pandas is not imported for arrays
_PANDAS_TEXT = ("Interval",)  # what pandas.cut returns
_RULE = "labels are text, whole numbers or truth values"


@dataclass(frozen=True)
class LabelValues:
    """Labels as numbers of their different values.

    Parameters
    ----------
    codes
        Number of each label's value, int64 of shape (n,); −1 where a label is missing.
    values
        The different values: str, bool, int, float or Decimal.
    subject
        The labels in messages: ``"test_labels"``.
    label_name
        Function of a row that returns the name of its label in messages: ``"test_labels[3]"``.
    """

    codes: NDArray[np.int64]
    values: Sequence[Any]
    subject: str
    label_name: Callable[[int], str]

    def first(self, value: int) -> str:
        """Return the name of the first label with a value, which is given by its number."""
        return self.label_name(int(np.argmax(self.codes == value)))


def read_values(labels: ArrayLike, subject: str, label_name: Callable[[int], str]) -> LabelValues:
    """Return labels as numbers of their different values.

    Parameters
    ----------
    labels
        Shape (n,) or (n, 1): an array, masked or not, a tensor, a list, a column of pandas, polars or
        pyarrow. None, NaN, NA, NaT and masked labels are missing.
    subject, label_name
        As of :class:`LabelValues`.

    Raises
    ------
    InputError
        If the shape or a type breaks a rule, or a float is so large that it may stand for several numbers.
    """
    values = _unwrap(labels)
    if hasattr(values, "factorize") and not _has_numpy_type(values):  # of pandas: nullable, categories, text
        codes, different = values.factorize()
        return _without_missing(LabelValues(codes.astype(np.int64), list(different), subject, label_name))
    if isinstance(values, list | tuple) and not _holds(values, (list, tuple, *_ARRAYS)):
        return _read_objects(values, subject, label_name)
    array = _check_shape(to_array(values, subject), subject)
    is_float_tensor = isinstance(values, torch.Tensor) and values.is_floating_point()
    precision = (
        torch.finfo(values.dtype).eps if is_float_tensor else None
    )  # that of bfloat16 is lost in NumPy
    return _read_array(array, precision, subject, label_name)


def _unwrap(labels: Any) -> Any:
    """Return labels as a list, array, tensor or column of pandas in which missing ones are objects or NaN."""
    if isinstance(labels, np.ma.MaskedArray):
        objects = labels.data.astype(object)
        objects[np.ma.getmaskarray(labels)] = None
        return objects
    if hasattr(labels, "iloc") and np.ndim(labels) == 2 and labels.shape[1] == 1:
        return labels.iloc[:, 0]  # so that the only column of a frame keeps its type
    if isinstance(labels, list | tuple) and _holds(labels, _ARRAYS):
        if all(isinstance(label, torch.Tensor) and label.numel() == 1 for label in labels):
            return torch.stack([label.reshape(()) for label in labels])
        return [label.item() if isinstance(label, _ARRAYS) and label.ndim == 0 else label for label in labels]
    if _has_numpy_type(labels):
        is_time = labels.dtype.kind in "mM" and hasattr(labels, "to_list")
        return labels.to_list() if is_time else labels  # times are refused by the name of their type
    for method in ("to_pylist", "to_list"):  # NumPy would turn whole numbers of pyarrow with gaps into floats
        if hasattr(labels, method) and not hasattr(labels, "factorize"):
            return getattr(labels, method)()
    return labels


def _has_numpy_type(values: Any) -> bool:
    return isinstance(getattr(values, "dtype", None), np.dtype)


def _holds(values: Sequence[Any], kinds: tuple[type, ...]) -> bool:
    """Return whether one of the values is of one of the types."""
    return any(issubclass(kind, kinds) for kind in set(map(type, values)))


def is_missing(value: Any) -> bool:
    """Return whether a label is None, NaN, NA or NaT."""
    if value is None or type(value).__name__ in _PANDAS_MISSING:
        return True
    return isinstance(value, Real | Decimal) and bool(value != value)


def _check_shape(array: NDArray[Any], subject: str) -> NDArray[Any]:
    """Return labels of shape (n,)."""
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        one_hot = f"One-hot rows become that with {subject}.argmax(axis=1)."
        remedy = one_hot if array.ndim == 2 and array.dtype.kind in "biuf" else "Reshape them."
        raise InputError(
            f"{subject} have shape {array.shape}; they must be (n,), one class per example. {remedy}"
        )
    return array


def _read_array(
    array: NDArray[Any], precision: float | None, subject: str, label_name: Callable[[int], str]
) -> LabelValues:
    """Return the values of an array; `precision` is that of floats before their conversion."""
    kind = array.dtype.kind
    if kind in "OUT":
        return _read_objects(array.tolist(), subject, label_name)
    if kind in "biu":
        return LabelValues(*_number_integers(array), subject, label_name)
    if kind != "f":
        remedy = (
            f"Pass {subject}.real"
            if kind == "c" and not array.imag.any()
            else (f"Turn them into text with {subject}.astype('str')")
        )
        raise InputError(f"{subject} are of type {array.dtype}; {_RULE}. {remedy}.")
    is_present = ~np.isnan(array)
    present = array[is_present]
    is_whole = np.isfinite(present) & (present == np.rint(present))
    limit = 2 / (precision or float(np.finfo(array.dtype).eps))
    too_large = is_whole & (np.abs(present) >= limit)
    if too_large.any():
        row = int(np.flatnonzero(is_present)[np.argmax(too_large)])
        raise _inexact(label_name(row), array[row], limit)
    codes = np.full(len(array), -1, dtype=np.int64)
    if is_whole.all():
        codes[is_present], values = _number_integers(present.astype(np.int64))
        return LabelValues(codes, values, subject, label_name)
    different, codes[is_present] = np.unique(present, return_inverse=True)
    return LabelValues(codes, different.tolist(), subject, label_name)


def _number_integers(array: NDArray[Any]) -> tuple[NDArray[np.int64], list[int]]:
    """Return the number of each integer or truth value among the different ones, and these."""
    if not len(array):
        return np.empty(0, dtype=np.int64), []
    low, high = int(array.min()), int(array.max())
    if array.dtype.kind == "b" or high - low > 4 * len(array):
        different, codes = np.unique(array, return_inverse=True)
        return codes.astype(np.int64), different.tolist()
    if array.dtype.kind == "i":
        array = array.astype(np.int64)  # differences of narrower integers could overflow
    offsets = (array - array.dtype.type(low)).astype(np.int64)  # a table is faster than sorting
    present = np.zeros(high - low + 1, dtype=bool)
    present[offsets] = True
    return (np.cumsum(present) - 1)[offsets], [low + int(offset) for offset in np.flatnonzero(present)]


def _read_objects(values: Sequence[Any], subject: str, label_name: Callable[[int], str]) -> LabelValues:
    numbers: dict[Any, int] = {}
    kinds = set(map(type, values))
    if kinds <= {str, type(None)}:
        codes = (-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values)
        array = np.fromiter(codes, dtype=np.int64, count=len(values))
        return LabelValues(array, list(numbers), subject, label_name)
    for kind in kinds:
        _check_type(kind, values, label_name)
    pairs = ((type(value), value) for value in values)  # since True == 1 == 1.0
    keys = (numbers.setdefault(pair, len(numbers)) for pair in pairs)
    array = np.fromiter(keys, dtype=np.int64, count=len(values))
    return _without_missing(LabelValues(array, [value for _, value in numbers], subject, label_name))


def _check_type(kind: type, values: Sequence[Any], label_name: Callable[[int], str]) -> None:
    if issubclass(kind, _SCALARS) or kind is type(None):
        return
    if kind.__name__ in (*_PANDAS_MISSING, *_PANDAS_TEXT):
        return
    row = next(row for row, value in enumerate(values) if type(value) is kind)
    raise InputError(f"{label_name(row)} is a {kind.__name__}; {_RULE}. Turn them into text.")


def _without_missing(labels: LabelValues) -> LabelValues:
    """Return labels whose different values have been checked; missing values among them become −1."""
    present = np.array([not is_missing(value) for value in labels.values], dtype=bool)
    number_of = np.append(np.where(present, np.cumsum(present) - 1, -1), -1)  # the last is that of −1
    checked = replace(labels, codes=number_of[labels.codes], values=list(compress(labels.values, present)))
    values: list[Any] = []
    for number, value in enumerate(checked.values):
        kind: Any = type(value)
        if kind.__name__ in _PANDAS_TEXT:
            value = str(value)
        elif not issubclass(kind, _SCALARS):
            raise InputError(f"{checked.first(number)} is a {kind.__name__}; {_RULE}. Turn them into text.")
        elif isinstance(value, float | np.floating) and value == np.rint(value):
            limit = 2 / float(np.finfo(kind).eps)
            if limit <= abs(float(value)) < np.inf:
                raise _inexact(checked.first(number), value, limit)
        values.append(value)
    return replace(checked, values=values)


def _inexact(label: str, value: Any, limit: float) -> InputError:
    return InputError(
        f"{label} is {short_repr(float(value))}, a float; from {limit:,.0f} on, such floats cannot tell all "
        "whole numbers apart, so that different labels may have become one. Pass integers or text."
    )
