"""Data in the memory of a user's program: arrays, DataFrames, Datasets of torch and of Hugging Face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_two_classes
from dilution.data.conversion import to_array
from dilution.data.example_ids import with_ids
from dilution.data.formats.hugging_face import HuggingFaceColumns, is_hugging_face
from dilution.data.formats.torch_items import is_map_style, read_datasets
from dilution.data.from_arrays import ARGUMENTS, CheckedArrays, check_arrays, leave_out_unused
from dilution.data.pixel_range import describe_levels
from dilution.data.splits import with_own_test_split
from dilution.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd

VALID_OBJECTS = (
    "a pair (X, y) of features or images and labels, as arrays, tensors or a DataFrame; four of these, "
    "(train_x, train_y, test_x, test_y); a DataFrame of pandas with a column of labels, which label= names; "
    "a dict of arguments of dilution.from_numpy; a Dilution, Arrays, DataSet or UnsplitData; a map-style "
    "torch Dataset of pairs of a tensor or image and a label, or a pair of these, the second of them the "
    "test split; or a Dataset of Hugging Face"
)
"""Objects that are data, for messages."""


class Examples(Protocol):
    """Examples in the order of the user."""

    @property
    def n_given(self) -> int:
        """Number of examples that the user gave, those that were left out included."""

    def to_data_set(self, name: str) -> DataSet:
        """Return the data set; without a test split a fixed fifth of each class becomes one."""

    def to_unsplit_data(self) -> UnsplitData:
        """Return the examples without those of a test split that the user gave."""


@runtime_checkable
class VirtualData(Protocol):
    """A data set that computes its examples, such as :class:`dilution.Dilution`."""

    def to_arrays(self) -> Arrays:
        """Return all examples in memory."""


def read_object(
    value: Any,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    group: str | None = None,
    subject: str = "its type",
    valid: str = VALID_OBJECTS,
) -> Examples:
    """Return the examples in an object.

    Parameters
    ----------
    value
        The object, one of `VALID_OBJECTS`.
    label
        Column of the label of a DataFrame or a Dataset of Hugging Face. Default: ``label``.
    noisy_label
        Observed labels beside true ones: a column of such a table, or with (X, y) one label per example.
    ids
        Column of ids, or one id per example. Default: positions of the examples.
    group
        Column of groups of a DataFrame.
    subject, valid
        Subject of the message about a type that is no data, and what is.

    Raises
    ------
    InputError
        If the object is none of these, its content breaks a rule, or an argument does not fit it.
    """
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    if is_hugging_face(value):
        return _read_hugging_face(HuggingFaceColumns(value, label), noisy_label, ids, group)
    if isinstance(value, dict) and any(map(is_hugging_face, value.values())):
        raise InputError(
            f"the data are a dict of Datasets, {', '.join(map(repr, value))}; pass one of them, such as "
            f"data[{next(iter(value))!r}]."
        )
    if (frame := as_frame(value)) is not None:
        from dilution.data.formats.frame_table import read_frame  # lazily: pandas takes a while to import

        return read_frame(frame, label, noisy_label, ids, group)
    if (pair := _frame_and_labels(value)) is not None:
        _refuse_columns(columns, ("label",), "the labels are the second of the pair")
        return _read_pair(*pair, noisy_label, ids, group)
    _refuse_columns(columns, ("label", "group"), "it names a column, and these data have no columns")
    if isinstance(ids, str):
        _refuse_columns(columns, ("ids",), "it names a column, and these data have no columns")
    if not _is_data(value):
        length = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise InputError(f"{subject} is {type(value).__name__}{length}; it must be {valid}.")
    return _WithIds(_read_arrays(value, noisy_label), ids)


def _is_data(value: Any) -> bool:
    """Return whether a value that is no table has a type of data."""
    if isinstance(value, tuple | list):
        is_pair = len(value) == 2 and all(map(is_map_style, value))
        return is_pair or (isinstance(value, tuple) and len(value) in (2, 4))
    known = (DataSet, UnsplitData, Arrays, VirtualData, dict)
    return isinstance(value, known) or is_map_style(value)


def _refuse_columns(columns: dict[str, Any], names: tuple[str, ...], reason: str) -> None:
    for name in names:
        if columns[name] is not None:
            raise InputError(f"{name} is {columns[name]!r}; {reason}. Leave {name} out.")


def _read_hugging_face(
    columns: HuggingFaceColumns, noisy_label: Any, ids: Any, group: str | None
) -> Examples:
    """Return the examples of a Dataset of Hugging Face: images, or the features in its other columns."""
    if columns.image is None:
        from dilution.data.formats.frame_table import read_frame

        return read_frame(columns.frame(), columns.label, noisy_label, ids, group)
    named = {"noisy_label": noisy_label, "group": group, "ids": ids if isinstance(ids, str) else None}
    values = {
        argument: None if name is None else columns.values(columns.check(name, argument))
        for argument, name in named.items()
    }
    examples = check_arrays(
        columns.images(),
        columns.values(columns.label),
        noisy_labels=values["noisy_label"],
        groups=values["group"],
    )
    return _WithIds(examples, ids if values["ids"] is None else values["ids"])


def as_frame(value: Any) -> pd.DataFrame | None:
    """Return a DataFrame of pandas, or a table of pyarrow or polars as one; None for anything else."""
    if hasattr(value, "iloc") and hasattr(value, "columns"):
        frame: pd.DataFrame = value
        return frame
    if hasattr(value, "to_pandas") and hasattr(value, "schema"):
        converted: pd.DataFrame = value.to_pandas()
        return converted
    return None


def _frame_and_labels(value: Any) -> tuple[pd.DataFrame, Any] | None:
    """Return a pair of a DataFrame and labels; None if the value is none."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return None
    frame = as_frame(value[0])
    return None if frame is None else (frame, value[1])


