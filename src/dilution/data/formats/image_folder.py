"""Image folders decoded into memory, for data that are too small to be worth a pack."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from dilution.data.arrays import Arrays, DataSet, UnsplitData
from dilution.data.class_checks import check_two_classes
from dilution.data.formats.image_decoding import decode_image
from dilution.data.formats.image_listing import ImageListing, list_images
from dilution.errors import DataError, InputError

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
        If the size is no positive whole number, there are more than 20,000 images, or all readable training
        images are of one class.
    DataError
        If there are no images, or none of a split can be read.
    """
    listing, size = _list_images(root), _size(root, options)
    train, _, skipped_train = _decode(listing, listing.train, size, "training")
    test, _, skipped_test = _decode(listing, listing.test, size, "testing")
    check_two_classes(train.labels, train.classes)
    return DataSet(root.name, train, test, _notes(skipped_train + skipped_test))


def load_unsplit(root: Path, options: str = "") -> UnsplitData:
    """Return the readable images of both splits, in the order of their paths.

    Parameters and errors are those of :func:`load`.
    """
    listing = _list_images(root)
    arrays, names, skipped = _decode(listing, _all_images(listing), _size(root, options), "any use")
    return UnsplitData(arrays, tuple(names), _notes(skipped))


def stamp(root: Path) -> str:
    """Return a digest of the names, sizes and modification times of the images, in hex."""
    digest = hashlib.sha256()
    for name, path in _files(root):
        stat = path.stat()
        digest.update(os.fsencode(f"{name}/{stat.st_size}/{stat.st_mtime_ns}\n"))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def identity(root: Path, stamp: str) -> str:  # noqa: ARG001  (part of the cache's key)
    """Return the SHA-256 of the names of the images, below the root, and their contents, in hex."""
    digest = hashlib.sha256()
    try:
        for name, path in _files(root):
            digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    return digest.hexdigest()


def size_on_disk(root: Path) -> int:
    """Return the total size of the images in bytes."""
    return sum(path.stat().st_size for _, path in _files(root))


def _files(root: Path) -> list[tuple[str, Path]]:
    return [(name, root / name) for name, _ in _all_images(_list_images(root))]


def _all_images(listing: ImageListing) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(listing.train + listing.test))


def _list_images(root: Path) -> ImageListing:
    listing = list_images(root)
    count = len(listing.train) + len(listing.test)
    if count > _MAX_IMAGES:
        raise InputError(
            f"{root} holds {count:,} images; at most {_MAX_IMAGES:,} are decoded into memory. Pack them "
            f"once, with `dilution data pack {root} {root.name}.pack --size {_DEFAULT_SIZE}`, and name the "
            "pack."
        )
    return listing


def _size(root: Path, options: str) -> int:
    if not options:
        return _DEFAULT_SIZE
    if not options.isdecimal() or int(options) < 1:
        raise InputError(
            f"{options!r} follows the # of {root}; it must be height and width of the images in pixels, a "
            f"whole number from 1, such as {root.name}#48."
        )
    return int(options)


def _decode(
    listing: ImageListing, images: tuple[tuple[str, int], ...], size: int, use: str
) -> tuple[Arrays, list[str], list[tuple[str, str]]]:
    """Return the readable images, their names, and the skipped files with the reasons."""
    pixels, labels, names, skipped = [], [], [], []
    for name, label in images:
        try:
            pixels.append(decode_image(listing.root / name, size))
        except DataError as error:
            skipped.append((name, str(error)))
        else:
            labels.append(label)
            names.append(name)
    if not pixels:
        name, reason = skipped[0]
        raise DataError(
            f"none of the {len(images)} images for {use} in {listing.root} can be read, the first is {name}: "
            f"{reason}. Replace them."
        )
    arrays = Arrays(torch.from_numpy(np.concatenate(pixels)), torch.tensor(labels), listing.classes)
    return arrays, names, skipped


def _notes(skipped: list[tuple[str, str]]) -> tuple[str, ...]:
    if not skipped:
        return ()
    (name, reason), count = skipped[0], len(skipped)
    files = f"{count:,} files are" if count > 1 else "1 file is"
    return (f"{files} skipped, the first is {name}: {reason}",)
