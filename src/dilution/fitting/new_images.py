"""New images in files: a folder, some files or one, decoded batch by batch as the training images were."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.image_listing import class_name
from dilution.data.formats.image_notes import Event, Kind, count_events, describe_events
from dilution.data.formats.image_tree import SUFFIXES, find_images
from dilution.errors import DataError, InputError
from dilution.fitting.new_examples import BATCH, Batch, GivenLabels
from dilution.utils.printable import printable

_LABEL = "label"
_BATCH_BYTES = 1 << 28  # of decoded images that are held at once


def is_image_file(path: Path) -> bool:
    """Return whether a path has the extension of an image that is read."""
    return path.suffix.lower() in SUFFIXES


class ImageFiles:
    """Images in files; attributes are those of :class:`dilution.fitting.new_examples.NewExamples`.

    Parameters
    ----------
    root
        Folder of the images.
    names
        Paths below it, in the order of the user.
    shape
        Image shape (channels, height, width) that the model takes.
    encoding
        How the training images were decoded; None: the model was fitted to arrays.
    events
        Files that were skipped.
    given
        Labels of the images.
    ids
        Id of each image. Default: its path below the root.
    notes
        Notes on the list that names the images.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        shape: tuple[int, int, int],
        encoding: ImageEncoding | None,
        events: Iterable[Event] = (),
        given: GivenLabels | None = None,
        ids: tuple[str, ...] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        channels, height, width = shape
        if channels not in (1, 3) or height != width or min(height, width) < 2:
            raise InputError(
                f"the model takes images of {channels}×{height}×{width}; files of images become squares of "
                "1 or 3 channels. Pass an array of images of that shape."
            )
        self._root, self._names, self._shape = root, tuple(names), shape
        self._encoding, self._events, self.given = encoding, list(events), given
        self._ids, self._notes = ids, notes

    @property
    def n_given(self) -> int:
        """Number of images."""
        return len(self._names)

    @property
    def ids(self) -> tuple[str, ...]:
        """Id of each image: its path below the root, unless the user gave ids."""
        return tuple(map(printable, self._names)) if self._ids is None else self._ids

    @property
    def notes(self) -> tuple[str, ...]:
        """What was converted or skipped."""
        notes = (*self._notes, *describe_events(self._events))
        if self._encoding is None:
            size = self._shape[1]
            notes = (
                *notes,
                "the model was fitted to arrays; files of images are cut to squares and scaled to "
                f"{size}×{size}",
            )
        return notes

    def batches(self) -> Iterator[Batch]:
        """Yield the images that can be read.

        Raises
        ------
        DataError
            If there is none.
        """
        encoding, converted = self._encoding or ImageEncoding(), list[Event]()
        size = max(1, min(BATCH, _BATCH_BYTES // int(np.prod(self._shape))))
        n_read, skipped = 0, list[Event]()
        for start in range(0, self.n_given, size):
            pixels, positions = [], []
            for position in range(start, min(start + size, self.n_given)):
                name = self._names[position]
                try:
                    image, decoded = encoding.decode(self._root / name, self._shape)
                except DataError as error:
                    skipped.append(Event(Kind.UNREADABLE, name, str(error)))
                    continue
                pixels.append(image)
                positions.append(position)
                converted += _conversions(name, decoded.conversions, str(decoded.depth))
            converted = list(count_events(converted))
            n_read += len(pixels)
            if pixels:
                yield Batch(torch.from_numpy(np.stack(pixels)), np.array(positions, dtype=np.int64))
        self._events += [*skipped, *converted]
        if not n_read:
            first = skipped[0]
            raise DataError(
                f"none of the {self.n_given:,} images in {self._root} can be read, the first is "
                f"{printable(first.name)}: {first.detail}. Replace them."
            )


def _conversions(name: str, conversions: Iterable[tuple[Kind, str]], depth: str) -> list[Event]:
    return [
        Event(kind, name, depth if kind == Kind.DEPTH else detail)
        for kind, detail in conversions
        if kind != Kind.GREY
    ]


def read_folder(
    root: Path, shape: tuple[int, int, int], encoding: ImageEncoding | None, classes: tuple[str, ...]
) -> ImageFiles:
    """Return the images of a folder in the order of their paths.

    If all of them lie in folders that have names of classes, these are their labels.

    Raises
    ------
    DataError
        If there is no image.
    """
    tree = find_images(root)
    if not tree.images:
        notes = "; ".join(describe_events(tree.events))
        raise DataError(
            f"{root} has no image; names of images end in {', '.join(sorted(SUFFIXES))}. Name another folder."
            f"{f' Note: {notes}.' if notes else ''}"
        )
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = [
        next((number_of[part] for part in map(class_name, name.split("/")[:-1]) if part in number_of), -1)
        for name in tree.images
    ]
    given = None
    if min(numbers) >= 0:
        given = GivenLabels(np.array(numbers, dtype=np.int64), "names of the folders")
    return ImageFiles(root, tree.images, shape, encoding, tree.events, given)


def read_list(
    path: Path,
    options: str,
    column: str,
    shape: tuple[int, int, int],
    encoding: ImageEncoding | None,
    classes: tuple[str, ...],
) -> ImageFiles:
    """Return the images that a CSV file lists, in its order; paths in it are relative to its folder.

    Parameters
    ----------
    path, options
        The file, and the options behind its ``#``: the column of labels to compare with, by default
        ``label``; and the column of ids.
    column
        Column of the paths.
    shape, encoding, classes
        As for :func:`read_folder`.

    Raises
    ------
    InputError
        If a column does not exist, or a row has no path.
    DataError
        If the file cannot be read.
    """
    from dilution.data.example_ids import read_ids  # lazily: pandas takes a while to import
    from dilution.data.formats.image_list import unique_names
    from dilution.data.formats.table_files import open_table
    from dilution.data.formats.table_options import parse_options
    from dilution.data.label_values import is_missing
    from dilution.data.labels import read_labels

    try:
        table = open_table(path, options)
        named = parse_options(options, table.columns)
        label = named.label or (_LABEL if _LABEL in table.columns else None)
        rows = table.read(text_columns=[name for name in (column, label, named.ids) if name is not None])
        names = ["" if is_missing(cell) else str(cell).strip() for cell in rows.frame[column]]
        if "" in names:
            raise InputError(
                f"{rows.name(names.index(''))} has no path in column {column!r}; each row is an image. Fill "
                "it in, or delete the row."
            )
        given = None
        if label is not None:
            labels = read_labels(
                rows.frame[label], f"labels in column {label!r}", lambda row: f"the label in {rows.name(row)}"
            )
            given = GivenLabels.of_column(labels, classes, f"column {label!r}")
        ids = unique_names(tuple(map(printable, names)), rows)
        if named.ids is not None:
            ids = read_ids(rows.frame[named.ids], f"column {named.ids!r}", rows.name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    notes = (*rows.notes, *(given.notes if given is not None else ()))
    return ImageFiles(path.parent, names, shape, encoding, (), given, ids, notes)