def _read_pair(frame: pd.DataFrame, labels: Any, noisy_label: Any, ids: Any, group: str | None) -> Examples:
    """Return the examples of a DataFrame of features and an array or Series of labels."""
    import pandas as pd

    from dilution.data.formats.frame_table import read_frame
    from dilution.data.from_arrays import check_same_index

    arrays = {"labels": labels} | (
        {} if noisy_label is None or isinstance(noisy_label, str) else {"noisy_labels": noisy_label}
    )
    named: dict[str, Any] = {}
    for name, values in arrays.items():
        check_same_index(frame, values, name)
        cells = values if hasattr(values, "dtype") or isinstance(values, list) else list(values)
        cells = cells.reshape(-1) if isinstance(cells, np.ndarray | Tensor) and cells.ndim == 2 else cells
        if len(cells) != len(frame):
            raise InputError(
                f"there are {len(cells):,} {name} for {len(frame):,} examples; there must be one per "
                "example. Check that both come from the same rows."
            )
        title = next(title for title in (name, f"{name} given beside the DataFrame") if title not in frame)
        column = cells.numpy(force=True) if isinstance(cells, Tensor) else cells
        named[title] = pd.Series(column, index=frame.index) if not isinstance(column, pd.Series) else column
    joined = frame.assign(**named)
    titles = list(named)
    noisy = titles[1] if len(titles) > 1 else noisy_label
    return read_frame(joined, titles[0], noisy, ids, group)


