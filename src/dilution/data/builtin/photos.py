"""Images cut from the two photographs that come with scikit-learn: foreign images without a download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dilution.data.arrays import Arrays, DataSet
from dilution.data.splits import every_fifth
from dilution.errors import DataError

CLASSES = ("china", "flower")
SIDE = 32


def load() -> DataSet:
    """Return 520 images, a fifth of them for testing; the class says which photograph they are from.

    Returns
    -------
    DataSet
        Images uint8 of shape (n, 3, 32, 32), cut side by side, none of them overlapping.
    """
    parts = [_tiles(_photograph(name)) for name in CLASSES]
    images = np.concatenate(parts)
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    train, test = (
        Arrays(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]), CLASSES)
        for rows in every_fifth(labels)
    )
    return DataSet("photos", train, test)


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
    whole = photograph[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return np.ascontiguousarray(whole.transpose(0, 2, 4, 1, 3).reshape(-1, 3, SIDE, SIDE))
