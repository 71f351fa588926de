"""Files of decoded images, from which a pack is written: chunks of a folder.

A chunk is one ``.npz`` file with labels, notes, sums of pixels and checksums, and up to three ``.npy`` files
with images, which are mapped into memory and read row by row. The ``.npz`` file is written last: a chunk that
has it is complete.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dilution.data.arrays import Arrays
from dilution.data.formats.image_batch import BatchInfo, ImageBatch
from dilution.data.formats.image_notes import Event, Kind
from dilution.data.formats.image_pixels import DEPTH_KINDS, Depth
from dilution.data.near_copies import scale_down, scaled_size
from dilution.data.pack.chunk_arrays import check_content, map_array, save_array
from dilution.errors import DataError
from dilution.utils.atomic import create_file, temporary_path
from dilution.utils.npz_size import check_arrays_fit, load_arrays
from dilution.utils.printable import one_line

_DAMAGED = (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
IMAGES, DEEP, SCALED = "images", "deep", "scaled"
_KINDS = IMAGES, DEEP, SCALED
_ABSENT = -1  # in place of the CRC-32 of an array that a chunk does not have
_CHUNK_FILE = re.compile(
    r"\d{6,}(\.\d+)?\.npz|\d{6,}\.(images|deep|scaled)(\.\d+)?\.npy"
    r"|\.\d{6,}(\.images|\.deep|\.scaled)?\.np[yz]\.[0-9a-f]{16}\.part"
)
"""Names of the files of a chunk, complete or not, in this version and earlier ones."""
_TABLES = {"files": 2, "skipped": 2, "converted": 4, "depth_kinds": 1}
"""Columns of the tables of texts in a ``.npz`` file."""


def save_chunk(batch: ImageBatch, path: Path, *, scaled: bool = True) -> None:
    """Write a chunk.

    Parameters
    ----------
    batch
        Its images.
    path
        The ``.npz`` file.
    scaled
        Whether images are kept in the size in which near-copies are sought, too, if that is smaller.
    """
    info = batch.info
    images = torch.from_numpy(batch.images)
    arrays: dict[str, NDArray[Any]] = {IMAGES: batch.images}
    if len(batch.deep):
        arrays[DEEP] = batch.deep
    if scaled and len(images) and scaled_size(*images.shape[2:]) != tuple(images.shape[2:]):
        arrays[SCALED] = torch.cat([scale_down(image[None]) for image in images]).numpy()
    checksums = {kind: save_array(_array_path(path, kind), array) for kind, array in arrays.items()}
    content = io.BytesIO()
    np.savez(
        content,
        labels=info.labels,
        sums=pixel_sums(images),
        files=_table(list(zip(info.names, info.formats, strict=True)), 2),
        skipped=_table(info.skipped, 2),
        converted=_table(info.converted, 4),
        deep_rows=batch.deep_rows,
        depth_kinds=_table([(depth.kind,) for depth in info.depths], 1),
        depth_ranges=np.array([depth[1:] for depth in info.depths], dtype=np.float64).reshape(-1, 2),
        checksums=np.array([checksums.get(kind, _ABSENT) for kind in _KINDS], dtype=np.int64),
    )
    temporary = temporary_path(path)
    with create_file(temporary) as file:
        file.write(content.getbuffer())
    temporary.replace(path)


def delete_chunks(folder: Path) -> bool:
    """Delete the chunks in a folder, and the folder if nothing else is in it; return whether it is gone.

    Parameters
    ----------
    folder
        A folder of chunks, or of anything that somebody has put there.
    """
    for path in folder.iterdir():
        if _CHUNK_FILE.fullmatch(path.name) and (path.is_symlink() or path.is_file()):
            path.unlink()
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True


class Chunk(NamedTuple):
    """A chunk without its images.

    Parameters
    ----------
    path
        Its ``.npz`` file.
    info
        Labels, names and notes.
    sums
        As :attr:`Arrays.pixel_sums`, int64, shape (2, n, 3); those of images of more than 8 bits are not
        filled in yet.
    deep_rows
        As :attr:`ImageBatch.deep_rows`.
    checksums
        CRC-32 of each array of images by its kind.
    """

    path: Path
    info: BatchInfo
    sums: NDArray[np.int64]
    deep_rows: NDArray[np.int64]
    checksums: dict[str, int]


def open_chunk(path: Path, images: Sequence[tuple[str, int]], size: int, squares: int = 1) -> Chunk:
    """Return a chunk that :func:`save_chunk` wrote.

    Its images are only checked for their type and shape; their checksums follow when they are first read.

    Parameters
    ----------
    path
        The ``.npz`` file.
    images
        Path below the folder and class number of each image that was decoded for it.
    size
        Height and width of its squares in pixels.
    squares
        Number of squares per image.

    Raises
    ------
    DataError
        If the files are damaged, or others than were written.
    """
    try:
        with path.open("rb") as file:
            check_arrays_fit(file)
            chunk = _parse_chunk(path, load_arrays(file))
        _check_info(chunk, images, squares)
        for kind in chunk.checksums:
            _map(chunk, kind, size)
    except _DAMAGED as error:
        raise _refused(path, error) from error
    return chunk


def _refused(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is no chunk of decoded images ({one_line(str(error))}). Delete {path.parent}, and run "
        "the same command again."
    )


def _parse_chunk(path: Path, arrays: dict[str, NDArray[Any]]) -> Chunk:
    """Return the chunk in the arrays of its ``.npz`` file; raise ValueError or KeyError if there is none."""
    for name, columns in _TABLES.items():
        if arrays[name].dtype.kind != "U" or arrays[name].shape[1:] != (columns,):
            raise ValueError(f"{name} is no table of texts")
    labels, sums, deep_rows = arrays["labels"], arrays["sums"], arrays["deep_rows"]
    kinds, ranges, checksums = arrays["depth_kinds"], arrays["depth_ranges"], arrays["checksums"]
    if any(numbers.dtype != np.int64 for numbers in (labels, sums, deep_rows, checksums)):
        raise ValueError("its numbers are not whole")
    if labels.ndim != 1 or sums.shape != (2, len(labels), 3):
        raise ValueError("its sums are not those of its labels")
    if deep_rows.ndim != 1 or kinds.shape[0] != len(deep_rows) or ranges.shape != (len(deep_rows), 2):
        raise ValueError("its ranges are not one per image of more than 8 bits")
    if ranges.dtype != np.float64 or not np.isfinite(ranges).all() or (ranges[:, 0] > ranges[:, 1]).any():
        raise ValueError("its ranges do not run from one finite number to another")
    info = BatchInfo(
        labels,
        tuple(arrays["files"][:, 0].tolist()),
        tuple((name, reason) for name, reason in arrays["skipped"].tolist()),
        tuple(
            Event(kind, name, detail, int(number))
            for kind, name, detail, number in arrays["converted"].tolist()
        ),
        tuple(
            Depth(kind, low, high)
            for (kind,), (low, high) in zip(kinds.tolist(), ranges.tolist(), strict=True)
        ),
        tuple(arrays["files"][:, 1].tolist()),
    )
    by_kind = dict(zip(_KINDS, checksums.tolist(), strict=True))
    return Chunk(path, info, sums, deep_rows, {kind: crc for kind, crc in by_kind.items() if crc != _ABSENT})


def _check_info(chunk: Chunk, images: Sequence[tuple[str, int]], squares: int) -> None:
    """Raise ValueError unless a chunk is that of these images."""
    info, rows = chunk.info, chunk.deep_rows
    unread = {name for name, _ in info.skipped}
    read = [(name, label) for name, label in images if name not in unread]
    if info.names != tuple(name for name, _ in read) or not unread <= {name for name, _ in images}:
        raise ValueError("its images are those of other files")
    if info.labels.tolist() != [label for _, label in read for _ in range(squares)]:
        raise ValueError("its labels are not those of its images")
    if len(rows) and not (rows[0] >= 0 and rows[-1] < len(info.labels) and (rows[1:] > rows[:-1]).all()):
        raise ValueError("its images of more than 8 bits are none of its images")
    if (IMAGES not in chunk.checksums) or (DEEP in chunk.checksums) != (len(rows) > 0):
        raise ValueError("it lacks images")
    kinds = {depth.kind for depth in info.depths}
    noted = {event.detail for event in info.converted if Kind(event.kind) == Kind.DEPTH}
    if noted != kinds or not kinds <= set(DEPTH_KINDS) or any(event.number < 1 for event in info.converted):
        raise ValueError("its notes are not those of its images")


def read_array(chunk: Chunk, kind: str, size: int, *, verify: bool) -> NDArray[Any]:
    """Return an array of images, mapped into memory.

    Parameters
    ----------
    chunk
        A chunk that has the array.
    kind
        ``IMAGES``: uint8, shape (n, 3, size, size). ``DEEP``: as :attr:`ImageBatch.deep`. ``SCALED``: the
        images as :func:`dilution.data.near_copies.scale_down` returns them.
    size
        Height and width of its squares in pixels.
    verify
        Whether the whole file is read and compared with its checksum.

    Raises
    ------
    DataError
        If the file is damaged, or another than was written.
    """
    try:
        array = _map(chunk, kind, size)
        if verify:
            check_content(array, chunk.checksums[kind], _array_path(chunk.path, kind).name)
    except _DAMAGED as error:
        raise _refused(chunk.path, error) from error
    return array


def _map(chunk: Chunk, kind: str, size: int) -> NDArray[Any]:
    """Return an array of images, mapped into memory; raise OSError or ValueError if it is another."""
    n, n_deep = len(chunk.info.labels), len(chunk.deep_rows)
    if kind == IMAGES:
        return map_array(_array_path(chunk.path, kind), np.uint8, (n, 3, size, size))
    shape = (n_deep, 2, size, size) if kind == DEEP else (n, 3, *scaled_size(size, size))
    return map_array(_array_path(chunk.path, kind), np.float32, shape)


def pixel_sums(images: Tensor) -> NDArray[np.int64]:
    """Return the sums of pixels and of squared pixels of images: int64, shape (2, n, 3)."""
    if not len(images):
        return np.empty((2, 0, 3), dtype=np.int64)
    return Arrays(images, torch.zeros(len(images), dtype=torch.int64)).pixel_sums.numpy()


def _array_path(path: Path, kind: str) -> Path:
    """Return the file of an array of images beside the ``.npz`` file of their chunk."""
    return path.with_suffix(f".{kind}.npy")


def _table(rows: Sequence[Sequence[object]], columns: int) -> NDArray[np.str_]:
    return np.array([list(map(str, row)) for row in rows], dtype=np.str_).reshape(-1, columns)
