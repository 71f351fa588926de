"""Lists of images: CSV files with one row per image, its path and its label."""

import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.duplicates import with_groups
from dilution.data.example_ids import read_ids
from dilution.data.formats.image_batch import decode_images, describe_batches, pixel_ranges
from dilution.data.formats.image_decoding import open_file
from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.image_tree import SUFFIXES
from dilution.data.formats.table import drop_unlabelled
from dilution.data.formats.table_columns import ColumnRoles, assign_roles
from dilution.data.formats.table_files import open_table
from dilution.data.formats.table_options import list_columns, parse_words
from dilution.data.formats.table_rows import TableRows
from dilution.data.from_arrays import leave_out_unused
from dilution.data.groups import read_groups
from dilution.data.label_values import is_missing
from dilution.data.label_weights import read_weights
from dilution.data.labels import number_classes
from dilution.data.splits import split_with_copies
from dilution.errors import DataError, DilutionError, InputError
from dilution.utils.printable import printable
from dilution.utils.regular_file import path_stamp

_NAMES = ("path", "image", "image_path", "file", "filename", "file_name", "filepath", "file_path")
"""Names of a column of paths, in lower case."""
_DEFAULT_SIZE = 32  # pixels, as of a folder of images
_MAX_IMAGES = 20_000
_LOOKED_AT = 20  # rows that tell whether a table is a list of images
_START = 1 << 16  # bytes of a file in which the name of an image is looked for
_SUFFIX = re.compile("|".join(re.escape(suffix) for suffix in sorted(SUFFIXES)), re.IGNORECASE)


def find_path_column(path: Path, options: str) -> str | None:
    """Return the column of paths if a table is a list of images; None if it is none, or cannot be read.

    In such a list a column has a name such as ``path`` or ``image``, and its first cells end like the names
    of images.
    """
    if path.suffix.lower() == ".parquet":
        return None
    try:
        with path.open("rb") as file:
            if not _SUFFIX.search(file.read(_START).decode("latin-1").replace("\0", "")):
                return None
        table = open_table(path, options)
        names = [name for name in table.columns if name.lower() in _NAMES]
        cells = table.read_text(names, _LOOKED_AT) if names else {}
    except (OSError, DilutionError):  # reading the table will raise it
        return None
    for name in names:
        present = [str(cell).strip().lower() for cell in cells[name] if not is_missing(cell)]
        if present and all(os.path.splitext(cell)[1] in SUFFIXES for cell in present):  # noqa: PTH122
            return name
    return None


def load(path: Path, options: str, column: str) -> DataSet:
    """Return the data set of a list of images, named after the file; a fifth of each class is for testing.

    Parameters
    ----------
    path
        The file. Paths in it are relative to its folder.
    options
        Options of a table, and ``size=48``, height and width of every image in pixels. Default: 32.
    column
        Column of the paths.

    Raises
    ------
    InputError
        If a column or its content breaks a rule.
    DataError
        If the file or all images cannot be read.
    """
    examples = load_unsplit(path, options, column)
    names = examples.names or ()
    return split_with_copies(path.stem, examples.arrays, examples.notes, names.__getitem__)


