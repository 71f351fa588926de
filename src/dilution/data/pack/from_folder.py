"""Image folders, one folder for each class, as ImageNet has them: packed.

Photographs are turned the way their camera says, converted to three channels, scaled so that the shorter
side has the size asked for, and cut to the square in the middle, or to several squares at places of their
own. Files that no image can be made of are skipped and listed. What was decoded is kept in chunks beside
the pack until that is whole: packing again goes on where it was stopped. Chunks of other settings, or of a
folder that has changed since, go then too.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from glob import escape
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from dilution.data.arrays import Arrays
from dilution.data.formats.image_decoding import decode
from dilution.data.formats.image_listing import Listing, find
from dilution.data.pack.writer import write_pack
from dilution.errors import DataError, InputError
from dilution.utils.atomic import write_whole

_CHUNK = 256  # squares
_EVERY = 5.0  # seconds between two lines about progress

Broken = tuple[str, str]
"""A file that was skipped, and why."""


@dataclass(frozen=True)
class Packing:
    """What packing a folder gave: the pack, images in each half, and the files skipped."""

    path: Path
    train: int
    test: int
    broken: tuple[Broken, ...]


def pack_folder(
    root: Path,
    target: Path,
    size: int,
    *,
    crops: int | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Packing:
    """Pack the images of a folder into one file.

    Parameters
    ----------
    root
        A folder as :func:`dilution.data.formats.image_listing.find` takes it.
    target
        The pack.
    size
        Height and width of every image in pixels.
    crops
        Squares cut from each photograph, of half to the whole of its shorter side; where follows from its
        path below the root and the square's number. They are images of the pack, one after the other, and
        all in the half of their photograph. Default: the square in the middle.
    workers
        Processes that decode. Default: one for each core; 0 decodes in this process.
    say
        Called with lines on progress.

    Raises
    ------
    InputError
        If the size or the number of crops is not positive.
    DataError
        If the folder holds no images, or too few can be read, or a file cannot be written.
    """
    if size < 1:
        raise InputError(f"size is {size}; it must be 1 pixel or more, such as 224.")
    if crops is not None and crops < 1:
        raise InputError(
            f"crops is {crops}; it must be 1 or more. Leave it out for the square in the middle."
        )
    listing = find(root)
    length = max(1, _CHUNK // (crops or 1))
    chunks = _chunks(listing, length)
    parts = target.with_name(f".{target.name}.{_identity(listing, size, crops)}.parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{parts} could not be made: {error.strerror}. Choose another folder.") from error
    stale = _stale(parts, target)
    for folder in stale:
        say(f"{folder} is of another size, other crops or other files: it goes once this pack is whole")
    todo = [number for number in range(len(chunks)) if not _part(parts, number).exists()]
    if len(todo) < len(chunks):
        say(f"{len(chunks) - len(todo)} of {len(chunks)} chunks were decoded before")
    started = shown = time.perf_counter()
    jobs = [(root, chunks[number], size, crops, _part(parts, number)) for number in todo]
    total, images = sum(len(chunk) for _, chunk, *_ in jobs), 0
    try:
        for job, _ in zip(jobs, _mapped(jobs, workers), strict=True):
            images, now = images + len(job[1]), time.perf_counter()
            if now - shown > _EVERY or images == total:
                say(f"{images:,} of {total:,} images, {images / (now - started):,.0f} a second")
                shown = now
    except OSError as error:
        raise DataError(
            f"what was decoded could not be written to {parts}: {error.strerror or error}. Make room "
            "there and run the same command again: it goes on from here."
        ) from error
    except BrokenProcessPool as error:
        raise DataError(
            f"a process that decoded was ended from outside, after {images:,} of {total:,} images; all "
            "must live until the end. Mostly memory has run out: run the same command again with fewer "
            "--workers; it goes on from here."
        ) from error
    in_training = -(-len(listing.train) // length)
    packing = _write(listing.classes, len(chunks), in_training, parts, target)
    for folder in (parts, *stale):
        shutil.rmtree(folder, ignore_errors=folder != parts)
    return packing


_Chunk = tuple[tuple[str, int], ...]
_Job = tuple[Path, _Chunk, int, int | None, Path]


def _chunks(listing: Listing, length: int) -> list[_Chunk]:
    """Return the images in chunks, those for training first; none holds images of both halves."""
    return [
        half[first : first + length]
        for half in (listing.train, listing.test)
        for first in range(0, len(half), length)
    ]


def _identity(listing: Listing, size: int, crops: int | None) -> str:
    """Return what the chunks depend on: a folder, size or number of crops that has changed starts anew."""
    digest = hashlib.sha256(os.fsencode(f"{size}/{crops}/{listing.classes}"))
    for half in (listing.train, listing.test):
        for name, label in half:
            stat = (listing.root / name).stat()
            digest.update(os.fsencode(f"{name}/{label}/{stat.st_size}/{stat.st_mtime_ns}"))
    return digest.hexdigest()[:16]


def _stale(parts: Path, target: Path) -> list[Path]:
    """Return the folders of chunks that were made for the same pack under another identity."""
    made = target.parent.glob(f".{escape(target.name)}.{'[0-9a-f]' * 16}.parts")
    return sorted(each for each in made if each != parts)


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06}.npz"


def _mapped(jobs: Sequence[_Job], workers: int | None) -> Iterator[None]:
    if workers == 0 or len(jobs) < 2:
        yield from map(_decode_chunk, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_decode_chunk, jobs)


def _decode_chunk(job: _Job) -> None:
    """Decode images and write them to a file, whose name appears once it is whole."""
    root, chunk, size, crops, path = job
    images, labels, broken = [], [], []
    for name, label in chunk:
        try:
            squares = decode(root / name, size, crops, name)
            images.append(squares)
            labels += [label] * len(squares)
        except DataError as error:
            broken.append((name, str(error)))
    shape = (0, 3, size, size)
    content = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        content,
        images=np.concatenate(images) if images else np.empty(shape, np.uint8),
        labels=np.array(labels, dtype=np.int64),
        broken=np.array(broken, dtype=np.str_).reshape(-1, 2),
    )
    content.replace(path)


def _write(classes: tuple[str, ...], chunks: int, in_training: int, parts: Path, target: Path) -> Packing:
    """Write the pack from the chunks, of which the first are for training."""
    broken: list[Broken] = []
    counts = [0, 0]

    def read(half: int) -> Iterator[Arrays]:
        numbers = range(in_training) if half == 0 else range(in_training, chunks)
        for number in numbers:
            with np.load(_part(parts, number), allow_pickle=False) as part:
                broken.extend((str(name), str(why)) for name, why in part["broken"])
                labels = torch.from_numpy(part["labels"])
                counts[half] += len(labels)
                if len(labels):
                    yield Arrays(torch.from_numpy(part["images"]), labels, classes)

    write_pack(target, read(0), read(1))
    _list_skipped(target.with_name(f"{target.name}.skipped.txt"), broken)
    return Packing(target, counts[0], counts[1], tuple(broken))


def _list_skipped(path: Path, broken: Sequence[Broken]) -> None:
    """Write the list of files skipped; without any, the list of an earlier pack of this name goes."""
    if broken:
        write_whole(path, os.fsencode("".join(f"{name}: {why}\n" for name, why in broken)))
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path} could not be removed: {error.strerror}. It is of an earlier pack; of this one nothing "
            "was skipped. Remove it yourself."
        ) from error
