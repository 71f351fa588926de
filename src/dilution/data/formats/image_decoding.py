"""Decoding of an image as a person sees it: rotated, on white, its first frame; cut to squares."""

import hashlib
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dilution.data.formats.image_notes import Kind, short
from dilution.data.formats.image_pixels import (
    Depth,
    has_depth,
    on_white,
    scale_depth,
    scale_transparency,
    split_depth,
)
from dilution.errors import DataError
from dilution.utils.silent_stderr import silent_stderr

# The content of a file chooses its decoder; among those of Pillow that are left out is Ghostscript.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
_FORMAT_NAMES = {"WEBP": "WebP", "MPO": "JPEG"}  # MPO is JPEG with further images behind the first
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}
_GREY_MODES = {"1", "L", "LA", "La"}
_OTHER_COLOURS = {"CMYK", "HSV", "LAB", "YCbCr"}
_ORIENTATIONS = range(2, 9)  # of EXIF; 1 is upright
_UPPER_BITS = (";16B", ";16L", ";16N")  # Pillow keeps 8 of the 16 bits of these colours

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its messages on damaged files are not for users


@dataclass(frozen=True)
class DecodedImage:
    """Squares of one image.

    Parameters
    ----------
    squares
        uint8, shape (squares, 3, size, size). If there is a `depth`, float32 of shape (squares, 2, size,
        size): greys in the unit of the file, and opacity from 0 to 1.
    format
        Format of the file by its content, such as ``"WebP"``.
    conversions
        What was changed, each kind at most once, with the details for its note.
    depth
        Range of an image of more than 8 bits per pixel.
    """

    squares: NDArray[np.uint8] | NDArray[np.float32]
    format: str
    conversions: tuple[tuple[Kind, str], ...] = ()
    depth: Depth | None = None

    def to_uint8(self, depth: Depth | None = None) -> NDArray[np.uint8]:
        """Return the squares as uint8, shape (squares, 3, size, size), scaled from a range if deep.

        Parameters
        ----------
        depth
            Range of all images of the same data. Default: that of this image.
        """
        if self.depth is None:
            return self.squares.astype(np.uint8, copy=False)
        return scale_depth(self.squares.astype(np.float32, copy=False), depth or self.depth)


def decode_image(path: Path, size: int, crops: int | None = None, name: str = "") -> DecodedImage:
    """Return squares of an image, as a person sees it.

    It is rotated as its metadata says; transparent parts are white; of several frames or pages the first is
    read; 16 and 32 bits per pixel are kept until the range of all images is known.

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
        If the file cannot be decoded, is no regular file, or has more pixels than Pillow's limit.
    """
    smallest = 2 * size if crops is None else 4 * size  # twice a square, which may be half a side
    with open_image(path, smallest) as opened:
        return _decode(opened, size, crops, name)


