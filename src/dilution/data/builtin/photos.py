"""Squares cut from the two photographs of scikit-learn: images for other data sets, without a download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dilution.data.arrays import Arrays, DataSet
from dilution.data.builtin.base import BundledDataSet, Description
from dilution.data.splits import split_arrays
from dilution.errors import DataError

CLASSES = ("china", "flower")
SIDE = 32


def read_photos() -> DataSet:
    """Return 520 images, a fifth of them for testing; the class is the photograph that an image is cut from.

    Images are uint8 of shape (n, 3, 32, 32) and do not overlap.
    """
    tiles = [_tiles(_photograph(name)) for name in CLASSES]
    labels = np.repeat(np.arange(len(tiles)), [len(images) for images in tiles])
    arrays = Arrays(torch.from_numpy(np.concatenate(tiles)), torch.from_numpy(labels), CLASSES)
    return split_arrays("photos", arrays)


def _photograph(name: str) -> np.ndarray:
    """Return a photograph from scikit-learn's package, uint8 of shape (height, width, 3)."""
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "datasets", "images", f"{name}.jpg")
        if file.exists():
            with Image.open(file) as opened:
                return np.asarray(opened.convert("RGB"))
    raise DataError(f"{name}.jpg is not in the installed scikit-learn. Install scikit-learn again.")


def _tiles(photograph: np.ndarray) -> np.ndarray:
    """Return the squares that a photograph is cut into, uint8 of shape (n, 3, SIDE, SIDE)."""
    rows, columns = photograph.shape[0] // SIDE, photograph.shape[1] // SIDE
    grid = photograph[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return np.ascontiguousarray(grid.transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE))


PHOTOS = BundledDataSet(
    Description("photos", "squares of scikit-learn's two photographs", 2, (3, 32, 32), 416, 104), read_photos
)
