"""Images of a folder decoded together: pixels, labels, and notes on files that were skipped or converted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.image_decoding import decode_image
from dilution.data.formats.image_notes import Event, Kind, count_events, describe_events
from dilution.data.formats.image_pixels import Depth, join_depths, scale_depth
from dilution.data.label_notes import describe_markers
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
        One event per kind of conversion, with the first of the images that were converted, and their number.
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
        for row in self.deep_rows:
            self.images[row] = self.scaled(row, ranges)
        return self.images

    def scaled(self, row: int, ranges: Mapping[str, Depth]) -> NDArray[np.uint8]:
        """Return a square of more than 8 bits, scaled from the range of its kind: shape (3, size, size)."""
        number = int(np.searchsorted(self.deep_rows, row))
        depth = ranges[self.info.depths[number].kind]
        square: NDArray[np.uint8] = scale_depth(self.deep[number][None], depth)[0]
        return square


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
        converted += [Event(kind, name, detail) for kind, detail in image.conversions]
        labels += [label] * len(blank)
        names.append(name)
        formats.append(image.format)
    info = BatchInfo(
        np.array(labels, dtype=np.int64),
        tuple(names),
        tuple(skipped),
        count_events(converted),
        tuple(depths),
        tuple(formats),
    )
    return ImageBatch(
        info,
        np.concatenate(squares) if squares else blank[:0],
        np.concatenate(deep) if deep else np.empty((0, 2, size, size), np.float32),
        np.array(deep_rows, dtype=np.int64),
    )


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
    converted = [event for info in infos for event in info.converted]
    n_colour = sum(len(info.names) for info in infos) - _count(converted, Kind.GREY)
    for event in converted:
        if event.kind == Kind.DEPTH:
            events.append(event._replace(detail=str(ranges[event.detail])))
        elif event.kind != Kind.GREY:
            events.append(event)
        elif n_colour:  # greys alone are no surprise
            events.append(event._replace(detail=f"{n_colour:,}"))
    counts = dict(zip(classes, _examples(infos, len(classes)).tolist(), strict=True))
    events += [Event(Kind.NO_CLASS, name) for name, count in counts.items() if not count]
    markers = describe_markers([name for name, count in counts.items() if count], counts)
    return (*describe_events(events), *markers, *_describe_formats(infos, classes))


def _count(events: Iterable[Event], kind: Kind) -> int:
    return sum(event.number for event in events if event.kind == kind)


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
