"""Names for data in memory: runs open their data by name, in other processes, so such data become a file."""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet
from dilution.data.formats.memory_images import check_images_fit
from dilution.data.from_arrays import CheckedArrays
from dilution.data.open_examples import open_examples, read_held
from dilution.data.registry import builtin_name, name_with_columns, name_with_groups
from dilution.errors import DataError, InputError
from dilution.utils.atomic import write_atomic
from dilution.utils.regular_file import check_regular, is_file


def is_own_data(name: str | Path) -> bool:
    """Return whether a name stands for data of the user, which have one label per example as a rule."""
    return builtin_name(name) is None


def name_in_answers(name: str | Path) -> str:
    """Return what answers call data of this name: a path without its folders."""
    return str(name) if builtin_name(name) is not None else Path(str(name)).name


def name_data(
    data: Any,
    store: str | Path,
    *,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    group: Any = None,
) -> tuple[str, str, tuple[str, ...]]:
    """Return a name under which runs open data, the name in answers, and notes.

    Parameters
    ----------
    data, label, noisy_label, ids, group
        As for :func:`dilution.data.open_examples`.
    store
        SQLite file of the runs. Data in memory are written to a folder beside it, once: the file is named by
        its content.

    Raises
    ------
    InputError
        If the data or an argument break a rule.
    DataError
        If the file cannot be written, or was changed.
    """
    if isinstance(data, str | Path):
        if group is not None and not isinstance(group, str):
            name_with_groups(data, str(group))
        named = name_with_columns(name_with_groups(data, group), label, noisy_label, ids)
        return str(named), name_in_answers(data), ()
    splits = _to_data_set(data, label, noisy_label, ids, group)
    content = _to_bytes(splits)
    folder = Path(store).resolve().with_suffix(".data")
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.npz"
    check_regular(path)
    if path.exists() and path.read_bytes() != content:
        raise DataError(
            f"{path} was changed since the data were written to it, and its runs would be of other data. "
            "Delete it, and repeat the call."
        )
    notes = splits.notes
    if not path.exists():
        write_atomic(path, content)
        notes += (f"runs open their data by name: the data were written to {path} ({len(content):,} bytes)",)
    return str(path), splits.name, notes


def _to_data_set(data: Any, label: str | None, noisy_label: Any, ids: Any, group: Any) -> DataSet:
    if group is None or (isinstance(group, str) and not is_file(group)):
        columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
        return read_held(data, **columns).to_data_set("data")
    if hasattr(data, "columns"):
        raise InputError(
            "groups are given apart from a DataFrame; the encoding of its columns depends on the split, and "
            "the split on the groups. Add them as a column, and pass its name as group."
        )
    examples = open_examples(data, label=label, noisy_label=noisy_label, ids=ids, group=group)
    return CheckedArrays(examples.arrays, notes=examples.notes).to_data_set("data")


def _to_bytes(data: DataSet) -> bytes:
    """Return a data set as a ``.npz`` file, whose bytes depend on the content alone."""
    arrays: dict[str, NDArray[Any]] = {"classes": np.array(data.train.classes)}
    for prefix, split in (("", data.train), ("test_", data.test)):
        kind, pixels = _pixels(split)
        arrays[f"{prefix}{kind}"] = pixels
        arrays[f"{prefix}labels"] = np.array(split.classes)[split.labels.numpy()]
    if data.train.observed is not None:
        arrays["noisy_labels"] = np.array(data.train.classes)[data.train.observed.numpy()]
    if data.train.split_groups is not None and data.train.groups is not None:
        arrays["groups"] = data.train.groups.numpy()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return file.getvalue()


def _pixels(split: Arrays) -> tuple[str, NDArray[Any]]:
    """Return the images of a split as images or features, and which of both."""
    n_bytes = int(np.prod(split.shape)) * (1 if split.dtype == torch.uint8 else 4)
    check_images_fit("the data", len(split), n_bytes, f"{split.dtype} of shape {split.shape}")
    pixels = split.take(torch.arange(len(split))).numpy()
    if split.dtype == torch.uint8 or split.shape[1:] != (1, 1):
        return "images", pixels
    return "features", pixels[:, :, 0, 0]
