"""Images of a folder decoded together: pixels, labels, and notes on files that were skipped or converted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.image_decoding import decode_image
from dilution.data.formats.image_notes import Event, Kind, describe_events
from dilution.data.formats.image_pixels import Depth, join_depths, scale_depth
from dilution.errors import DataError

_TELLING = 5  # images of one format in one class only; fewer are so by chance


@dataclass(frozen=True)
class BatchInfo:
    """What is known of the images of a batch beside their pixels.

    Parameters
    ----------
    labels
        Class number of each square, int64, shape (squares,).
    names
        Path below the root of each file that was read.
    skipped
        Files that could not be read, with the reasons.
    converted
        Images that were converted, each with the kind of conversion.
    depths
        Range of the image of each square of more than 8 bits.
    formats
        Format of each file that was read.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    converted: tuple[Event, ...]
    depths: tuple[Depth, ...]
    formats: tuple[str, ...]


@dataclass(frozen=True)
class ImageBatch:
    """Squares of several images in the order of their files.

    Parameters
    ----------
    info
        Labels, names and notes.
    images
        uint8, shape (squares, 3, size, size); those of more than 8 bits are not filled in yet.
    deep
        Squares of more than 8 bits, float32, shape (m, 2, size, size), as
        :func:`dilution.data.formats.image_pixels.scale_depth` takes them.
    deep_rows
        Their rows in `images`, int64, shape (m,).
    """

    info: BatchInfo
    images: NDArray[np.uint8]
    deep: NDArray[np.float32]
    deep_rows: NDArray[np.int64]

    def filled(self, ranges: Mapping[str, Depth]) -> NDArray[np.uint8]:
        """Return the images, those of more than 8 bits scaled from the range of their kind."""
        for squares, row, depth in zip(self.deep, self.deep_rows, self.info.depths, strict=True):
            self.images[row] = scale_depth(squares[None], ranges[depth.kind])[0]
        return self.images

    def save(self, path: Path) -> None:
        """Write the batch to a ``.npz`` file."""
        info = self.info
        np.savez(
            path,
            images=self.images,
            labels=info.labels,
            files=_table(list(zip(info.names, info.formats, strict=True)), 2),
            skipped=_table(info.skipped, 2),
            converted=_table(info.converted, 3),
            deep=self.deep,
            deep_rows=self.deep_rows,
            depth_kinds=_table([(depth.kind,) for depth in info.depths], 1),
            depth_ranges=np.array([depth[1:] for depth in info.depths], dtype=np.float64).reshape(-1, 2),
        )


def decode_images(
    root: Path, images: Sequence[tuple[str, int]], size: int, crops: int | None = None
) -> ImageBatch:
    """Return the squares of the images that can be read.

    Parameters
    ----------
    root
        The folder.
    images
        Path below it and class number of each image.
    size, crops
        As :func:`dilution.data.formats.image_decoding.decode_image` takes them.
    """
    squares: list[NDArray[np.uint8]] = []
    deep: list[NDArray[np.float32]] = []
    labels: list[int] = []
    names: list[str] = []
    formats: list[str] = []
    skipped: list[tuple[str, str]] = []
    converted: list[Event] = []
    deep_rows: list[int] = []
    depths: list[Depth] = []
    blank = np.zeros((crops or 1, 3, size, size), np.uint8)
    for name, label in images:
        try:
            image = decode_image(root / name, size, crops, name)
        except DataError as error:
            skipped.append((name, str(error)))
            continue
        if image.depth is None:
            squares.append(image.to_uint8())
        else:
            squares.append(blank)
            deep.append(image.squares.astype(np.float32, copy=False))
            deep_rows += range(len(labels), len(labels) + len(blank))
            depths += [image.depth] * len(blank)
            converted.append(Event(Kind.DEPTH, name, image.depth.kind))
        converted += [Event(kind, name) for kind in image.conversions]
        labels += [label] * len(blank)
        names.append(name)
        formats.append(image.format)
    info = BatchInfo(
        np.array(labels, dtype=np.int64),
        tuple(names),
        tuple(skipped),
        tuple(converted),
        tuple(depths),
        tuple(formats),
    )
    return ImageBatch(
        info,
        np.concatenate(squares) if squares else blank[:0],
        np.concatenate(deep) if deep else np.empty((0, 2, size, size), np.float32),
        np.array(deep_rows, dtype=np.int64),
    )