def decode_whole_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Return an image as a person sees it, whole: uint8, shape (height, width, 3).

    Its longer side has at most `size` pixels; a smaller image keeps its size. An image of more than 8 bits
    per pixel is scaled from its own range, and cut to its central square.

    Parameters
    ----------
    path
        The file.
    size
        Most pixels of the longer side.

    Raises
    ------
    DataError
        As of :func:`decode_image`.
    """
    with open_image(path, 2 * size) as opened:
        if has_depth(opened):
            square: NDArray[np.uint8] = _decode(opened, size, None, "").to_uint8()[0].transpose(1, 2, 0)
            return square
        if opened.format == "TIFF":
            with silent_stderr():
                opened.load()
        scale_transparency(opened, _raw_mode(opened))
        image, _ = on_white(ImageOps.exif_transpose(opened))
        image = image.convert("RGB")
        image.thumbnail((size, size), Image.Resampling.BICUBIC)
        pixels: NDArray[np.uint8] = np.asarray(image)
        return pixels


@contextmanager
def open_image(path: Path, smallest: int) -> Iterator[Image.Image]:
    """Open an image whose pixels are not read yet; errors of reading them are DataErrors too.

    Parameters
    ----------
    path
        The file.
    smallest
        Pixels of each side that are needed: a JPEG may be decoded to fewer than it has.

    Raises
    ------
    DataError
        As of :func:`decode_image`.
    """
    try:
        with warnings.catch_warnings(), open_file(path) as file:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # about odd metadata, which is not used
            with _identify(file) as opened:
                _check_pixels(opened)
                opened.draft("RGB", (smallest, smallest))  # decode a JPEG no larger than needed
                yield opened
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(_too_large()) from error
    except DataError:
        raise
    except MemoryError as error:
        raise DataError("there is not enough memory for its pixels") from error
    except OSError as error:
        raise DataError(short(error.strerror or str(error))) from error
    # Pillow's decoders raise nearly any exception on damaged files.
    except Exception as error:
        raise DataError(short(f"{type(error).__name__}: {error}")) from error


def _decode(opened: Image.Image, size: int, crops: int | None, name: str) -> DecodedImage:
    raw_mode, format_name = _raw_mode(opened), _FORMAT_NAMES.get(str(opened.format), str(opened.format))
    conversions: dict[Kind, str] = {}
    if getattr(opened, "is_animated", False):
        conversions[Kind.FRAMES] = ""
    if not has_depth(opened) and raw_mode.endswith(_UPPER_BITS):
        conversions[Kind.COLOUR_DEPTH] = ""
    if opened.getexif().get(ExifTags.Base.Orientation) in _ORIENTATIONS:  # TIFF forgets it when it is loaded
        conversions[Kind.ROTATED] = ""
    if opened.mode in _GREY_MODES or has_depth(opened):
        conversions[Kind.GREY] = ""
    elif opened.mode in _OTHER_COLOURS:
        conversions[Kind.COLOURS] = opened.mode
    if opened.format == "TIFF":
        with silent_stderr():  # libtiff writes a line per damaged row there
            opened.load()
    scale_transparency(opened, raw_mode)
    image = ImageOps.exif_transpose(opened)
    conversions |= _changes_of_size(image.size, size, crops, name)
    if has_depth(image):
        planes, depth, is_transparent, is_finite = split_depth(image)
        greys, opacity = (_cut(plane, size, crops, name) for plane in planes)
        conversions |= {Kind.DEPTH: depth.kind} | _noted(Kind.NOT_FINITE, not is_finite)
        conversions |= _noted(Kind.TRANSPARENT, is_transparent)
        squares = np.stack([greys, opacity], axis=1)
        return DecodedImage(squares, format_name, tuple(conversions.items()), depth)
    image, is_transparent = on_white(image)
    conversions |= _noted(Kind.TRANSPARENT, is_transparent)
    squares = np.ascontiguousarray(_cut(image, size, crops, name).transpose(0, 3, 1, 2))
    return DecodedImage(squares, format_name, tuple(conversions.items()))


def _noted(kind: Kind, is_so: bool) -> dict[Kind, str]:
    return {kind: ""} if is_so else {}


def _changes_of_size(sides: tuple[int, int], size: int, crops: int | None, name: str) -> dict[Kind, str]:
    """Return whether an image is cut to a square without the user's asking, and whether it is enlarged."""
    shown = f"{sides[0]:,} × {sides[1]:,}"
    changes = {Kind.CROPPED: shown} if crops is None and sides[0] != sides[1] else {}
    boxes = [_crop_box(sides, f"{name}/{number}") for number in range(crops or 0)]
    if min((right - left for left, _, right, _ in boxes), default=min(sides)) < size:
        changes[Kind.ENLARGED] = shown
    return changes


def _cut(image: Image.Image, size: int, crops: int | None, name: str) -> NDArray[Any]:
    """Return squares of an image, one behind the other."""
    if crops is None:
        squares = [ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)]
    else:
        boxes = [_crop_box(image.size, f"{name}/{number}") for number in range(crops)]
        squares = [image.resize((size, size), Image.Resampling.BICUBIC, box) for box in boxes]
    return np.stack([np.asarray(square) for square in squares])


def open_file(path: Path) -> BufferedReader:
    """Open a regular file: a pipe could be waited for without end, and a device read without end.

    Raises
    ------
    OSError
        If it cannot be opened.
    DataError
        If it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def _identify(file: BinaryIO) -> Image.Image:
    """Return the image in a file, whose pixels are not read yet."""
    try:
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        file.seek(0)
        raise DataError(_unidentified(file.read(16))) from error


def _check_pixels(opened: Image.Image) -> None:
    """Raise DataError above Pillow's limit, whose warning another thread may have disabled."""
    width, height = opened.size
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


def _raw_mode(opened: Image.Image) -> str:
    """Return the mode of the pixels in the file as Pillow calls it, empty where a decoder has none."""
    tiles = getattr(opened, "tile", ())
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _too_large() -> str:
    return (
        f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the limit of PIL.Image.MAX_IMAGE_PIXELS; scale "
        "it down"
    )


def _unidentified(start: bytes) -> str:
    """Return why a file whose content starts like this is no image that is read."""
    if not start:
        return "it is empty"
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return f"by its content it is {_BRANDS[start[8:12]]}, which is not read; convert it to PNG or JPEG"
    *others, last = (_FORMAT_NAMES.get(name, name) for name in _FORMATS)
    return f"by its content it is not {', '.join(others)} or {last}"


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
