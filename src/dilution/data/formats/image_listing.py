"""Images in a folder with one folder per class, as ImageNet has them: paths, classes and splits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dilution.data.class_names import normal_form, show_similar, similar_names, sort_names
from dilution.data.formats.image_notes import Event, Kind, describe_events
from dilution.data.formats.image_tree import SUFFIXES, ImageTree, find_images
from dilution.data.formats.table_options import shown_path
from dilution.errors import DataError

_TEST_NAMES = ("val", "test")
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder with their classes and, where the user has divided them, their splits.

    Parameters
    ----------
    root
        The folder.
    classes
        Names of the class folders that contain images, in the order of
        :func:`dilution.data.class_names.sort_names`.
    train, test
        Path below the root and class number of each image. A folder without splits has none for testing:
        images are divided once they are decoded and copies among them are known.
    events
        Files and folders that were skipped.
    has_splits
        Whether the folder is divided into splits by the user.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]
    events: tuple[Event, ...] = ()
    has_splits: bool = False


def list_images(root: Path) -> ImageListing:
    """Return the images of a folder that has one folder per class.

    If the folder contains ``train`` and ``val``, or else ``train`` and ``test``, these are the splits; images
    of other splits beside them are skipped. A folder without images is no class;
    :func:`dilution.data.formats.image_tree.find_images` says which files are images.

    Raises
    ------
    DataError
        If there are no class folders or no images in them, images of one class only, one of two splits only,
        or a class in the test split only.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder. Name a folder that contains one folder of images per class.")
    tree = find_images(root)
    test_names = [name for name in _TEST_NAMES if name in tree.folders]
    splits = ("train", test_names[0]) if "train" in tree.folders and test_names else ()
    layout = _sort_by_class(tree, splits)
    events = (*tree.events, *layout.events)
    if splits:
        _check_test_classes(root, splits, layout.images)
        train, test = layout.images
    else:
        _check_not_a_split(root, sorted({folder for _, folder in layout.images[0]}), events)
        _check_no_split_beside_classes(root, layout.images[0], events)
        train, test = layout.images[0], []
    if not train and not splits:
        raise DataError(
            f"{root} has no images in class folders; each class must have a folder of its own, such "
            f"as cat and dog, of files whose names end in {', '.join(sorted(SUFFIXES))}.{_notes(events)}"
        )
    if not train or (splits and not test):
        raise DataError(
            f"{root} has {len(train)} images for training and {len(test)} for testing; it needs some of "
            "both, in one folder per class, with names that end in "
            f"{', '.join(sorted(SUFFIXES))}.{_notes(events)}"
        )
    names = sort_names(class_name(folder) for _, folder in train + test)
    if len(names) < 2:
        raise DataError(
            f"{root} has images of one class only, {names[0]!r}; it needs two or more. "
            f"{_remedy(root, train + test)}{_notes(events)}"
        )
    events = (*events, *_name_events({folder for _, folder in train + test}))
    number = {name: label for label, name in enumerate(names)}

    def labelled(images: _Images) -> tuple[tuple[str, int], ...]:
        return tuple((name, number[class_name(folder)]) for name, folder in images)

    return ImageListing(root, names, labelled(train), labelled(test), events, bool(splits))


@lru_cache(maxsize=100_000)
def class_name(folder: str) -> str:
    """Return the name of the class of a folder: normalized (NFC), without blanks around it, printable."""
    return normal_form(folder) or repr(folder)


def contains_images(root: Path) -> bool:
    """Return whether the folders of a folder contain images, one per class or one per split and class."""
    return any(file.suffix.lower() in SUFFIXES for depth in ("*/*", "*/*/*") for file in root.glob(depth))


_Images = list[tuple[str, str]]  # path below the root and class folder of each image


class _Layout(NamedTuple):
    """Images of each split, or of a folder without splits, with their class folders."""

    images: tuple[_Images, ...]
    events: tuple[Event, ...]


