"""Map-style torch Datasets of a user, read into memory: pairs of a tensor or image and a label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from dilution.data.formats.memory_images import check_images_fit, common_size, is_pillow_image, to_pixels
from dilution.data.from_arrays import CheckedArrays, label_examples
from dilution.data.labels import LabelColumn, read_labels
from dilution.data.pixel_range import check_range, describe_levels
from dilution.errors import InputError
from dilution.utils.references import describe_exception

_N_REREAD = 32  # items that are read twice, to notice random transforms


def is_map_style(value: object) -> bool:
    """Return whether a value is a torch Dataset, or has its methods and is no array, list or mapping."""
    if isinstance(value, Dataset):
        return True
    is_container = isinstance(value, str | bytes | list | tuple | dict | range)
    has_shape = hasattr(value, "shape") or hasattr(value, "dtype") or hasattr(value, "__array__")
    has_methods = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return has_methods and not is_container and not has_shape and not isinstance(value, type)


def read_datasets(train: Any, test: Any = None) -> CheckedArrays:
    """Read a map-style torch Dataset into memory, and that of a test split if there is one.

    Parameters
    ----------
    train, test
        Datasets whose items are pairs of an image or a row of features and a label: tensors or arrays of
        shape (features,), (height, width) or (channels, height, width), uint8 or floats; or images of
        Pillow. If `train` has an attribute `classes`, labels that are numbers are positions in it.

    Raises
    ------
    InputError
        If an item cannot be read, items differ in shape or type, or all items do not fit into memory.
    """
    items = [read_items(dataset) for dataset in (train, test) if dataset is not None]
    notes = tuple(dict.fromkeys(note for split in items for note in split.notes))
    columns, classes = [split.column for split in items], items[0].classes
    are_numbers = all(column.kind == "numbers" for column in columns)
    if classes is not None and are_numbers and all(split.classes == classes for split in items):
        if all(_are_positions(column, classes) for column in columns):
            columns = [_named(column, classes) for column in columns]
        else:
            notes += (
                f"the attribute classes of {type(train).__name__} does not fit the labels and is not used",
            )
            classes = None
    else:
        classes = None
    test_images, test_column = (items[1].images, columns[1]) if test is not None else (None, None)
    arrays = label_examples(items[0].images, columns[:1], test_images, test_column, classes=classes)
    return replace(arrays, notes=(*notes, *arrays.notes))


@dataclass(frozen=True)
class DatasetItems:
    """Items of a torch Dataset.

    Parameters
    ----------
    images
        Images or rows, of one shape.
    column
        Labels.
    classes
        Its attribute `classes`, None if there is none.
    notes
        What is odd about the items.
    """

    images: Tensor
    column: LabelColumn
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]

    @property
    def named_column(self) -> LabelColumn:
        """Labels, which are names if they are positions in `classes`."""
        classes = self.classes
        if classes is None or self.column.kind != "numbers" or not _are_positions(self.column, classes):
            return self.column
        return _named(self.column, classes)


def _named(column: LabelColumn, classes: tuple[str, ...]) -> LabelColumn:
    """Return labels that are positions in the names of classes as these names."""
    return replace(column, names=tuple(classes[int(number)] for number in column.names), kind="text")


def _are_positions(column: LabelColumn, classes: tuple[str, ...]) -> bool:
    """Return whether labels that are numbers are positions in the names of classes."""
    in_range = all(0 <= int(number) < len(classes) for number in column.names)
    return in_range and len(set(classes)) == len(classes)


def read_items(dataset: Any) -> DatasetItems:
    """Read the items of a map-style torch Dataset into memory; errors are those of :func:`read_datasets`."""
    type_name = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise InputError(
            f"{type_name} has no length; a torch Dataset must be map-style, with __len__ and __getitem__. "
            "Collect what it yields into tensors and return these."
        )
    n = len(dataset)
    if not n:
        raise InputError(f"{type_name} has 0 items; at least two are needed.")
    reader, labels = _ItemReader(dataset), []
    for index in range(n):
        image, label = reader.read(index)
        labels.append(_plain_label(label))
        if index == 0:
            n_bytes = image.numel() * image.element_size()
            check_images_fit(type_name, n, n_bytes, f"{image.dtype} of shape {tuple(image.shape)}")
            images = torch.empty(n, *image.shape, dtype=image.dtype)
        if image.shape != images.shape[1:] or image.dtype != images.dtype:
            raise InputError(
                f"item {index} is {image.dtype} of shape {tuple(image.shape)}, item 0 {images.dtype} "
                f"of {tuple(images.shape[1:])}; all must agree. Bring them to one size."
            )
        images[index] = image
    notes = (*reader.notes, *_describe_random_items(reader, images), *_check_pixels(images, type_name))
    column = read_labels(labels, f"labels of {type_name}", lambda row: f"the label of item {row}")
    return DatasetItems(images, column, _class_names(dataset), notes)


def _plain_label(label: Any) -> Any:
    """Return a label whose memory is its own: that of a tensor or array may be a view of a whole batch."""
    return label.item() if isinstance(label, Tensor | np.ndarray) and label.ndim == 0 else label


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    """Return the names in the attribute `classes` of a Dataset, or of the one that a subset is a part of."""
    classes: Sequence[Any] | None = getattr(dataset, "classes", None)
    if classes is None:
        classes = getattr(getattr(dataset, "dataset", None), "classes", None)
    return tuple(map(str, classes)) if isinstance(classes, list | tuple) else None


def _describe_random_items(reader: "_ItemReader", images: Tensor) -> tuple[str, ...]:
    """Return a note if items differ when they are read again, as by a random transform; some are compared."""
    rows = np.unique(np.linspace(0, len(images) - 1, _N_REREAD).astype(int)).tolist()
    differs = [row for row in rows if not torch.equal(reader.read(row)[0], images[row])]
    if not differs:
        return ()
    return (
        f"items of {reader.type_name} differ when they are read again, the first is item {differs[0]}: "
        "one random draw of each is kept, and studies and plans refuse data that differ between two calls; "
        "leave random transforms out of the Dataset",
    )


def _check_pixels(images: Tensor, name: str) -> tuple[str, ...]:
    """Check the range of images, which rows of features do not have, and return notes on it."""
    if images.shape[2:] == (1, 1):
        return ()
    try:
        if images.is_floating_point():
            low, high = map(float, images.aminmax())
            check_range(low, high, "images")
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return describe_levels(images, "images")


class _ItemReader:
    """Reads items of a Dataset as tensors; images of Pillow are brought to one size."""

    def __init__(self, dataset: Any) -> None:
        self._dataset, self.type_name = dataset, type(dataset).__name__
        self._size: tuple[int, int] | None = None  # (width, height) of images of Pillow
        self._n_scaled = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on images that were scaled."""
        if self._size is None or not self._n_scaled:
            return ()
        verb = "image is" if self._n_scaled == 1 else "images are"
        width, height = self._size
        return (f"{self._n_scaled:,} {verb} cut and scaled to {width} × {height} pixels",)

    def read(self, index: int) -> tuple[Tensor, Any]:
        """Return an image of shape (channels, height, width), uint8 or float32, and its label."""
        try:
            item = self._dataset[index]
        except Exception as error:
            raise InputError(
                f"item {index} of {self.type_name} raised {describe_exception(error)}."
            ) from None
        rule = "items must be pairs of a tensor and a label"
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"item {index} is a {type(item).__name__}; {rule}.")
        image, label = item
        if is_pillow_image(image):
            self._size = self._size or common_size(image)
            self._n_scaled += image.size != self._size
            image = to_pixels(image, self._size, f"item {index}")
        if not isinstance(image, Tensor | np.ndarray):
            raise InputError(
                f"item {index} holds a {type(image).__name__}; {rule}. Give the Dataset a transform that "
                "makes tensors, such as torchvision.transforms.ToTensor()."
            )
        if isinstance(image, np.ndarray):
            image = torch.from_numpy(np.array(image))  # a copy: torch warns of arrays that are read-only
        return _check_image(image.detach().cpu(), index), label


def _check_image(image: Tensor, index: int) -> Tensor:
    """Return an image or a row of features as (channels, height, width), uint8 or float32."""
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise InputError(
            f"item {index} is {image.dtype}; tensors must be torch.uint8 or floats. Convert them."
        )
    if image.ndim == 1:
        return image.float()[:, None, None]
    if image.ndim not in (2, 3):
        raise InputError(
            f"item {index} has shape {tuple(image.shape)}; it must be (features,), (height, width) or "
            "(channels, height, width)."
        )
    image = image if image.dtype == torch.uint8 else image.float()
    return image if image.ndim == 3 else image[None]
