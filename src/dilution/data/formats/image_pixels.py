"""Pixels of any mode as a person sees them: transparency on white, more than 8 bits scaled to the data."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dilution.errors import DataError

DEPTH_KINDS = "16-bit", "32-bit", "float"
"""Kinds of images of more than 8 bits; each has a range of its own."""

_LEVELS = 256
_GREY_STEPS = {"L;2": 85, "L;4": 17}  # between the greys that Pillow makes of 2 and 4 bits


class Depth(NamedTuple):
    """Range of the pixels of images of more than 8 bits.

    Parameters
    ----------
    kind
        One of :data:`DEPTH_KINDS`.
    low, high
        Least and largest finite pixel.
    """

    kind: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.kind} from {self.low:,.6g} to {self.high:,.6g}"


def has_depth(image: Image.Image) -> bool:
    """Return whether the pixels of an image have more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def join_depths(depths: Iterable[Depth]) -> dict[str, Depth]:
    """Return the range of all images of each kind."""
    joined: dict[str, Depth] = {}
    for depth in depths:
        before = joined.get(depth.kind, depth)
        low, high = min(before.low, depth.low), max(before.high, depth.high)
        joined[depth.kind] = Depth(depth.kind, low, high)
    return joined


def split_depth(image: Image.Image) -> tuple[tuple[Image.Image, Image.Image], Depth, bool, bool]:
    """Return greys and opacity of an image of more than 8 bits.

    Returns
    -------
    planes
        Two images of mode F: greys in the unit of the file, and opacity from 0 to 1.
    depth
        Range of its opaque, finite pixels.
    is_transparent, is_finite
        Whether some pixels are transparent, and whether all opaque ones are finite.

    Raises
    ------
    DataError
        If no opaque pixel is finite.
    """
    kind = "float" if image.mode == "F" else "16-bit" if image.mode.startswith("I;16") else "32-bit"
    greys = np.asarray(image).astype(np.float64)
    opacity = np.ones(greys.shape, dtype=np.float32)
    if "transparency" in image.info:
        opacity[greys == image.info["transparency"]] = 0
    finite = np.isfinite(greys)
    valid = finite & (opacity > 0)
    if not valid.any():
        raise DataError("it has no pixel that is opaque and finite")
    low, high = float(greys[valid].min()), float(greys[valid].max())
    greys = np.nan_to_num(greys, nan=low, posinf=high, neginf=low).clip(low, high)
    planes = Image.fromarray(greys.astype(np.float32)), Image.fromarray(opacity)
    is_finite = bool(finite[opacity > 0].all())
    return planes, Depth(kind, low, high), bool((opacity == 0).any()), is_finite


def scale_depth(squares: NDArray[np.float32], depth: Depth) -> NDArray[np.uint8]:
    """Return greys of a range as 256 levels of equal width, on white.

    Parameters
    ----------
    squares
        float32, shape (n, 2, height, width): greys and opacity, as :func:`split_depth` gives them.
    depth
        Range to which 0 … 255 corresponds.

    Returns
    -------
    ndarray
        uint8, shape (n, 3, height, width), three equal channels.
    """
    greys, opacity = (squares[:, plane].astype(np.float64) for plane in (0, 1))
    # Whole numbers from low to high are high − low + 1 levels: 0 … 65,535 gives the upper 8 bits of 16.
    width = depth.high - depth.low + (depth.kind != "float")
    levels = np.floor((greys - depth.low) / (width or 1) * _LEVELS).clip(0, _LEVELS - 1)
    opacity = opacity.clip(0, 1)
    on_white = np.rint(levels * opacity + (_LEVELS - 1) * (1 - opacity)).astype(np.uint8)
    return np.repeat(on_white[:, None], 3, axis=1)


def scale_transparency(image: Image.Image, raw_mode: str) -> None:
    """Scale the transparent colour of an image, which Pillow keeps in the unit of the file, to its 8 bits.

    Parameters
    ----------
    image
        An image that is opened; its entry ``info["transparency"]`` is changed.
    raw_mode
        Mode of its pixels in the file.
    """
    colour = image.info.get("transparency")
    if raw_mode in _GREY_STEPS and isinstance(colour, int):
        image.info["transparency"] = colour * _GREY_STEPS[raw_mode]
    elif raw_mode == "RGB;16B" and isinstance(colour, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image of 8 bits per channel in mode RGB, and whether it has transparent parts."""
    if not image.has_transparency_data:
        return image.convert("RGB"), False
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    least, _ = rgba.getchannel("A").getextrema()
    if least == _LEVELS - 1:
        return rgba.convert("RGB"), False
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB"), True