def _sort_by_class(tree: ImageTree, splits: tuple[str, ...]) -> _Layout:
    """Return the images by split and class folder; images elsewhere and folders without images are events."""
    depth = 1 if splits else 0  # position of the class folder in a path
    other_splits = _SPLIT_NAMES.difference(splits) if splits else set()
    images: dict[str, _Images] = {split: [] for split in splits or ("",)}
    events = []
    for name in tree.images:
        parts = name.split("/")
        if len(parts) > 1 and parts[0].lower() in other_splits:
            events.append(Event(Kind.OTHER_SPLIT, name, _choice(splits[1])))
        elif len(parts) < depth + 2 or (splits and parts[0] not in splits):
            events.append(Event(Kind.OUTSIDE, name))
        else:
            images[parts[0] if splits else ""].append((name, parts[depth]))
            if len(parts) > depth + 2:
                events.append(Event(Kind.DEEPER, name))
    present = {class_name(folder) for same in images.values() for _, folder in same}
    for name in tree.folders:
        parts = name.split("/")
        is_class = len(parts) == depth + 1 and (not splits or parts[0] in splits)
        if is_class and class_name(parts[depth]) not in present:
            events.append(Event(Kind.NO_CLASS, name))
    return _Layout(tuple(images.values()), tuple(events))


def _choice(name: str) -> str:
    """Return which split is for testing where a folder has several beside that for training, and why."""
    reason = ", since 'test' often has no labels" if name == "val" else ""
    return f"of several, {name!r} is the split for testing{reason}"


def _name_events(folders: Iterable[str]) -> list[Event]:
    """Return the class folders whose names are changed, joined with others, or hard to tell apart."""
    by_class: dict[str, list[str]] = {}
    for folder in sorted(folders):
        by_class.setdefault(class_name(folder), []).append(folder)
    events = [
        Event(Kind.RENAMED, folder) for name, same in by_class.items() for folder in same if folder != name
    ]
    events += [Event(Kind.JOINED, folder) for same in by_class.values() for folder in same[1:]]
    groups = similar_names(by_class)
    return events + [Event(Kind.ALIKE, name, show_similar(group)) for group in groups for name in group[1:]]


def _check_test_classes(root: Path, splits: tuple[str, ...], images: tuple[_Images, ...]) -> None:
    """Raise DataError if the test split has a class that the train split lacks."""
    train, test = ({class_name(folder) for _, folder in split} for split in images)
    extra = sorted(test - train)
    if train and extra:
        raise DataError(
            f"{root / splits[1]} has images of the class {extra[0]!r}, of which {root / splits[0]} has none. "
            "Move some of them there, rename the folder, or remove it."
        )


def _check_no_split_beside_classes(root: Path, images: _Images, events: Iterable[Event]) -> None:
    """Raise DataError if a folder named like a split has class folders, and stands beside other folders."""
    for name, folder in images:
        inner = name.split("/")[1:-1]
        if folder.lower() in _SPLIT_NAMES and inner:
            raise DataError(
                f"{root} has the folder {folder!r} with folders of its own, such as {inner[0]!r}, beside "
                "others: a split among classes. Name two splits 'train' and 'val' or "
                f"'test'{_name_alone(root, [folder])}.{_notes(events)}"
            )


def _check_not_a_split(root: Path, names: Sequence[str], events: Iterable[Event]) -> None:
    """Raise DataError if the folders that contain images are an incomplete pair of splits, not classes."""
    if names and _SPLIT_NAMES.issuperset(name.lower() for name in names):
        missing = "'val' or 'test'" if "train" in names else "'train'"
        raise DataError(
            f"{root} has images in {' and '.join(map(repr, names))} only and lacks {missing}; a data set "
            "with two splits has 'train' and 'val' or 'test', each with one folder per class. Add or "
            f"rename the missing split{_name_alone(root, names)}.{_notes(events)}"
        )


def _name_alone(root: Path, names: Sequence[str]) -> str:
    """Return the proposal to name the folder for training alone; no test split is proposed for training."""
    for name in names:
        if name.lower().startswith("train"):
            return f"; or name {shown_path(root / name)}, to set a fifth of it aside for testing"
    return ""


def _remedy(root: Path, images: _Images) -> str:
    """Return what to do about images of one class; an archive often has one folder around the classes."""
    inner = {name.split("/")[1] for name, _ in images if name.count("/") > 1}
    if len(inner) > 1 and len({folder for _, folder in images}) == 1:
        inner_root = shown_path(root / images[0][1])
        return f"Name {inner_root} if its folders are the classes, or add one folder of images per class."
    return "Add one folder of images per class."


def _notes(events: Iterable[Event]) -> str:
    """Return what was skipped, for an error that it may explain."""
    notes = describe_events(events)
    return f" Note: {'; '.join(notes)}." if notes else ""
