"""Images that are read one by one: images of Pillow as pixels, and whether all fit into memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dilution.data.formats.image_pixels import has_depth, on_white
from dilution.errors import InputError
from dilution.utils.available_memory import available_memory

SIDE = 32  # pixels, as of a folder of images
_LARGEST_KEPT = 64  # images with sides up to this keep their size
_SHARE_OF_MEMORY = 0.5  # of the available memory that images may take: a training copies parts of them


def is_pillow_image(value: object) -> bool:
    """Return whether a value is an image of Pillow."""
    return isinstance(value, Image.Image)


def common_size(first: Any) -> tuple[int, int]:
    """Return the (width, height) to which images are scaled: those of the first one if small, else 32."""
    width, height = ImageOps.exif_transpose(first).size
    return (width, height) if max(width, height) <= _LARGEST_KEPT else (SIDE, SIDE)


def to_pixels(image: Any, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Return an image as a person sees it, cut and scaled to a size: uint8, shape (3, height, width).

    Parameters
    ----------
    image
        An image of Pillow of at most 8 bits per colour.
    size
        (width, height) in pixels.
    name
        Name of the image in messages.

    Raises
    ------
    InputError
        If a pixel has more than 8 bits per colour.
    """
    if has_depth(image):
        raise InputError(
            f"{name} is an image of Pillow of mode {image.mode!r}, with more than 8 bits per pixel; its "
            "range is not known. Convert it to an array of uint8, or of floats in [0, 1]."
        )
    upright, _ = on_white(ImageOps.exif_transpose(image))
    if upright.size != size:
        upright = ImageOps.fit(upright, size, Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(upright).transpose(2, 0, 1))


def check_images_fit(name: str, n: int, n_bytes: int, kind: str) -> None:
    """Refuse images that do not fit into memory together, before they are read.

    Parameters
    ----------
    name
        What holds the images, for the message.
    n
        Number of images.
    n_bytes
        Size of one in bytes.
    kind
        Type and shape of one, for the message.

    Raises
    ------
    InputError
        If all take more than half of the available memory.
    """
    needed, available = n * n_bytes, available_memory()
    if available is not None and needed > _SHARE_OF_MEMORY * available:
        raise InputError(
            f"the {n:,} examples of {name}, {kind}, take {needed / 2**30:,.1f} GiB, and of the "
            f"{available / 2**30:,.1f} GiB of memory that are available they may take half. Make the images "
            "smaller, or uint8, which takes a quarter of floats; or save them to a folder with one folder "
            "per class and pack that: a pack is read from disk."
        )
