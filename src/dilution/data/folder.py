"""Image folders, one folder for each class, as ImageNet has them: found, decoded and packed.

Photographs are turned the way their camera says, converted to three channels, scaled so that the shorter
side has the size asked for, and cut to the square in the middle. Files that no picture can be made of are
skipped and listed. What was decoded is kept in chunks beside the pack until that is whole: packing again
goes on where it was stopped.
"""

import hashlib
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dilution.data.arrays import Arrays
from dilution.data.packing import write_pack
from dilution.data.split import every_fifth
from dilution.errors import DataError, InputError
from dilution.files import write_whole

ENDINGS = (".jpg", ".jpeg", ".png")
TEST_NAMES = ("val", "test")
_CHUNK = 256
_EVERY = 5.0  # seconds between two lines about progress

Broken = tuple[str, str]
"""A file that was skipped, and why."""


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder: which belong to which half and class.

    Parameters
    ----------
    root
        The folder.
    classes
        Names of the class folders, in alphabetical order.
    train, test
        For each picture its path below the root and its class.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Packing:
    """What packing a folder gave: the pack, pictures in each half, and the files skipped."""

    path: Path
    train: int
    test: int
    broken: tuple[Broken, ...]


def find(root: Path) -> Listing:
    """List the pictures of a folder that has a folder for each class.

    If it holds ``train`` and ``val`` (or ``test``), these are the halves. Otherwise a fifth of each class is
    for testing, or of all pictures where every class has one only.

    Raises
    ------
    DataError
        If there are no such folders or no pictures in them, or the test half has a class of its own.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Name a folder that holds a folder of pictures for each class.")
    halves = [root / name for name in TEST_NAMES if (root / name).is_dir()]
    if (root / "train").is_dir() and halves:
        classes = _folders(root / "train")
        extra = sorted(set(_folders(halves[0])) - set(classes))
        if extra:
            raise DataError(f"{halves[0]} has the class {extra[0]!r}, which {root / 'train'} lacks.")
        train, test = (_pictures(root, half, classes) for half in (root / "train", halves[0]))
    else:
        classes = _folders(root)
        every = _pictures(root, root, classes)
        labels = np.array([label for _, label in every], dtype=np.int64)
        kept, aside = every_fifth(labels) if len(every) else (labels, labels)
        if len(aside) == 0:
            aside = np.arange(len(every))[::5]
            kept = np.setdiff1d(np.arange(len(every)), aside)
        train, test = [every[i] for i in kept], [every[i] for i in aside]
    if not train or not test:
        raise DataError(
            f"{root} has {len(train)} pictures for training and {len(test)} for testing; it needs some of "
            f"both, in a folder for each class, with names that end in {', '.join(ENDINGS)}."
        )
    return Listing(root, classes, tuple(train), tuple(test))


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(
        sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    )


def _pictures(root: Path, half: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    return [
        (str(file.relative_to(root)), label)
        for label, name in enumerate(classes)
        if (half / name).is_dir()
        for file in sorted((half / name).rglob("*"))
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """Return a picture as uint8 of shape (3, size, size).

    Raises
    ------
    DataError
        If no picture can be made of the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # of odd metadata, which is not used
            with Image.open(path) as opened:
                opened.draft("RGB", (2 * size, 2 * size))  # a JPEG is decoded no larger than need be
                picture = ImageOps.exif_transpose(opened).convert("RGB")
        square = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    # Pillow's decoders raise nearly anything on damaged files; each is reported with the file.
    except Exception as error:
        raise DataError(f"{type(error).__name__}: {error}") from error
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def pack_folder(
    root: Path,
    target: Path,
    size: int,
    *,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Packing:
    """Pack the pictures of a folder into one file.

    Parameters
    ----------
    root
        A folder as :func:`find` takes it.
    target
        The pack.
    size
        Height and width of every picture in pixels.
    workers
        Processes that decode. Default: one for each core; 0 decodes in this process.
    say
        Called with lines on progress.

    Raises
    ------
    InputError
        If the size is not positive.
    DataError
        If the folder holds no pictures, or too few can be read, or a file cannot be written.
    """
    if size < 1:
        raise InputError(f"size is {size}; it must be 1 pixel or more, such as 224.")
    listing = find(root)
    chunks = _chunks(listing)
    parts = target.with_name(f".{target.name}.{_identity(listing, size)}.parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{parts} could not be made: {error.strerror}. Choose another folder.") from error
    todo = [number for number in range(len(chunks)) if not _part(parts, number).exists()]
    if len(todo) < len(chunks):
        say(f"{len(chunks) - len(todo)} of {len(chunks)} chunks were decoded before")
    started = shown = time.perf_counter()
    jobs = [(root, chunks[number], size, _part(parts, number)) for number in todo]
    total, pictures = sum(len(chunk) for _, chunk, _, _ in jobs), 0
    try:
        for job, _ in zip(jobs, _mapped(jobs, workers), strict=True):
            pictures, now = pictures + len(job[1]), time.perf_counter()
            if now - shown > _EVERY or pictures == total:
                say(f"{pictures:,} of {total:,} pictures, {pictures / (now - started):,.0f} a second")
                shown = now
    except OSError as error:
        raise DataError(
            f"what was decoded could not be written to {parts}: {error.strerror or error}. Make room "
            "there and run the same command again: it goes on from here."
        ) from error
    packing = _write(listing, chunks, parts, target)
    shutil.rmtree(parts)
    return packing


_Chunk = tuple[tuple[str, int], ...]
_Job = tuple[Path, _Chunk, int, Path]


def _chunks(listing: Listing) -> list[_Chunk]:
    """Return the pictures in chunks, those for training first; none holds pictures of both halves."""
    return [
        half[first : first + _CHUNK]
        for half in (listing.train, listing.test)
        for first in range(0, len(half), _CHUNK)
    ]


def _identity(listing: Listing, size: int) -> str:
    """Return what the chunks depend on: a folder or size that has changed starts anew."""
    digest = hashlib.sha256(f"{size}/{listing.classes}".encode())
    for half in (listing.train, listing.test):
        for name, label in half:
            stat = (listing.root / name).stat()
            digest.update(f"{name}/{label}/{stat.st_size}/{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06}.npz"


def _mapped(jobs: Sequence[_Job], workers: int | None) -> Iterator[None]:
    if workers == 0 or len(jobs) < 2:
        yield from map(_decode_chunk, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_decode_chunk, jobs)


def _decode_chunk(job: _Job) -> None:
    """Decode pictures and write them to a file, whose name appears once it is whole."""
    root, chunk, size, path = job
    pictures, labels, broken = [], [], []
    for name, label in chunk:
        try:
            pictures.append(decode(root / name, size))
            labels.append(label)
        except DataError as error:
            broken.append((name, str(error)))
    shape = (0, 3, size, size)
    content = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        content,
        pictures=np.stack(pictures) if pictures else np.empty(shape, np.uint8),
        labels=np.array(labels, dtype=np.int64),
        broken=np.array(broken, dtype=np.str_).reshape(-1, 2),
    )
    content.replace(path)


def _write(listing: Listing, chunks: Sequence[_Chunk], parts: Path, target: Path) -> Packing:
    """Write the pack from the chunks."""
    broken: list[Broken] = []
    counts = [0, 0]
    in_training = -(-len(listing.train) // _CHUNK)

    def read(half: int) -> Iterator[Arrays]:
        numbers = range(in_training) if half == 0 else range(in_training, len(chunks))
        for number in numbers:
            with np.load(_part(parts, number), allow_pickle=False) as part:
                broken.extend((str(name), str(why)) for name, why in part["broken"])
                labels = torch.from_numpy(part["labels"])
                counts[half] += len(labels)
                if len(labels):
                    yield Arrays(torch.from_numpy(part["pictures"]), labels, listing.classes)

    write_pack(target, read(0), read(1))
    skipped = "".join(f"{name}: {why}\n" for name, why in broken)
    if skipped:
        write_whole(target.with_name(f"{target.name}.skipped.txt"), skipped.encode())
    return Packing(target, counts[0], counts[1], tuple(broken))
