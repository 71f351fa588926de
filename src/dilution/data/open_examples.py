"""One data argument for all functions: a path or name, or an object in memory, becomes labelled examples."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dilution.data.arrays import UnsplitData
from dilution.data.duplicates import with_groups
from dilution.data.from_arrays import leave_out_unused
from dilution.data.from_objects import VALID_OBJECTS, Examples, read_object
from dilution.data.registry import load_unsplit, name_with_columns
from dilution.utils.regular_file import is_file


def open_examples(
    data: Any,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    group: Any = None,
    root: str | Path | None = None,
) -> UnsplitData:
    """Return the labelled examples that `data` names or holds, in the user's order.

    Parameters
    ----------
    data
        Name or path of data, as for :func:`dilution.load`; or data in memory: a DataFrame; a pair (X, y) of
        features or images and labels, as arrays, tensors or a DataFrame; a :class:`dilution.Dilution`,
        :class:`Arrays`, :class:`DataSet` or :class:`UnsplitData`; a map-style torch ``Dataset`` of pairs
        (image, label); or a ``Dataset`` of Hugging Face. Of data with a test split, the train split.
    label
        Column of the label of a table. Default: ``label``.
    noisy_label
        Observed labels beside true ones: a column of a table, by default ``noisy_label`` if there is one; a
        file of labels of a built-in data set, such as ``"labels.npy"``; or with (X, y) one label per example,
        shape (n,).
    ids
        Column of ids of a table; or, with data in memory, one id per example, shape (n,). Default: rows of
        a table file, paths of images, the index of a DataFrame, otherwise the positions.
    group
        Groups such as patients: a column of a table, which is then no feature; the path of a CSV file with
        the columns ``id`` and another one, the name of the group; or one value per example, shape (n,).
    root
        Folder of downloaded data, as for :func:`dilution.load`.

    Returns
    -------
    UnsplitData
        Classes that no label names are left out, with a note.

    Raises
    ------
    InputError
        If `data` is nothing of this, its content breaks a rule, or an argument does not fit it.
    DataError
        If a file cannot be read.
    """
    column = group if _names_column(group) else None
    if isinstance(data, str | Path):
        name = name_with_columns(data, label, noisy_label, ids, column)
        examples, n_given = _without_unused(load_unsplit(name, root)), None
    else:
        held = read_held(data, label=label, noisy_label=noisy_label, ids=ids, group=column)
        examples, n_given = held.to_unsplit_data(), held.n_given
    if group is None or column is not None:
        return examples
    if n_given is not None and n_given != len(examples.arrays) and np.shape(group)[:1] == (n_given,):
        group = np.asarray(group)[examples.positions]
    from dilution.data.group_files import match_groups  # lazily: pandas takes a while to import

    groups, notes = match_groups(group, examples)
    return replace(examples, arrays=with_groups(examples.arrays, groups), notes=(*examples.notes, *notes))


def read_held(data: Any, **columns: Any) -> Examples:
    """Return the examples of data in memory; `columns` are those of :func:`open_examples`."""
    valid = f"the name of a data set, or a path; {VALID_OBJECTS}"
    return read_object(data, **columns, subject="the type of the data", valid=valid)


def shown_name(
    data: Any, *, label: str | None = None, noisy_label: Any = None, ids: Any = None, group: Any = None
) -> str:
    """Return the name of data in results, under which a path can be opened again: ``"data"`` for objects."""
    if not isinstance(data, str | Path):
        return "data"
    return str(name_with_columns(data, label, noisy_label, ids, group if _names_column(group) else None))


def _names_column(group: Any) -> bool:
    return isinstance(group, str) and not is_file(group)


def _without_unused(examples: UnsplitData) -> UnsplitData:
    (arrays,), unused = leave_out_unused([examples.arrays])
    return replace(examples, arrays=arrays, notes=(*examples.notes, *unused)) if unused else examples
