"""Notes on image folders: what was skipped or converted, counted per kind with the first example."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from dilution.utils.printable import printable

_SHOWN_DETAILS = 6
_MAX_DETAIL = 200  # characters


class Kind(StrEnum):
    """Why a file or folder was skipped, or how an image was converted. Notes are in this order."""

    UNREADABLE = "unreadable file"
    OTHER_FORMAT = "format that is not read"
    NO_IMAGE = "no image by its extension"
    HIDDEN_FILE = "hidden file"
    HIDDEN_FOLDER = "hidden folder"
    DANGLING_LINK = "dangling link"
    REPEATED_FOLDER = "folder that is read under another name"
    NO_FILE = "pipe, socket or device"
    CLOSED_FOLDER = "folder that cannot be opened"
    OTHER_SPLIT = "image of a split that is not used"
    OUTSIDE = "image outside the class folders"
    DEEPER = "image in a folder below its class folder"
    NO_CLASS = "class folder without images"
    RENAMED = "class name that is normalized"
    JOINED = "class folders with one name"
    ALIKE = "class names that look alike"
    TRANSPARENT = "transparency"
    FRAMES = "several frames"
    DEPTH = "more than 8 bits"
    COLOUR_DEPTH = "colours of 16 bits"
    NOT_FINITE = "pixels that are not finite"
    ROTATED = "orientation in the metadata"
    COLOURS = "colours that are not RGB"
    GREY = "grey beside colour"
    CROPPED = "not square"
    ENLARGED = "smaller than the requested size"


_TEXTS = {
    Kind.UNREADABLE: ("file is", "files are", "skipped, the first is {name}: {detail}"),
    Kind.OTHER_FORMAT: (
        "image of a format that is not read ({details}) is",
        "images of formats that are not read ({details}) are",
        "skipped, the first is {name}; convert to PNG or JPEG what should be read",
    ),
    Kind.DEEPER: (
        "image in a folder below its class folder has",
        "images in folders below their class folders have",
        "the class of the upper folder, the first is {name}",
    ),
    Kind.NO_IMAGE: (
        "file whose extension is not that of an image ({details}) is",
        "files whose extension is not that of an image ({details}) are",
        "skipped, the first is {name}",
    ),
    Kind.HIDDEN_FILE: (
        "hidden file is",
        "hidden files and files of operating systems are",
        "skipped, the first is {name}",
    ),
    Kind.HIDDEN_FOLDER: (
        "folder that is hidden or belongs to an archive, a notebook or a storage system is",
        "folders that are hidden or belong to archives, notebooks or storage systems are",
        "skipped, the first is {name}",
    ),
    Kind.DANGLING_LINK: (
        "link is",
        "links are",
        "skipped, the first is {name}: {detail}",
    ),
    Kind.REPEATED_FOLDER: (
        "link to a folder that is read by another name, or leads back, is",
        "links to folders that are read by other names, or lead back, are",
        "skipped, the first is {name}",
    ),
    Kind.NO_FILE: (
        "pipe, socket or device is",
        "pipes, sockets or devices are",
        "not opened, the first is {name}",
    ),
    Kind.CLOSED_FOLDER: (
        "folder cannot be opened and is",
        "folders cannot be opened and are",
        "skipped, the first is {name}: {detail}",
    ),
    Kind.OTHER_SPLIT: (
        "image of a split that is not used is",
        "images of splits that are not used are",
        "skipped, the first is {name}; {detail}",
    ),
    Kind.OUTSIDE: (
        "image outside the class folders is",
        "images outside the class folders are",
        "skipped, the first is {name}",
    ),
    Kind.NO_CLASS: (
        "folder has no image that can be read and is",
        "folders have no image that can be read and are",
        "no class, the first is {name}",
    ),
    Kind.RENAMED: (
        "class name is",
        "class names are",
        "written in Unicode NFC, without outer blanks and with escapes, the first is that of folder {name}",
    ),
    Kind.JOINED: (
        "folder is",
        "folders are",
        "of the same class as another folder, since their names are the same text, the first is {name}",
    ),
    Kind.ALIKE: (
        "class has a name that looks like that of another, but is",
        "classes have names that look like those of others, but are",
        "kept apart, the first is {name} ({detail})",
    ),
    Kind.TRANSPARENT: (
        "image has transparent parts, which are",
        "images have transparent parts, which are",
        "shown on white, the first is {name}",
    ),
    Kind.FRAMES: (
        "image has several frames or pages, of which",
        "images have several frames or pages, of which",
        "the first is read, such as {name}",
    ),
    Kind.DEPTH: (
        "image of more than 8 bits is",
        "images of more than 8 bits are",
        "scaled to 0 … 255 ({details}), the first is {name}",
    ),
    Kind.COLOUR_DEPTH: (
        "image with colours of 16 bits is",
        "images with colours of 16 bits are",
        "read with the upper 8 bits, the first is {name}",
    ),
    Kind.NOT_FINITE: (
        "image has pixels that are not finite, which are",
        "images have pixels that are not finite, which are",
        "shown as the least or the largest of its other pixels, the first is {name}",
    ),
    Kind.ROTATED: (
        "image is",
        "images are",
        "rotated or mirrored as metadata say (EXIF), the first is {name}",
    ),
    Kind.COLOURS: (
        "image with colours in {details} is",
        "images with colours in {details} are",
        "converted to RGB, the first is {name}",
    ),
    Kind.GREY: (
        "grey image is",
        "grey images are",
        "beside images with colours ({detail}), and given three equal channels, the first is {name}",
    ),
    Kind.CROPPED: (
        "image is not square and is",
        "images are not square and are",
        "cut to the square in the middle, the first is {name} ({detail} pixels)",
    ),
    Kind.ENLARGED: (
        "image is smaller than the squares that models learn from and is",
        "images are smaller than the squares that models learn from and are",
        "enlarged, the first is {name} ({detail} pixels)",
    ),
}


class Event(NamedTuple):
    """A file or folder that was skipped or converted.

    Parameters
    ----------
    kind
        A :class:`Kind`, or its text.
    name
        Path below the root of the folder.
    detail
        Reason, extension or range, as the note of its kind shows it.
    number
        How many files or folders the event stands for; it names the first.
    """

    kind: str
    name: str
    detail: str = ""
    number: int = 1


def count_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return one event per kind, and per detail where the note lists them: the first, with all counted."""
    first: dict[tuple[str, str], Event] = {}
    for event in events:
        key = event.kind, event.detail if "{details}" in " ".join(_TEXTS[Kind(event.kind)]) else ""
        same = first.setdefault(key, event._replace(number=0))
        first[key] = same._replace(number=same.number + event.number)
    return tuple(first.values())


def describe_events(events: Iterable[Event]) -> tuple[str, ...]:
    """Return one sentence per kind of event: the number of events, and the first of them."""
    by_kind: dict[Kind, list[Event]] = {kind: [] for kind in Kind}
    for event in events:
        by_kind[Kind(event.kind)].append(event)
    return tuple(_describe(kind, same) for kind, same in by_kind.items() if same)


def _describe(kind: Kind, events: list[Event]) -> str:
    singular, plural, ending = _TEXTS[kind]
    count = sum(event.number for event in events)
    details = sorted({event.detail for event in events})
    separator = "; " if any("," in detail for detail in details) else ", "
    more = f"{separator}…" if len(details) > _SHOWN_DETAILS else ""
    values = {
        "name": printable(events[0].name),
        "detail": short(events[0].detail),
        "details": separator.join(map(short, details[:_SHOWN_DETAILS])) + more,
    }
    return f"{count:,} {singular if count == 1 else plural} {ending}".format(**values)


def short(text: str) -> str:
    """Return a text in one line of at most 200 characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MAX_DETAIL else f"{line[:_MAX_DETAIL]}…"
