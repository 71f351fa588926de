"""Held-out probabilities that a user brings, in place of those of models that are trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.data import UnsplitData
from dilution.data.class_names import normal_form, without_fraction
from dilution.data.conversion import to_array
from dilution.data.id_table import ID, ExampleIds
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.errors import DataError, InputError
from dilution.utils.npz_size import RefusedArraysError, check_array_fits, load_array
from dilution.utils.parquet_file import read_frame
from dilution.utils.regular_file import check_regular

_SUM_TOLERANCE = 1e-3  # of the probabilities of an example: those of float16 are this exact
_SUFFIXES = (".npy", ".csv", ".tsv", ".parquet")
_LEAST = 1e-9  # its logarithm is finite

Floats = NDArray[np.float64]


def given_cross_validation(
    pred_probs: Any, examples: UnsplitData, labels: NDArray[np.int64]
) -> tuple[CrossValidation, tuple[str, ...]]:
    """Return held-out predictions that the user brings as a cross-validation, and notes.

    Parameters
    ----------
    pred_probs
        Probabilities of the classes, shape (n, classes): an array or a DataFrame; or the path of a ``.npy``,
        ``.csv`` or ``.parquet`` file of these. Rows are in the order of what the user gave, or of the
        examples where some were left out; a table with a column ``id`` is matched by it. Columns are in the
        order of the classes, unless the names of all classes are those of the columns.
    examples
        The examples.
    labels
        Their noisy labels, int64, shape (n,).

    Raises
    ------
    InputError
        If the shape is another, a probability is not finite or negative, or the row of an example does not
        sum to 1.
    DataError
        If a file cannot be read.
    """
    source, values = "pred_probs", pred_probs
    if isinstance(pred_probs, str | Path):
        source, values = str(pred_probs), _read_file(Path(pred_probs))
    classes, notes = examples.arrays.classes, tuple[str, ...]()
    if isinstance(values, pd.DataFrame):
        values, notes = _from_frame(values, examples, source)
    else:
        order = ", ".join(classes[:5]) + (f" … {classes[-1]}" if len(classes) > 5 else "")
        notes = (f"columns of {source} are the classes in this order: {order}",)
    probabilities = _checked(to_array(values, source), examples, source)
    rows = np.arange(len(labels))
    shares = np.bincount(labels) / len(labels)
    return CrossValidation(
        probabilities,
        source,
        0,
        0,
        -float(np.log(probabilities[rows, labels]).mean()),
        -float(np.log(shares[labels]).mean()),
    ), (*notes, f"probabilities of {source} are taken to be held out: of models that never saw the label")


def check_probabilities_file(pred_probs: Any) -> None:
    """Refuse the path of a file that is not there or has another ending; other objects pass.

    Raises
    ------
    InputError
        If a path ends otherwise, or is that of a pipe or a device.
    DataError
        If there is no such file.
    """
    if not isinstance(pred_probs, str | Path):
        return
    path = Path(pred_probs)
    check_regular(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"{path} ends in {path.suffix!r}; probabilities must be in a .npy, .csv or .parquet file. Write "
            "it with numpy.save."
        )
    if not path.exists():
        raise DataError(f"{path} does not exist; name a file of probabilities.")


def _read_file(path: Path) -> Any:
    """Return the array or table in a file; nothing in it is executed."""
    check_probabilities_file(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            with path.open("rb") as file:
                check_array_fits(file, path.stat().st_size, "probabilities")
                return load_array(file, "probabilities")
        if suffix == ".parquet":
            return read_frame(path, "Write it with DataFrame.to_parquet.")
        return pd.read_csv(path, sep="," if suffix == ".csv" else "\t", dtype={ID: "str"})
    except (OSError, ValueError, EOFError, MemoryError, RefusedArraysError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it must hold an array of numbers. Write it with numpy.save."
        ) from error


def _from_frame(frame: pd.DataFrame, examples: UnsplitData, source: str) -> tuple[Any, tuple[str, ...]]:
    """Return the probabilities in a table, in the order of the examples and classes, and notes."""
    frame = frame.rename(columns=str)
    classes, notes = examples.arrays.classes, list[str]()
    if ID in frame and ID not in classes:
        frame = _in_order(frame, examples, source)
        notes.append(f"rows of {source} are matched by id")
    names = {without_fraction(normal_form(column)): column for column in frame}
    if set(classes) <= set(names):
        others = [column for name, column in names.items() if name not in set(classes)]
        if others:
            subject = "column is" if len(others) == 1 else "columns are"
            notes.append(f"{len(others):,} other {subject} not read, the first is {others[0]!r}")
        frame = frame[[names[name] for name in classes]]
        notes.append(f"columns of {source} are the classes of their names")
    elif set(names) & set(classes):
        missing = next(name for name in classes if name not in names)
        raise InputError(
            f"{source} has columns named like classes, and none for the class {missing!r}; each class needs "
            "a column. Add it, with probabilities of 0 if the model does not know the class."
        )
    else:
        notes.append(f"columns of {source} are the classes in the order {', '.join(classes[:5])} …")
    try:
        return frame.to_numpy(dtype=np.float64), tuple(notes)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source} holds what is no number ({error}); all must be probabilities.") from error


def _in_order(frame: pd.DataFrame, examples: UnsplitData, source: str) -> pd.DataFrame:
    """Return the rows of a table in the order of the examples that their ids name."""
    ids = ExampleIds(examples)
    row_of: dict[int, int] = {}
    for row, name in enumerate(frame[ID]):
        index = ids.find(str(name))
        if index is None:
            continue  # an example that was left out, such as one without a label
        if index in row_of:
            raise InputError(
                f"{source} has two rows of {ids.ids[index]!r}; each example needs one. Delete one of them."
            )
        row_of[index] = row
    missing = next((index for index in range(len(ids.ids)) if index not in row_of), None)
    if missing is not None:
        raise InputError(
            f"{source} has no row of {ids.ids[missing]!r}; each example needs one, and {ids.rule}. Add it."
        )
    return frame.drop(columns=ID).iloc[[row_of[index] for index in range(len(ids.ids))]]


def _checked(array: NDArray[Any], examples: UnsplitData, source: str) -> Floats:
    """Return probabilities as float64, shape (n, classes), that sum to 1 and whose logarithm is finite."""
    n, classes = len(examples.arrays), examples.arrays.classes
    if array.ndim == 2 and len(array) != n and len(array) > examples.positions[-1]:
        array = array[examples.positions]
    if array.shape != (n, len(classes)):
        raise InputError(
            f"{source} has shape {array.shape}; it must be ({n}, {len(classes)}): one row per example, one "
            f"column per class. The classes are {', '.join(classes[:10])}{' …' if len(classes) > 10 else ''}."
        )
    if array.dtype.kind not in "fiu":
        raise InputError(f"{source} is of type {array.dtype}; it must hold numbers. Convert it to float.")
    values: Floats = array.astype(np.float64)
    names = ExampleIds(examples).ids
    invalid = ~np.isfinite(values) | (values < -_SUM_TOLERANCE)
    if invalid.any():
        row, column = (int(number) for number in np.argwhere(invalid)[0])
        raise InputError(
            f"{source} has {values[row, column]} for the class {classes[column]!r} of {names[row]!r}; "
            "probabilities are finite and not negative. Of logits pass scipy.special.softmax(logits, axis=1)."
        )
    sums = values.sum(axis=1)
    odd = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if len(odd):
        row = int(odd[0])
        raise InputError(
            f"probabilities of {names[row]!r} in {source} sum to {sums[row]:.4g}; each row must sum to 1. Of "
            "logits pass scipy.special.softmax(logits, axis=1); of scores divide each row by its sum."
        )
    clipped = np.clip(values, _LEAST, None)
    scaled: Floats = clipped / clipped.sum(axis=1, keepdims=True)
    return scaled
