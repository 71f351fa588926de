"""Files of labels as researchers share them: one label per training image, in the order of the images."""

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.tensor_file import read_tensor
from dilution.errors import DataError, InputError, short_repr
from dilution.utils.atomic import write_atomic
from dilution.utils.npz_size import check_array_fits, load_array
from dilution.utils.printable import one_line
from dilution.utils.references import user_folder
from dilution.utils.regular_file import check_regular, expand_home

SUFFIXES = (".npy", ".csv", ".pt")
"""Kinds of files of labels."""

NOISY_COLUMNS = ("noisy_label", "label_noisy")
"""Column of a CSV file that holds the labels; a file of one column needs no name."""

CLEAN_COLUMNS = ("label", "clean_label")
"""Column of a CSV file that holds true labels, which are compared with those of the data."""

_COUNT = "count"  # column of a file with several labels per image, as UsedLabels writes it
_MAX_BYTES = 1 << 30  # of a file
_MAX_DIGITS = 18  # of a label that is a number: more fit into no int64
_MAX_NAME = 50  # characters of the name of a column or class in a message
_ARRAY_RULE = (
    "it must hold one array of whole numbers, one per training image. Write it with numpy.save(path, labels)."
)
_CSV_RULE = (
    f"it must have one row per training image below a header, with one column {NOISY_COLUMNS[0]}. Name the "
    f"column of the labels {NOISY_COLUMNS[0]}."
)
_READ_ERRORS = (
    *(zipfile.BadZipFile, UnpicklingError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError),
    *(AttributeError, RuntimeError, MemoryError, NotImplementedError, OverflowError, csv.Error),
)


def read_label_file(path: str | Path, data: Arrays) -> Tensor:
    """Return the labels in a file, one per image of the data and in their order: int64, shape (n,).

    Numbers are numbers of classes, from 0; texts are names of classes. Nothing in the file is executed.

    Parameters
    ----------
    path
        A ``.npy`` file or a ``.pt`` file of ``torch.save`` with one array of whole numbers (or, in ``.npy``,
        texts), or a CSV file with a header and a column ``noisy_label`` or ``label_noisy``, or one column. If
        a CSV file also has a column ``label`` or ``clean_label``, it must be equal to the labels of the data.
    data
        The training images, with their true labels.

    Raises
    ------
    DataError
        If the file is missing or damaged, or holds something else.
    InputError
        If its length or its classes are not those of the data.
    """
    path = expand_home(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"labels is {str(path)!r}; a file of labels ends in {', '.join(SUFFIXES)}, with one label per "
            "training image in their order. dilution data noisy writes one."
        )
    content = _content(path)
    try:
        noisy, clean = _READERS[path.suffix.lower()](content, len(data))
    except _READ_ERRORS as error:
        reason = one_line(str(error) or type(error).__name__)
        rule = _CSV_RULE if path.suffix.lower() == ".csv" else _ARRAY_RULE
        raise DataError(f"{path} cannot be read as labels ({reason}); {rule}") from error
    if clean is not None:
        _check_clean(path, _numbers(path, clean, data), data)
    return torch.from_numpy(_numbers(path, noisy, data))


def _content(path: Path) -> bytes:
    source = user_folder() / path  # a worker of another machine has another current folder
    check_regular(source)
    try:
        with source.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); it must be a file of labels. Check the path."
        ) from error
    if len(content) > _MAX_BYTES:
        raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes; a file of labels has fewer.")
    return content


def with_label_file(data: Arrays, path: str | Path) -> Arrays:
    """Return data with the labels in a file as their observed labels; see :func:`read_label_file`."""
    return replace(data, observed=read_label_file(path, data).to(data.device))


def write_label_file(path: str | Path, labels: Tensor, data: Arrays) -> Path:
    """Write labels to a file that :func:`read_label_file` and others read.

    Parameters
    ----------
    path
        File that ends in ``.npy`` (int64), ``.pt`` (a tensor of int64), or ``.csv`` (columns ``label`` and
        ``noisy_label``, names of classes). A file that exists is not replaced.
    labels
        int64, shape (n,).
    data
        The images that they belong to, with their true labels.

    Raises
    ------
    InputError
        If the name ends otherwise, or the file exists.
    """
    path = check_label_target(path)
    suffix, labels, buffer = path.suffix.lower(), labels.cpu(), io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, labels.numpy(), allow_pickle=False)
    elif suffix == ".pt":
        torch.save(labels.clone(), buffer)
    else:
        names = np.asarray(data.classes, dtype=object)
        columns = {"label": names[data.labels.cpu().numpy()], "noisy_label": names[labels.numpy()]}
        import pandas as pd  # slow to import, and only CSV files need it

        from dilution.utils.csv_cells import csv_bytes

        buffer.write(csv_bytes(pd.DataFrame(columns)))
    return write_atomic(path, buffer.getvalue())


