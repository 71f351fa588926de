"""Datasets of Hugging Face: columns with types, of which one is the label and one may be an image.

They are recognized by their attributes, so that the package ``datasets`` need not be installed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.memory_images import check_images_fit, common_size, is_pillow_image, to_pixels
from dilution.data.formats.table_options import list_columns, unknown_column
from dilution.errors import InputError, short_repr
from dilution.utils.references import describe_exception

if TYPE_CHECKING:
    import pandas as pd

_LABEL = "label"


def is_hugging_face(value: object) -> bool:
    """Return whether a value has the attributes of a Dataset of Hugging Face."""
    names = ("features", "column_names", "__len__", "__getitem__")
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)


class HuggingFaceColumns:
    """The columns of a Dataset of Hugging Face.

    Parameters
    ----------
    dataset
        The Dataset.
    label
        Column of the label. Default: ``label``, or the only column with names of classes.

    Raises
    ------
    InputError
        If a column does not exist, or no default is clear.
    """

    def __init__(self, dataset: Any, label: str | None) -> None:
        self._dataset = dataset
        self._names: tuple[str, ...] = tuple(dataset.column_names)
        self.label = self._find_label(label)
        images = [name for name in self._names if type(dataset.features[name]).__name__ == "Image"]
        if len(images) > 1:
            raise InputError(
                f"the Dataset has {len(images)} columns of images, {list_columns(images)}; an example is one "
                "image. Leave the others out, with remove_columns."
            )
        self.image: str | None = images[0] if images else None

    def _find_label(self, label: str | None) -> str:
        if label is not None:
            return self.check(label, "label")
        with_names = [name for name in self._names if self._classes(name) is not None]
        if _LABEL in self._names or len(with_names) != 1:
            if _LABEL not in self._names:
                raise InputError(
                    f"the Dataset has no column 'label'; its columns are {list_columns(self._names)}. Pass "
                    "label=, the name of the column of the label."
                )
            return _LABEL
        return with_names[0]

    def check(self, name: str, argument: str) -> str:
        """Return the name of a column; raise InputError if there is none of this name."""
        if name not in self._names:
            raise InputError(
                f"{argument} is {short_repr(name)}: {unknown_column(name, self._names, self._names)}"
            )
        return name

    def _classes(self, name: str) -> Sequence[str] | None:
        names: Sequence[str] | None = getattr(self._dataset.features[name], "names", None)
        return names

    def values(self, name: str) -> list[Any]:
        """Return the values of a column; numbers of classes with names become names, −1 becomes missing."""
        values, classes = list(self._dataset[name]), self._classes(name)
        if classes is None:
            return values
        return [None if value is None or value < 0 else classes[value] for value in values]

    def frame(self) -> "pd.DataFrame":
        """Return all columns as a DataFrame, with the names of classes."""
        frame: pd.DataFrame = self._dataset.to_pandas()
        for name in self._names:
            if self._classes(name) is not None:
                frame[name] = self.values(name)
        return frame

    def images(self) -> NDArray[np.uint8]:
        """Return the images, uint8, shape (n, 3, height, width).

        Raises
        ------
        InputError
            If an image cannot be read, or all do not fit into memory.
        """
        n = len(self._dataset)
        first = self._read(0)
        size = common_size(first)
        pixels = to_pixels(first, size, "image 0")
        check_images_fit("the Dataset", n, pixels.nbytes, f"uint8 of shape {pixels.shape}")
        images = np.empty((n, *pixels.shape), np.uint8)
        for row in range(n):
            images[row] = to_pixels(self._read(row), size, f"image {row}")
        return images

    def _read(self, row: int) -> Any:
        assert self.image is not None
        try:
            image = self._dataset[row][self.image]
        except Exception as error:
            raise InputError(
                f"image {row} of column {self.image!r} raised {describe_exception(error)}. Leave this "
                "example out, with data.select."
            ) from None
        if not is_pillow_image(image):
            raise InputError(
                f"image {row} of column {self.image!r} is a {type(image).__name__}; it must be an image of "
                "Pillow. Pass the Dataset without set_format, its images decoded."
            )
        return image
