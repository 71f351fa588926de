"""Packing of image folders: parallel decoding, in chunks that an interrupted packing resumes from.

Images are decoded by :mod:`dilution.data.formats.image_batch`, as those of a folder in memory are: scaled so
that the shorter side has the requested size, and cut to the square in the middle, or to several squares at
random positions. Files that cannot be decoded are skipped and listed. Decoded images are kept in chunks
beside the pack until it is complete. Chunks of other settings, or of a folder that has changed since, are
deleted then too; nothing else is. Copies are sought and the images are divided once all are decoded, as
those of a folder in memory are, so that both have the same examples in the same splits.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

import numpy as np
import torch

from dilution.data.arrays import Arrays
from dilution.data.class_checks import check_two_classes, describe_untested
from dilution.data.formats.image_batch import (
    decode_images,
    describe_batches,
    number_classes,
)
from dilution.data.formats.image_listing import ImageListing, list_images
from dilution.data.near_copies import MAX_IMAGES
from dilution.data.pack import reader, skipped_files
from dilution.data.pack.chunk_files import Chunk, delete_chunks, open_chunk, save_chunk
from dilution.data.pack.chunk_images import ChunkImages
from dilution.data.pack.squares import group_squares, split_photographs, square_namer
from dilution.data.pack.writer import write_pack
from dilution.data.splits import with_own_test_split
from dilution.errors import DataError, InputError
from dilution.utils.file_lock import writing
from dilution.utils.printable import printable
from dilution.utils.process_pool import (
    Handler,
    ProcessPool,
    WorkerDiedError,
    available_cores,
    can_start_workers,
)

_CHUNK = 256  # squares per chunk
_LOG_SECONDS = 5.0  # between two lines of progress


@dataclass(frozen=True)
class PackedFolder:
    """Result of packing a folder.

    Parameters
    ----------
    path
        The pack.
    n_train, n_test
        Number of images per split.
    skipped
        Image files that could not be read.
    notes
        One sentence per kind of file or folder that was skipped, or of image that was converted. They are in
        the pack too, as the notes of the data set.
    """

    path: Path
    n_train: int
    n_test: int
    skipped: tuple[skipped_files.SkippedFile, ...]
    notes: tuple[str, ...] = ()


def pack_folder(
    root: Path,
    target: Path,
    size: int,
    *,
    crops: int | None = None,
    workers: int | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> PackedFolder:
    """Pack the images of a folder into one file.

    Parameters
    ----------
    root
        Folder with one folder per class, as :func:`dilution.data.formats.image_listing.list_images` takes it.
    target
        The pack.
    size
        Height and width of every image in pixels.
    crops
        Number of squares cut from each photograph, with sides from half to the whole of its shorter side.
        They depend only on its path below the root and the number of the square, and are images of the same
        split. Default: one, the square in the middle.
    workers
        Processes that decode. Default: one per core; 0 decodes in this process.
    log
        Function that is called with lines on progress.

    Raises
    ------
    InputError
        If the size or the number of crops is not positive, all readable training images are of one class,
        those of a class are all in the test split, or a folder without splits cannot be divided.
    DataError
        If the folder contains no images, none of a split can be decoded, a file cannot be written, or in the
        place of one is something that a packing has not written.
    """
    if size < 1:
        raise InputError(f"size is {size}; it must be 1 pixel or more, such as 224.")
    if crops is not None and crops < 1:
        raise InputError(
            f"crops is {crops}; it must be 1 or more. Leave it out for the square in the middle."
        )
    listing = list_images(root)
    chunks = _Chunks(listing, target, size, crops)
    taken = DataError(f"another process is packing {target}; wait until it ends, or write to another file.")
    skipped_files.check(target)
    stale = chunks.prepare()
    with writing(target.with_name(f".{target.name}"), taken=taken, removes=True):
        for folder in stale:
            log(
                f"{folder} is of another size, other crops or other files; it is deleted once this pack is "
                "complete"
            )
        _decode_missing(chunks, workers, log)
        packed = _write(chunks, listing, target)
        for folder in (chunks.folder, *stale):
            if not delete_chunks(folder):
                log(f"{folder} holds other files, which are kept")
    return packed


_Images = tuple[tuple[str, int], ...]
_Job = tuple[Path, _Images, int, int | None, bool, Path]


class _Chunks:
    """Decoded images of a folder, in files beside the pack that they become parts of.

    Parameters
    ----------
    listing, target, size, crops
        As in :func:`pack_folder`.
    """

    def __init__(self, listing: ImageListing, target: Path, size: int, crops: int | None) -> None:
        self._root, self._target = listing.root, target
        self.size, self.crops = size, crops
        """As in :func:`pack_folder`."""
        length = max(1, _CHUNK // (crops or 1))
        train, test = (
            [images[first : first + length] for first in range(0, len(images), length)]
            for images in (listing.train, listing.test)
        )
        self._images: list[_Images] = train + test
        self.splits = range(len(train)), range(len(train), len(train) + len(test))
        """Numbers of the chunks of each split of the folder; a folder without splits has none for testing."""
        self.folder = target.with_name(f".{target.name}.{_settings_digest(listing, size, crops)}.parts")

    def __len__(self) -> int:
        return len(self._images)

    def prepare(self) -> list[Path]:
        """Create the folder of the chunks; return such folders of the same pack with other settings."""
        if self.folder.is_symlink():
            raise DataError(f"{self.folder} is a link, and chunks are written there. Remove it yourself.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{self.folder} could not be created: {error.strerror}. Choose another folder."
            ) from error
        pattern = f".{escape(self._target.name)}.{'[0-9a-f]' * 16}.parts"
        folders = [folder for folder in self._target.parent.glob(pattern) if folder != self.folder]
        return sorted(folder for folder in folders if folder.is_dir() and not folder.is_symlink())

    def path(self, number: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / f"{number:06}.npz"

    def open(self, number: int) -> Chunk:
        """Return a chunk whose images are decoded."""
        return open_chunk(self.path(number), self._images[number], self.size, self.crops or 1)

    def missing_jobs(self) -> list[_Job]:
        """Return arguments of :func:`_decode_chunk` for the chunks that do not exist."""
        paths = [self.path(number) for number in range(len(self))]
        scaled = (self.crops or 1) * sum(map(len, self._images)) <= MAX_IMAGES
        return [
            (self._root, images, self.size, self.crops, scaled, path)
            for images, path in zip(self._images, paths, strict=True)
            if path.is_symlink() or not path.is_file()
        ]


def _settings_digest(listing: ImageListing, size: int, crops: int | None) -> str:
    """Return a digest of what the chunks depend on: format, settings, names, sizes and times of files."""
    digest = hashlib.sha256(os.fsencode(f"5/{size}/{crops}/{listing.classes}"))
    for name, label in (*listing.train, *listing.test):
        try:
            status = (listing.root / name).stat()
        except OSError as error:
            raise DataError(
                f"{listing.root} has changed: {printable(name)} was removed ({error.strerror}). Run the same "
                "command again."
            ) from error
        digest.update(os.fsencode(f"{name}/{label}/{status.st_size}/{status.st_mtime_ns}"))
    return digest.hexdigest()[:16]


def _decode_missing(chunks: _Chunks, workers: int | None, log: Callable[[str], None]) -> None:
    """Decode the chunks that do not exist, and log the progress."""
    jobs = chunks.missing_jobs()
    if len(jobs) < len(chunks):
        log(f"{len(chunks) - len(jobs)} of {len(chunks)} chunks were decoded before")
    started = logged = time.perf_counter()
    n_images, n_decoded = sum(len(images) for _, images, *_ in jobs), 0
    try:
        for (_, images, *_), _ in zip(jobs, _map(jobs, workers), strict=True):
            n_decoded, now = n_decoded + len(images), time.perf_counter()
            if now - logged > _LOG_SECONDS or n_decoded == n_images:
                log(f"{n_decoded:,} of {n_images:,} images, {n_decoded / (now - started):,.0f} per second")
                logged = now
    except OSError as error:
        raise DataError(
            f"decoded images could not be written to {chunks.folder}: {error.strerror or error}. Free space "
            "there and run the same command again, which resumes."
        ) from error
    except WorkerDiedError as error:
        raise DataError(
            f"a decoding process was killed after {n_decoded:,} of {n_images:,} images, usually for lack of "
            "memory. Run the same command again with fewer --workers; it resumes."
        ) from error


def _map(jobs: Sequence[_Job], workers: int | None) -> Iterator[None]:
    if workers == 0 or len(jobs) < 2 or not can_start_workers():
        yield from map(_decode_chunk, jobs)
        return
    count = min(len(jobs), available_cores() if workers is None else workers)
    with ProcessPool(_open_worker, [(_decode_chunk,)] * count) as pool:
        yield from pool.imap(jobs)


def _open_worker(decode: Handler) -> Handler:
    """Return the handler of a worker process."""
    return decode


def _decode_chunk(job: _Job) -> None:
    """Decode images and write them to a file, which has its name only once it is complete."""
    root, images, size, crops, scaled, path = job
    save_chunk(decode_images(root, images, size, crops), path, scaled=scaled)


def _write(chunks: _Chunks, listing: ImageListing, target: Path) -> PackedFolder:
    """Write the pack from the chunks."""
    opened = [chunks.open(number) for number in range(len(chunks))]
    infos = [chunk.info for chunk in opened]
    skipped = tuple(skipped for info in infos for skipped in info.skipped)
    n_train = sum(len(infos[number].labels) for number in chunks.splits[0])
    n_test = sum(len(infos[number].labels) for number in chunks.splits[1])
    for use, count in (("training", n_train), ("testing", n_test if listing.has_splits else 1)):
        if not count:
            name, reason = skipped[0]
            raise DataError(
                f"none of the images for {use} in {listing.root} can be read; the first file that cannot is "
                f"{printable(name)}: {reason}. Replace them."
            )
    classes, numbers = number_classes(infos, listing.classes)
    labels = torch.from_numpy(numbers[np.concatenate([info.labels for info in infos])])
    check_two_classes(labels[:n_train], classes)
    arrays = group_squares(ChunkImages(opened, chunks.size), labels, classes, chunks.crops or 1)
    notes = describe_batches(listing.events, infos, listing.classes)
    names = [name for info in infos for name in info.names]
    if listing.has_splits:
        train, test = (arrays.subset(rows) for rows in torch.arange(len(arrays)).split([n_train, n_test]))
        square_name = square_namer(names, chunks.crops or 1)
        data = with_own_test_split(target.stem, train, test, notes, square_name)
    else:
        data = split_photographs(target.stem, arrays, names, notes)
    without_copies = (*notes, *describe_untested(data.test.labels, data.test.classes))
    if data.notes == without_copies and data.train.split_groups is None:
        data = replace(data, train=replace(data.train, groups=None), test=replace(data.test, groups=None))
    write_pack(target, _parts(data.train), _parts(data.test), data.notes)
    skipped_files.write(target, skipped)
    return PackedFolder(target, len(data.train), len(data.test), skipped, reader.load(target).notes)


def _parts(arrays: Arrays) -> Iterator[Arrays]:
    """Yield parts of which only one is in memory."""
    for rows in torch.arange(len(arrays)).split(_CHUNK):
        yield arrays.subset(rows)
