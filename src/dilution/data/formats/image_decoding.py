"""Decoding of photographs: rotated as their metadata says, and cut to squares of one size."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dilution.errors import DataError

_FORMATS = ("JPEG", "PNG")  # the content of a file chooses its decoder; among the others is Ghostscript


def decode_image(path: Path, size: int, crops: int | None = None, name: str = "") -> NDArray[np.uint8]:
    """Return squares of an image as uint8 of shape (squares, 3, size, size).

    Parameters
    ----------
    path
        The file.
    size
        Height and width of the squares in pixels, to which they are scaled.
    crops
        Number of squares. Position and side, from half to the whole of the shorter side, depend only on
        `name` and the number of the square. Default: one square, the largest in the middle.
    name
        Name of the image, the same on every machine.

    Raises
    ------
    DataError
        If the file cannot be decoded.
    """
    smallest = 2 * size if crops is None else 4 * size  # twice a square, which may be half a side
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # about odd metadata, which is not used
            with Image.open(path, formats=_FORMATS) as opened:
                opened.draft("RGB", (smallest, smallest))  # decode a JPEG no larger than needed
                image = _to_8_bits(ImageOps.exif_transpose(opened)).convert("RGB")
        if crops is None:
            squares = [ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)]
        else:
            boxes = [_crop_box(image.size, f"{name}/{number}") for number in range(crops)]
            squares = [image.resize((size, size), Image.Resampling.BICUBIC, box) for box in boxes]
    except UnidentifiedImageError as error:
        raise DataError(f"by its content it is neither {' nor '.join(_FORMATS)}") from error
    # Pillow's decoders raise nearly any exception on damaged files.
    except Exception as error:
        raise DataError(f"{type(error).__name__}: {error}") from error
    return np.ascontiguousarray(np.stack([np.asarray(square) for square in squares]).transpose(0, 3, 1, 2))


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return an image with the upper 8 bits of 16-bit greys, as Pillow keeps them of 16-bit colours.

    Pillow's own conversion turns every grey above 255 white.
    """
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _crop_box(sides: tuple[int, int], key: str) -> tuple[int, int, int, int]:
    """Return a square within an image, (left, top, right, bottom), drawn from a hash of the key."""
    digest = hashlib.sha256(os.fsencode(key)).digest()
    draws = [int.from_bytes(digest[start : start + 8], "little") for start in (0, 8, 16)]

    def below(count: int) -> int:
        return draws.pop() * count >> 64

    shorter = min(sides)
    smallest = -(-shorter // 2)
    side = smallest + below(shorter - smallest + 1)
    left, top = (below(length - side + 1) for length in sides)
    return left, top, left + side, top + side