def _read_arrays(value: Any, noisy_label: Any) -> Examples:
    """Return the examples of anything that is no table."""
    is_pair = isinstance(value, tuple | list) and len(value) == 2
    if noisy_label is not None and (not is_pair or is_map_style(value[0])):
        raise InputError(
            f"noisy_label goes with a table or a pair (X, y), and the data are a {type(value).__name__}. "
            "Leave it out; Arrays and dicts have observed labels of their own."
        )
    if isinstance(value, DataSet):
        return _OwnSplits(value)
    if isinstance(value, UnsplitData):
        return _Unsplit(value)
    if isinstance(value, VirtualData):
        value = value.to_arrays()
    if isinstance(value, Arrays):
        check_two_classes(value.labels, value.classes)
        (train,), unused = leave_out_unused((value,))
        return CheckedArrays(train, notes=(*_describe_levels(train), *unused))
    if is_map_style(value):
        return read_datasets(value)
    if is_pair and all(map(is_map_style, value)):
        return read_datasets(*value)
    arguments = _arguments(value)
    return (
        check_arrays(**arguments)
        if noisy_label is None
        else check_arrays(**arguments, noisy_labels=noisy_label)
    )


def _describe_levels(arrays: Arrays) -> tuple[str, ...]:
    is_image = arrays.shape[1:] != (1, 1)
    return describe_levels(arrays.images, "images") if is_image and isinstance(arrays.images, Tensor) else ()


def _arguments(value: Any) -> dict[str, Any]:
    """Return a dict or tuple as arguments of :func:`dilution.data.from_arrays.check_arrays`."""
    if isinstance(value, dict):
        for key in value:
            if key not in (*ARGUMENTS, "name"):
                raise unknown("argument of from_numpy", str(key), (*ARGUMENTS, "name"))
        return {key: item for key, item in value.items() if key != "name"}
    arguments: dict[str, Any] = {}
    for prefix, x, y in zip(("", "test_"), value[::2], value[1::2], strict=False):
        array = to_array(x, f"{prefix}x")
        arguments[f"{prefix}{'features' if array.ndim == 2 else 'images'}"] = array
        arguments[f"{prefix}labels"] = y
    return arguments


@dataclass(frozen=True)
class _OwnSplits:
    """A data set that the user has divided."""

    data: DataSet

    @property
    def n_given(self) -> int:
        return len(self.data.train)

    def to_data_set(self, name: str) -> DataSet:
        del name  # it has one
        data = self._without_unused()
        return with_own_test_split(data.name, data.train, data.test, data.notes)

    def to_unsplit_data(self) -> UnsplitData:
        data = self._without_unused()
        return UnsplitData.without_test_split(data.train, data.test, data.notes)

    def _without_unused(self) -> DataSet:
        (train, test), unused = leave_out_unused((self.data.train, self.data.test))
        notes = (*self.data.notes, *_describe_levels(train), *unused)
        return replace(self.data, train=train, test=test, notes=notes)


@dataclass(frozen=True)
class _Unsplit:
    """Examples that are unsplit already."""

    examples: UnsplitData

    @property
    def n_given(self) -> int:
        return len(self.examples.arrays)

    def to_data_set(self, name: str) -> DataSet:
        examples = self.to_unsplit_data()
        return CheckedArrays(examples.arrays, notes=examples.notes).to_data_set(name)

    def to_unsplit_data(self) -> UnsplitData:
        (arrays,), unused = leave_out_unused((self.examples.arrays,))
        if not unused:
            return self.examples
        return replace(self.examples, arrays=arrays, notes=(*self.examples.notes, *unused))


@dataclass(frozen=True)
class _WithIds:
    """Examples with ids of the user, one per example that was given; None: their positions."""

    examples: Examples
    ids: Any

    @property
    def n_given(self) -> int:
        return self.examples.n_given

    def to_data_set(self, name: str) -> DataSet:
        return self.examples.to_data_set(name)

    def to_unsplit_data(self) -> UnsplitData:
        examples = self.examples.to_unsplit_data()
        if self.ids is None:
            return examples
        if isinstance(self.examples, _Unsplit):  # positions are those in data that were given earlier
            ids = with_ids(replace(examples, positions=np.arange(self.n_given)), self.ids, self.n_given)
            return replace(ids, positions=examples.positions)
        return with_ids(examples, self.ids, self.n_given)
