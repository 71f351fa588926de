"""Image folders, one folder for each class, decoded into memory: for what is too small to be worth a pack."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from dilution.data.arrays import Arrays, DataSet, Labelled
from dilution.data.formats.image_decoding import decode
from dilution.data.formats.image_listing import Listing, find
from dilution.data.from_arrays import check_several
from dilution.errors import DataError, InputError

SIZE = 32
"""Height and width of the images in pixels, unless told."""

MOST = 20_000
"""Images that are decoded into memory at most."""


def load(root: Path, options: str = "") -> DataSet:
    """Return the data set in a folder, named after it.

    Parameters
    ----------
    root
        A folder as :func:`dilution.data.formats.image_listing.find` takes it.
    options
        Height and width of every image in pixels. Default: 32.

    Raises
    ------
    InputError
        If the size is no positive whole number, there are more than ``MOST`` images, or those for training
        that can be read are all of one class.
    DataError
        If there are no images, or too few can be read.
    """
    listing, size = _listing(root), _size(root, options)
    halves, skipped = [], []
    for name, half in (("training", listing.train), ("testing", listing.test)):
        arrays, _, broken = _decoded(listing, half, size, name)
        halves.append(arrays)
        skipped += broken
    check_several(halves[0])
    return DataSet(root.name, halves[0], halves[1], _notes(skipped))


def labelled(root: Path, options: str = "") -> Labelled:
    """Return the images of both halves that can be read, by the order of their paths.

    Parameters and errors are those of :func:`load`.
    """
    listing = _listing(root)
    every = tuple(sorted(listing.train + listing.test))
    arrays, names, broken = _decoded(listing, every, _size(root, options), "any use")
    return Labelled(arrays, tuple(names), _notes(broken))


def stamp(root: Path) -> str:
    """Return a digest of the names, sizes and times of the images, in hex."""
    digest = hashlib.sha256()
    for name, path in _files(root):
        stat = path.stat()
        digest.update(os.fsencode(f"{name}/{stat.st_size}/{stat.st_mtime_ns}\n"))
    return digest.hexdigest()


@lru_cache(maxsize=16)
def identity(root: Path, stamp: str) -> str:  # noqa: ARG001  (part of the cache's key)
    """Return the SHA-256 over the names of the images, below the root, and their contents, in hex."""
    digest = hashlib.sha256()
    try:
        for name, path in _files(root):
            digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    return digest.hexdigest()


def size(root: Path) -> int:
    """Return how many bytes the images take on disk."""
    return sum(path.stat().st_size for _, path in _files(root))


def _files(root: Path) -> list[tuple[str, Path]]:
    listing = _listing(root)
    return [(name, root / name) for name, _ in sorted(listing.train + listing.test)]


def _listing(root: Path) -> Listing:
    listing = find(root)
    count = len(listing.train) + len(listing.test)
    if count > MOST:
        raise InputError(
            f"{root} holds {count:,} images; at most {MOST:,} are decoded into memory. Pack them once, "
            f"with `dilution data pack {root} {root.name}.pack --size {SIZE}`, and name the pack."
        )
    return listing


def _size(root: Path, options: str) -> int:
    if not options:
        return SIZE
    if not options.isdecimal() or int(options) < 1:
        raise InputError(
            f"{options!r} follows the # of {root}; there goes the height and width of its images in "
            f"pixels, a whole number from 1, such as {root.name}#48."
        )
    return int(options)


def _decoded(
    listing: Listing, half: tuple[tuple[str, int], ...], size: int, use: str
) -> tuple[Arrays, list[str], list[tuple[str, str]]]:
    """Return the images that can be read, their names, and the files that cannot, with the reason."""
    images, labels, names, broken = [], [], [], []
    for name, label in half:
        try:
            images.append(decode(listing.root / name, size))
        except DataError as error:
            broken.append((name, str(error)))
        else:
            labels.append(label)
            names.append(name)
    if not images:
        name, why = broken[0]
        raise DataError(
            f"none of the {len(half)} images for {use} in {listing.root} can be read, the first is {name}: "
            f"{why}. Replace them."
        )
    arrays = Arrays(torch.from_numpy(np.concatenate(images)), torch.tensor(labels), listing.classes)
    return arrays, names, broken


def _notes(broken: list[tuple[str, str]]) -> tuple[str, ...]:
    if not broken:
        return ()
    (name, why), count = broken[0], len(broken)
    files = f"{count:,} files are" if count > 1 else "1 file is"
    return (f"{files} skipped, the first is {name}: {why}",)
