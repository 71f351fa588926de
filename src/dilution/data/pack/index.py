"""The index of a pack: its arrays, checked before anything relies on them.

The checksum of an index shows that it is whole, and not who wrote it.
"""

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilution.utils.npz_size import check_arrays_fit, load_arrays
from dilution.utils.printable import one_line
from dilution.utils.zip_directory import open_zip

SPLITS = ("train", "test")
_OF_SPLIT = "labels", "observed", "groups", "checksums", "pixel_sums"
_NAMES = {"shape", "classes", "notes", *(f"{split}_{name}" for split in SPLITS for name in _OF_SPLIT)}
_NO_INDEX = (
    *(ValueError, KeyError, EOFError, OSError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, struct.error),
)
"""What reading an index may raise that somebody else has made."""

Index = dict[str, NDArray[Any]]


class BadIndexError(ValueError):
    """An index breaks a rule; the text says which."""


def parse_index(content: bytes, image_bytes: int) -> Index:
    """Return the arrays of an index by name.

    Parameters
    ----------
    content
        The index: a ``.npz`` file without compression.
    image_bytes
        Bytes of all images of the pack.

    Raises
    ------
    BadIndexError
        If it is no such file, or its arrays do not fit each other and the images.
    """
    try:
        with open_zip(io.BytesIO(content)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("its index is compressed")  # a small one could unpack to any size
        file = io.BytesIO(content)
        check_arrays_fit(file, limit=len(content))  # parts of an index may not be the same bytes
        index = load_arrays(file)
        _check(index, image_bytes)
    except _NO_INDEX as error:
        raise BadIndexError(one_line(str(error))) from error
    return index


def _check(index: Index, image_bytes: int) -> None:
    """Raise ValueError or KeyError unless all entries fit each other and the number of bytes of images."""
    if unknown := sorted(index.keys() - _NAMES):
        raise ValueError(f"its index has the entry {unknown[0]}, which this version does not know")
    shape, classes = index["shape"], index["classes"]
    if shape.shape != (3,) or shape.dtype != np.int64 or (shape < 1).any():
        raise ValueError("the image shape is not three whole numbers")
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise ValueError("the names of the classes are no text")
    notes = index.get("notes", classes)
    if notes.ndim != 1 or notes.dtype.kind != "U":
        raise ValueError("the notes are no text")
    count = sum(_check_split(index, split, int(shape[0]), len(classes)) for split in SPLITS)
    if count * math.prod(shape.tolist()) != image_bytes:
        raise ValueError(f"{count} images of {shape.tolist()} are not {image_bytes} bytes")
    for split in SPLITS:
        _check_pixel_sums(index[f"{split}_pixel_sums"], int(shape[1]) * int(shape[2]), split)


def _check_split(index: Mapping[str, NDArray[Any]], split: str, channels: int, n_classes: int) -> int:
    """Return the number of images of a split; raise ValueError or KeyError unless its entries fit it."""
    labels, checksums = index[f"{split}_labels"], index[f"{split}_checksums"]
    if labels.dtype != np.int64 or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"{split} labels are no whole numbers")
    if not 0 <= labels.min() <= labels.max() < n_classes:
        raise ValueError(f"{split} labels are no numbers of classes")
    observed = index.get(f"{split}_observed", labels)
    if observed.dtype != np.int64 or observed.shape != labels.shape:
        raise ValueError(f"{split} observed labels are not one per image")
    if not 0 <= observed.min() <= observed.max() < n_classes:
        raise ValueError(f"{split} observed labels are no numbers of classes")
    groups = index.get(f"{split}_groups", labels)
    if groups.dtype != np.int64 or groups.shape != labels.shape:
        raise ValueError(f"{split} groups are not one per image")
    if checksums.dtype != np.uint32 or checksums.shape != labels.shape:
        raise ValueError(f"{split} checksums are not one per image")
    sums = index[f"{split}_pixel_sums"]
    if sums.dtype != np.int64 or sums.shape != (len(labels), 2, channels):
        raise ValueError(f"{split} pixel sums are not two per image and channel")
    return len(labels)


def _check_pixel_sums(sums: NDArray[np.int64], n_pixels: int, split: str) -> None:
    """Raise ValueError unless sums and sums of squares are those of some pixels from 0 to 255.

    Images are normalised by them: sums of no pixels give a deviation that is no number.
    """
    linear, squares = sums[:, 0], sums[:, 1]
    possible = (linear >= 0) & (linear <= 255 * n_pixels) & (squares >= linear) & (squares <= 255 * linear)
    # By Cauchy and Schwarz; in floats, whose rounding is far below the tolerance, since integers overflow.
    least_squares = linear.astype(np.float64) ** 2 / n_pixels
    if not (possible & (squares >= least_squares * (1 - 1e-12))).all():
        raise ValueError(f"{split} pixel sums are not those of pixels from 0 to 255")