def check_label_target(path: str | Path) -> Path:
    """Return the path of a file of labels that can be written.

    Raises
    ------
    InputError
        If the name does not end in `.npy`, `.csv` or `.pt`, or there is a file or a link of this name.
    """
    path = expand_home(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path} does not end in {', '.join(SUFFIXES)}. Write to {path.with_suffix('.npy')} instead."
        )
    check_regular(path)
    if path.is_symlink() or path.exists():
        raise InputError(f"{path} exists; labels are not overwritten. Remove it, or write to another file.")
    return path


def _numbers(path: Path, values: NDArray[Any], data: Arrays) -> NDArray[np.int64]:
    """Return class numbers of values that are numbers, or names of classes."""
    n, names = len(data), data.classes
    if values.shape != (n,):
        raise InputError(
            f"{path} holds labels of shape {values.shape}; the training split has {n:,} images. Give one "
            "label per image, in the order of the data."
        )
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= len(names):
            raise InputError(
                f"{path} holds labels from {low} to {high}; with {len(names)} classes they must lie in "
                f"0 … {len(names) - 1}: numbers of classes, from 0. Renumber them, or write names of classes."
            )
        return values.astype(np.int64)
    if values.dtype.kind not in "UO":
        raise InputError(
            f"{path} holds {values.dtype}; labels are whole numbers, or names of classes. Convert them with "
            "labels.astype(int) if they are whole numbers."
        )
    texts = [str(value) for value in values]
    number_of = {name: number for number, name in enumerate(names)}
    if not set(texts) <= set(number_of) and all(
        text.isdecimal() and len(text) <= _MAX_DIGITS for text in texts
    ):
        return _numbers(path, np.array([int(text) for text in texts]), data)
    unknown_names = [text for text in dict.fromkeys(texts) if text not in number_of]
    if unknown_names:
        shown = ", ".join(one_line(name, _MAX_NAME) for name in names[:10]) + (
            ", …" if len(names) > 10 else ""
        )
        raise InputError(
            f"{path} holds {short_repr(unknown_names[0])}, which is no class of the data "
            f"({len(unknown_names)} such). Classes are {shown}."
        )
    return np.array([number_of[text] for text in texts], dtype=np.int64)


def _check_clean(path: Path, clean: NDArray[np.int64], data: Arrays) -> None:
    differing = (clean != data.labels.cpu().numpy()).nonzero()[0]
    if len(differing):
        raise InputError(
            f"{path}: the true labels differ from those of the data for {len(differing):,} of {len(clean):,} "
            f"images, the first is image {differing[0]}; labels and images must be in one order. Use the "
            "order of the data, or leave the column of true labels out if it is of another kind."
        )


_Columns = tuple[NDArray[Any], NDArray[Any] | None]


def _read_npy(content: bytes, n: int) -> _Columns:  # noqa: ARG001
    file = io.BytesIO(content)
    check_array_fits(file, len(content), "labels", _MAX_BYTES)
    return load_array(file, "labels"), None


def _read_csv(content: bytes, n: int) -> _Columns:
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""))
    header = [name.strip() for name in next(reader, [])]
    if _COUNT in header:
        raise ValueError(
            f"its column {_COUNT} says how often an image has a label: images have several labels, and this "
            "setting takes one per image"
        )
    rows = list(islice(filter(None, reader), n))
    if more := sum(map(bool, reader)):  # counted, not kept: a file can have any number of lines
        raise ValueError(f"it has {n + more:,} rows, and the training split has {n:,} images")
    shown = ", ".join(one_line(name, _MAX_NAME) for name in header[:6])
    chosen = [name for name in NOISY_COLUMNS if name in header] or (header if len(header) == 1 else [])
    if len(chosen) != 1:
        several = "more than one is" if chosen else "none is"
        raise ValueError(f"its columns are {shown}, and {several} {' or '.join(NOISY_COLUMNS)}")
    if len(rows) == n - 1 and chosen[0] not in NOISY_COLUMNS:
        raise ValueError(f"its first line, {shown}, is its header, and {n - 1:,} labels follow")
    if any(len(row) != len(header) for row in rows):
        raise ValueError("its rows differ in their number of cells")
    clean = [name for name in CLEAN_COLUMNS if name in header and name not in chosen]

    from dilution.utils.csv_cells import restore_text  # imports pandas, which only CSV files need

    def column(name: str) -> NDArray[Any]:
        return np.array([restore_text(row[header.index(name)]).strip() for row in rows], dtype=object)

    return column(chosen[0]), column(clean[0]) if clean else None


def _read_pt(content: bytes, n: int) -> _Columns:  # noqa: ARG001
    return read_tensor(content), None


_READERS: dict[str, Callable[[bytes, int], _Columns]] = {
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".pt": _read_pt,
}
