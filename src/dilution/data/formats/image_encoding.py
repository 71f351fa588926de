"""How files of images become tensors, as plain data that can be stored."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dilution.data.formats.image_decoding import DecodedImage, decode_image
from dilution.data.formats.image_pixels import Depth
from dilution.errors import DataError


@dataclass(frozen=True)
class ImageEncoding:
    """How files of images became tensors: the largest square in the middle, scaled, as a person sees it.

    Parameters
    ----------
    ranges
        Range of the training images of more than 8 bits, one of each kind of pixel.
    """

    ranges: tuple[Depth, ...] = ()
    kind: Literal["image files"] = "image files"

    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}

    def decode(self, path: Path, shape: tuple[int, int, int]) -> tuple[NDArray[np.uint8], DecodedImage]:
        """Return the pixels of an image, uint8 of a shape (channels, size, size), and what was decoded.

        Raises
        ------
        DataError
            If the file cannot be decoded, has pixels of more than 8 bits of a kind that no training image
            had, or is coloured where the shape has one channel.
        """
        image = decode_image(path, shape[1])
        depth = None
        if image.depth is not None:
            of_kind = {depth.kind: depth for depth in self.ranges}
            if (depth := of_kind.get(image.depth.kind)) is None:
                known = ", ".join(of_kind) or "8-bit"
                raise DataError(f"it has {image.depth.kind} pixels, and the training images had {known} ones")
        pixels = image.to_uint8(depth)[0]
        if shape[0] == 1:
            if (pixels[0] != pixels[1]).any() or (pixels[0] != pixels[2]).any():
                raise DataError("it is coloured, and the training images were grey")
            pixels = pixels[:1]
        return pixels, image

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding in types that JSON has."""
        return asdict(self)
