"""Photographs for tests, and a folder of them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilution.data.formats.image_decoding import decode_image


def photograph(seed: int = 0, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """Return an image whose left half is red and whose right half is noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] = (255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


def write_class_folders(root: Path, per_class: int = 10) -> Path:
    """Write photographs to two class folders, ``cat`` and ``dog``, and return the folder."""
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            photograph(number).save(root / name / f"{number}.png")
    return root


def decoded_squares(path: Path, size: int, crops: int | None = None, name: str = "") -> NDArray[np.uint8]:
    """Return the squares of one image as uint8, shape (squares, 3, size, size)."""
    return decode_image(path, size, crops, name).to_uint8()
