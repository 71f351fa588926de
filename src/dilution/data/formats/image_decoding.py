"""Files of photographs: decoded, turned the way their camera says, and cut to squares of one size."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dilution.errors import DataError

FORMATS = ("JPEG", "PNG")
"""The only decoders that a file may reach: content chooses them, and among the others is Ghostscript."""


def decode(path: Path, size: int, crops: int | None = None, name: str = "") -> NDArray[np.uint8]:
    """Return the squares of an image as uint8 of shape (squares, 3, size, size).

    Parameters
    ----------
    path
        The file.
    size
        Height and width of a square in pixels, to which it is scaled.
    crops
        How many squares, at places and of sizes (half to the whole of the shorter side) that follow from
        `name` and the square's number alone. Default: one, as large as can be, from the middle.
    name
        What the file is called, the same on every machine.

    Raises
    ------
    DataError
        If no image can be made of the file.
    """
    smallest = 2 * size if crops is None else 4 * size  # twice a square that may be half a side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # of odd metadata, which is not used
            with Image.open(path, formats=FORMATS) as opened:
                opened.draft("RGB", (smallest, smallest))  # a JPEG is decoded no larger than need be
                image = _of_bytes(ImageOps.exif_transpose(opened)).convert("RGB")
        if crops is None:
            squares = [ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)]
        else:
            boxes = [_box(image.size, f"{name}/{number}") for number in range(crops)]
            squares = [image.resize((size, size), Image.Resampling.BICUBIC, box) for box in boxes]
    except UnidentifiedImageError as error:
        raise DataError(f"by its content it is neither {' nor '.join(FORMATS)}") from error
    # Pillow's decoders raise nearly anything on damaged files; each is reported with the file.
    except Exception as error:
        raise DataError(f"{type(error).__name__}: {error}") from error
    return np.ascontiguousarray(np.stack([np.asarray(each) for each in squares]).transpose(0, 3, 1, 2))


def _of_bytes(image: Image.Image) -> Image.Image:
    """Return an image whose greys are bytes: of 16 bits the upper 8, which Pillow keeps of colours too.

    Its own conversion takes every grey above 255 for white.
    """
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _box(sides: tuple[int, int], key: str) -> tuple[int, int, int, int]:
    """Return a square within an image, (left, top, right, bottom), from a hash of the key."""
    digest = hashlib.sha256(os.fsencode(key)).digest()
    draws = [int.from_bytes(digest[at : at + 8], "little") for at in (0, 8, 16)]

    def below(count: int) -> int:
        return draws.pop() * count >> 64

    shorter = min(sides)
    half = -(-shorter // 2)
    side = half + below(shorter - half + 1)
    left, top = (below(whole - side + 1) for whole in sides)
    return left, top, left + side, top + side
