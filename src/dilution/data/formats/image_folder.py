"""Image folders decoded into memory, for data that are too small to be worth a pack."""

import hashlib
import os
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_two_classes
from dilution.data.formats.image_batch import (
    BatchInfo,
    ImageBatch,
    decode_images,
    describe_batches,
    number_classes,
    pixel_ranges,
)
from dilution.data.formats.image_decoding import open_file
from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.image_listing import ImageListing, list_images
from dilution.data.formats.table_options import shown_path
from dilution.data.splits import split_with_copies, with_own_test_split
from dilution.errors import DataError, InputError
from dilution.utils.printable import printable
from dilution.utils.regular_file import path_stamp

_DEFAULT_SIZE = 32  # pixels
_MAX_IMAGES = 20_000


def load(root: Path, options: str = "") -> DataSet:
    """Return the data set in a folder, named after it.

    Parameters
    ----------
    root
        Folder with one folder per class, as :func:`dilution.data.formats.image_listing.list_images` takes it.
    options
        Height and width of every image in pixels. Default: 32.

    Raises
    ------
    InputError
        If the size is no positive whole number, there are more than 20,000 images, all readable training
        images are of one class, those of a class are all in the test split, or a folder without splits cannot
        be divided: no class has two images that differ.
    DataError
        If there are no images, or none of a split can be read.
    """
    listing, size = _list_images(root), _size(root, options)
    train = _decode(listing, listing.train, size, "training")
    names = train.info.names

    def name(row: int) -> str:
        return printable(names[row])

    if not listing.has_splits:
        (arrays,) = _arrays((train,), listing.classes)
        return split_with_copies(root.name, arrays, _notes(listing, (train.info,)), name)
    test = _decode(listing, listing.test, size, "testing")
    train_arrays, test_arrays = _arrays((train, test), listing.classes)
    check_two_classes(train_arrays.labels, train_arrays.classes)
    notes = _notes(listing, (train.info, test.info))
    return with_own_test_split(root.name, train_arrays, test_arrays, notes, name)


def load_unsplit(root: Path, options: str = "") -> UnsplitData:
    """Return the readable images of both splits, in the order of their paths.

    Parameters and errors are those of :func:`load`.
    """
    listing = _list_images(root)
    images = _all_images(listing)
    batch = _decode(listing, images, _size(root, options), "any use")
    (arrays,) = _arrays((batch,), listing.classes)
    names = batch.info.names
    position_of = {name: position for position, (name, _) in enumerate(images)}
    positions = np.array([position_of[name] for name in names])
    return UnsplitData(arrays, tuple(map(printable, names)), _notes(listing, (batch.info,)), positions)


def stamp(root: Path) -> str:
    """Return a digest of the names, sizes and modification times of the images, in hex."""
    digest = hashlib.sha256()
    listing = _list_images(root)
    for name, path in _files(listing):
        try:
            state = path_stamp(path)
        except OSError:  # it was removed since it was listed; reading it will say so
            state = "unreadable"
        digest.update(os.fsencode(f"{name}/{state}\n"))
    for event in listing.events:  # they are in the notes
        digest.update(os.fsencode(f"{event.kind}/{event.name}/{event.detail}\n"))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def identity(root: Path, stamp: str) -> str:  # noqa: ARG001  (part of the cache's key)
    """Return the SHA-256 of the names of the images, below the root, and their contents, in hex."""
    digest = hashlib.sha256()
    for name, path in _files(_list_images(root)):
        try:
            with open_file(path) as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except (OSError, DataError):
            content = b"unreadable"  # no image of the data set either; its notes say why
        digest.update(os.fsencode(name) + b"\0" + content)
    return digest.hexdigest()


def size_on_disk(root: Path) -> int:
    """Return the total size of the images in bytes."""
    return sum(path.stat().st_size for _, path in _files(_list_images(root)))


def _files(listing: ImageListing) -> list[tuple[str, Path]]:
    return [(name, listing.root / name) for name, _ in _all_images(listing)]


def _all_images(listing: ImageListing) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(listing.train + listing.test))


def _list_images(root: Path) -> ImageListing:
    listing = list_images(root)
    count = len(listing.train) + len(listing.test)
    if count > _MAX_IMAGES:
        raise InputError(
            f"{root} holds {count:,} images; at most {_MAX_IMAGES:,} are decoded into memory. Pack them "
            f"once, with `dilution data pack {shown_path(root)} {shlex.quote(root.name)}.pack --size "
            f"{_DEFAULT_SIZE}`, and name the pack."
        )
    return listing


def _size(root: Path, options: str) -> int:
    if not options:
        return _DEFAULT_SIZE
    if not options.isdecimal() or int(options) < 1:
        raise InputError(
            f"{options!r} follows the # of {root}; it must be height and width of the images in pixels, a "
            f"whole number from 1, such as {shown_path(root)}#48."
        )
    return int(options)


def _decode(listing: ImageListing, images: tuple[tuple[str, int], ...], size: int, use: str) -> ImageBatch:
    """Return the images that can be read; raise DataError if there are none."""
    batch = decode_images(listing.root, images, size)
    if not batch.info.names:
        name, reason = batch.info.skipped[0]
        raise DataError(
            f"none of the {len(images)} images for {use} in {listing.root} can be read, the first is "
            f"{printable(name)}: {reason}. Replace them."
        )
    return batch


def _arrays(batches: tuple[ImageBatch, ...], classes: tuple[str, ...]) -> list[Arrays]:
    """Return the images of each batch, with numbers for the classes of which some were read."""
    infos = [batch.info for batch in batches]
    ranges, (names, numbers) = pixel_ranges(infos), number_classes(infos, classes)
    encoding = ImageEncoding(tuple(ranges.values()))
    return [
        Arrays(
            torch.from_numpy(batch.filled(ranges)),
            torch.from_numpy(numbers[batch.info.labels]),
            names,
            encoding=encoding,
        )
        for batch in batches
    ]


def _notes(listing: ImageListing, infos: Sequence[BatchInfo]) -> tuple[str, ...]:
    return describe_batches(listing.events, infos, listing.classes)
