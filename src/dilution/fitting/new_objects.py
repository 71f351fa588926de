"""New examples in memory that have labels: Arrays, pairs, Datasets of torch and of Hugging Face."""

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from dilution.data.arrays import Arrays, UnsplitData
from dilution.data.formats.hugging_face import HuggingFaceColumns
from dilution.data.formats.table_encoding import TableEncoding
from dilution.data.formats.torch_items import read_items
from dilution.data.from_objects import as_frame
from dilution.errors import InputError
from dilution.fitting.new_arrays import convert, read_given
from dilution.fitting.new_examples import GivenLabels, HeldExamples, NewExamples, given_ids
from dilution.fitting.new_rules import InputRule, no_array, noun_of
from dilution.fitting.new_tables import open_frame


def open_items(examples: UnsplitData, rule: InputRule, ids: Any) -> NewExamples:
    """Return labelled examples, whose images are converted like an array."""
    arrays = examples.arrays
    ids = examples.names if ids is None else given_ids(ids, len(arrays))
    if isinstance(rule.encoding, TableEncoding) or arrays.encoding is not None:
        held = open_labelled(arrays, rule, ids)
        return replace(held, notes=(*examples.notes, *held.notes))
    images: Tensor | Arrays = arrays
    notes: tuple[str, ...] = ()
    if isinstance(arrays.images, Tensor):
        images, notes = convert(arrays.images, rule.shape, rule.dtype, noun_of(rule))
    else:
        _check_arrays(arrays, rule)
    given = _labels_of(arrays, rule)
    return HeldExamples(images, ids, given, (*examples.notes, *notes, *given.notes))


def open_dataset(data: Any, rule: InputRule, ids: Any) -> HeldExamples:
    """Return the items of a map-style torch Dataset, whose labels may be of one class."""
    if isinstance(rule.encoding, TableEncoding):
        raise no_array(data, rule.encoding)
    items = read_items(data)
    images, notes = convert(items.images, rule.shape, rule.dtype, noun_of(rule))
    given = GivenLabels.of_column(items.named_column, rule.classes, "labels of the Dataset")
    return HeldExamples(images, given_ids(ids, len(images)), given, (*items.notes, *notes, *given.notes))


def as_pair(data: Any) -> tuple[Any, Any] | None:
    """Return features or images and labels of a pair (X, y) or a dict of these; None for anything else."""
    if isinstance(data, dict):
        keys = [key for key in ("images", "features") if key in data]
        return (data[keys[0]], data.get("labels")) if len(keys) == 1 else None
    is_pair = isinstance(data, tuple) and len(data) == 2 and np.ndim(data[0]) >= 2
    return (data[0], data[1]) if is_pair and np.ndim(data[1]) == 1 else None


def open_pair(inputs: Any, labels: Any, rule: InputRule, ids: Any) -> NewExamples:
    """Return features or images with the labels that are given beside them."""
    if (frame := as_frame(inputs)) is not None:
        held = open_frame(frame, rule, None, ids)
    elif isinstance(rule.encoding, TableEncoding):
        raise no_array(inputs, rule.encoding)
    else:
        images, notes = convert(inputs, rule.shape, rule.dtype, noun_of(rule))
        held = HeldExamples(images, given_ids(ids, len(images)), None, notes)
    if labels is None:
        return held
    given = read_given(labels, held.n_given, rule.classes, "labels beside the data")
    return replace(held, given=given, notes=(*held.notes, *given.notes))


def open_hugging_face(data: Any, rule: InputRule, label: str | None, ids: Any) -> NewExamples:
    """Return the examples of a Dataset of Hugging Face, which need no label."""
    names = tuple(data.column_names)
    own = next((name for name in (label, "label") if name in names), None)
    columns = HuggingFaceColumns(data, label if label is not None else own or names[0])
    id_values = columns.values(columns.check(ids, "ids")) if isinstance(ids, str) else ids
    if columns.image is None:
        return open_frame(columns.frame(), rule, own, ids)
    return open_pair(columns.images(), None if own is None else columns.values(own), rule, id_values)


def open_labelled(arrays: Arrays, rule: InputRule, names: tuple[str, ...] | None) -> HeldExamples:
    """Return labelled examples, which were made of a table or of files in the same way, or are arrays."""
    encoding = arrays.encoding if isinstance(arrays.encoding, TableEncoding) else None
    own = rule.encoding if isinstance(rule.encoding, TableEncoding) else None
    if encoding != own:
        raise InputError(
            f"the data are {arrays!r}, which were made of a table in another way than those that the model "
            "was fitted to. Pass the table itself: a path, or a DataFrame."
        )
    _check_arrays(arrays, rule)
    given = _labels_of(arrays, rule)
    return HeldExamples(arrays, names, given, given.notes)


def _check_arrays(arrays: Arrays, rule: InputRule) -> None:
    if arrays.shape != rule.shape or arrays.dtype != rule.dtype:
        raise InputError(
            f"the data are {arrays!r} of {arrays.dtype}; the model was fitted to {rule.dtype} of shape (n, "
            f"{', '.join(map(str, rule.shape))}). Convert them."
        )


def _labels_of(arrays: Arrays, rule: InputRule) -> GivenLabels:
    """Return the labels of examples, the observed ones where there are some, as classes of a model."""
    labels = arrays.labels if arrays.observed is None else arrays.observed
    return read_given(
        [arrays.classes[number] for number in labels.tolist()], len(arrays), rule.classes, "labels"
    )
