"""Types of labels: a model predicts in the type that labels in memory had, and text for those of files."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dilution.data.class_names import without_fraction
from dilution.data.conversion import to_array
from dilution.data.from_objects import as_frame

LabelType = Literal["text", "integer", "boolean", "float"]
_TYPES: dict[str, LabelType] = {"i": "integer", "u": "integer", "b": "boolean", "f": "float"}
_LABEL, _LABELS = "label", "labels"
_LENGTHS = (2, 4)  # of (X, y), and of the same followed by a test split


def label_type(data: Any, label: str | None, classes: tuple[str, ...]) -> LabelType:
    """Return the type of the labels of data in memory; ``"text"`` for files, and for objects with names.

    Parameters
    ----------
    data
        What the user gave, as for :func:`dilution.fit`.
    label
        Column of the label, where it was named.
    classes
        Names of the classes.
    """
    labels = _given_labels(data, label)
    if labels is None:
        return "text"
    values = to_array(labels, _LABELS)
    if values.dtype.kind == "O":  # of a list, or of objects that are numbers
        values = np.array(values.tolist(), dtype=None if all(map(_is_number, values)) else object)
    kind = _TYPES.get(values.dtype.kind, "text")
    return kind if can_convert(classes, kind) else "text"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def typed_classes(classes: tuple[str, ...], kind: LabelType) -> NDArray[Any]:
    """Return the class names as labels of a type, shape (classes,)."""
    if kind == "boolean":
        return np.array([name == "True" for name in classes])
    if kind == "text":
        return np.array(classes)
    if kind == "float":
        return np.array([float(name) for name in classes])
    return np.array([int(name) for name in classes], dtype=np.int64)


def _given_labels(data: Any, label: str | None) -> Any:
    """Return the labels in an object: an array, or None."""
    if isinstance(data, tuple | list):
        return data[1] if len(data) in _LENGTHS else None
    if isinstance(data, dict):
        return data.get(_LABELS)
    frame = as_frame(data)
    if frame is None:
        return None
    name = str(_LABEL if label is None else label)
    columns = [column for column in frame.columns if str(column) == name]  # a name may be a number
    return frame[columns[0]] if len(columns) == 1 else None


def labels_of(classes: tuple[str, ...], kind: LabelType, probabilities: NDArray[np.float64]) -> NDArray[Any]:
    """Return the most probable label per row of probabilities, shape (n, classes), in a type: shape (n,)."""
    labels: NDArray[Any] = typed_classes(classes, kind)[probabilities.argmax(axis=1)]
    return labels


def can_convert(classes: tuple[str, ...], kind: LabelType) -> bool:
    """Return whether every name of a class is that of a label of a type."""
    if kind == "boolean":
        return set(classes) <= {"False", "True"}
    try:
        typed = typed_classes(classes, kind)
    except (ValueError, OverflowError):
        return False
    return all(without_fraction(str(value)) == name for value, name in zip(typed, classes, strict=True))