def load_unsplit(path: Path, options: str, column: str) -> UnsplitData:
    """Return the readable images that have a label, in the order of the list; as for :func:`load`."""
    try:
        return _load_unsplit(path, options, column)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def count_images(path: Path, options: str, column: str) -> int:
    """Return how many images a table lists; parameters and errors are those of :func:`load`."""
    try:
        return len(_read_list(path, options, column).names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _List:
    """Rows of a list of images."""

    roles: ColumnRoles
    rows: TableRows
    names: tuple[str, ...]
    size: int


def _read_list(path: Path, options: str, column: str) -> _List:
    table = open_table(path, options)
    roles = assign_roles(options, table.columns, table.index, path)
    rows = table.read(text_columns=(*roles.text_columns, column))
    names = tuple("" if is_missing(cell) else str(cell).strip() for cell in rows.frame[column])
    missing = [row for row, name in enumerate(names) if not name]
    if missing:
        raise InputError(
            f"{rows.name(missing[0])} has no path in column {column!r}; each row is an image. Fill it in, or "
            "delete the row."
        )
    if len(names) > _MAX_IMAGES:
        raise InputError(
            f"it lists {len(names):,} images; at most {_MAX_IMAGES:,} are decoded into memory. Give a part "
            "of the list, or move the images to one folder per class and pack that."
        )
    size = parse_words(options).size or str(_DEFAULT_SIZE)
    return _List(roles, rows, names, int(size))


def _load_unsplit(path: Path, options: str, column: str) -> UnsplitData:
    listed = _read_list(path, options, column)
    others = [name for name in listed.roles.features if name != column]
    rows, columns = drop_unlabelled(listed.rows, listed.roles)
    notes = rows.notes
    if others:
        subject = "column is" if len(others) == 1 else "columns are"
        notes += (f"{len(others):,} {subject} left out beside the images: {list_columns(others)}",)
    classes = number_classes(columns)
    kept = np.searchsorted(listed.rows.lines, rows.lines)
    names = [listed.names[row] for row in kept]
    images = list(zip(names, classes.numbers[0].tolist(), strict=True))
    batch = decode_images(path.parent, images, listed.size)
    info, unreadable = batch.info, {name for name, _ in batch.info.skipped}
    if not info.names:
        name, reason = info.skipped[0]
        raise DataError(
            f"{path}: none of the {len(names)} images can be read, the first is {printable(name)}: {reason}. "
            f"Paths are relative to {path.parent}: correct them, or replace the images."
        )
    is_read = np.array([name not in unreadable for name in names])
    ranges = pixel_ranges([info])
    arrays = Arrays(
        torch.from_numpy(batch.filled(ranges)),
        torch.from_numpy(classes.numbers[0][is_read]),
        classes.names,
        torch.from_numpy(classes.numbers[1][is_read]) if len(classes.numbers) > 1 else None,
        encoding=ImageEncoding(tuple(ranges.values())),
    )
    (arrays,), unused = leave_out_unused([arrays])
    rows = replace(rows, frame=rows.frame[is_read].reset_index(drop=True), lines=rows.lines[is_read])
    if listed.roles.group is not None:
        groups, group_notes = read_groups(
            rows.frame[listed.roles.group], f"column {listed.roles.group!r}", rows.name
        )
        arrays, notes = with_groups(arrays, groups), (*notes, *group_notes)
    notes = (*notes, *classes.notes, *describe_batches((), [info], classes.names), *unused)
    places = unique_names(tuple(map(printable, info.names)), rows)
    positions: NDArray[Any] = kept[is_read]
    weight, weights = listed.roles.weight, None
    if weight is not None:
        weights = read_weights(rows.frame[weight], rows.name)
    if listed.roles.ids is None:
        return UnsplitData(arrays, places, notes, positions, weights=weights)
    ids = read_ids(rows.frame[listed.roles.ids], f"column {listed.roles.ids!r}", rows.name)
    return UnsplitData(arrays, ids, notes, positions, places, weights)


def unique_names(names: tuple[str, ...], rows: TableRows) -> tuple[str, ...]:
    """Return the paths of images, with their rows if one is listed twice."""
    if len(set(names)) == len(names):
        return names
    return tuple(f"{name} ({rows.name(row)})" for row, name in enumerate(names))


def stamp(path: Path, options: str, column: str) -> str:
    """Return a digest of the names, sizes and modification times of the images, in hex."""
    digest = hashlib.sha256()
    for name in _read_list(path, options, column).names:
        try:
            state = path_stamp(path.parent / name)
        except (OSError, ValueError):
            state = "unreadable"
        digest.update(os.fsencode(f"{name}/{state}\n"))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def identity(path: Path, options: str, column: str, stamp: str) -> str:  # noqa: ARG001  (of the cache)
    """Return the SHA-256 of the paths and contents of the images, in hex."""
    digest = hashlib.sha256()
    for name in _read_list(path, options, column).names:
        try:
            with open_file(path.parent / name) as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except (OSError, ValueError, DataError):
            content = b"unreadable"  # no image of the data set either; its notes say why
        digest.update(os.fsencode(name) + b"\0" + content)
    return digest.hexdigest()