def load_info(path: Path) -> BatchInfo:
    """Return the labels, names and notes of a batch that :meth:`ImageBatch.save` wrote, without pixels."""
    with np.load(path, allow_pickle=False) as arrays:
        ranges = zip(arrays["depth_kinds"][:, 0].tolist(), arrays["depth_ranges"].tolist(), strict=True)
        return BatchInfo(
            arrays["labels"],
            tuple(arrays["files"][:, 0].tolist()),
            tuple((name, reason) for name, reason in arrays["skipped"].tolist()),
            tuple(Event(*event) for event in arrays["converted"].tolist()),
            tuple(Depth(kind, low, high) for kind, (low, high) in ranges),
            tuple(arrays["files"][:, 1].tolist()),
        )


def load_batch(path: Path) -> ImageBatch:
    """Return a batch that :meth:`ImageBatch.save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return ImageBatch(load_info(path), arrays["images"], arrays["deep"], arrays["deep_rows"])


def pixel_ranges(infos: Iterable[BatchInfo]) -> dict[str, Depth]:
    """Return the range of all images of more than 8 bits, per kind."""
    return join_depths(depth for info in infos for depth in info.depths)


def describe_batches(
    events: Iterable[Event], infos: Sequence[BatchInfo], classes: Sequence[str]
) -> tuple[str, ...]:
    """Return the notes on a folder, one sentence each.

    Parameters
    ----------
    events
        Files and folders that were skipped before any image was decoded.
    infos
        All batches of the images.
    classes
        Names of the classes by their numbers in the batches.
    """
    ranges = pixel_ranges(infos)
    events = [*events, *(Event(Kind.UNREADABLE, *skipped) for info in infos for skipped in info.skipped)]
    for event in (event for info in infos for event in info.converted):
        detail = str(ranges[event.detail]) if event.kind == Kind.DEPTH else event.detail
        events.append(Event(event.kind, event.name, detail))
    counts = _examples(infos, len(classes))
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    events += [Event(Kind.NO_CLASS, name) for name in absent]
    return (*describe_events(events), *_describe_formats(infos, classes))


def _describe_formats(infos: Iterable[BatchInfo], classes: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on the formats if there are several: a format can give the class away."""
    counts: dict[str, Counter[str]] = {}
    for info in infos:
        squares = max(1, len(info.labels) // max(1, len(info.names)))  # per file
        for format_name, label in zip(info.formats, info.labels[::squares].tolist(), strict=True):
            counts.setdefault(format_name, Counter())[classes[label]] += 1
    if len(counts) < 2:
        return ()
    ordered = sorted(counts, key=lambda name: (-counts[name].total(), name))
    listed = ", ".join(f"{counts[name].total():,} {name}" for name in ordered)
    single = {
        name: next(iter(counts[name]))
        for name in ordered
        if len(counts[name]) == 1 and counts[name].total() >= _TELLING
    }
    alone = ", ".join(f"all {name} are of class {class_name}" for name, class_name in single.items())
    remark = f"; {alone}, so that the format can give it away" if alone else ""
    return (f"the images are of {len(counts)} formats: {listed}{remark}",)


def number_classes(
    infos: Sequence[BatchInfo], classes: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes of which images were read, and the new number of each old class number.

    The numbers are int64 of shape (classes,); those of classes without images are meaningless.
    """
    present = _examples(infos, len(classes)) > 0
    names = tuple(name for name, is_present in zip(classes, present, strict=True) if is_present)
    return names, np.cumsum(present) - 1


def _examples(infos: Iterable[BatchInfo], n_classes: int) -> NDArray[np.int64]:
    counts = np.zeros(n_classes, dtype=np.int64)
    for info in infos:
        counts += np.bincount(info.labels, minlength=n_classes)
    return counts


def _table(rows: Sequence[Sequence[str]], columns: int) -> NDArray[np.str_]:
    return np.array([list(map(str, row)) for row in rows], dtype=np.str_).reshape(-1, columns)
