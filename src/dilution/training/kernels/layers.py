"""Which models the kernels compute: the layers of a ConvNet, as the kernels take them."""

import re
from dataclasses import dataclass

from torch import nn

from dilution.models.convnet import ChannelsLast

GATHER_DEPTH = 64
"""Depth up to which the nine taps of an input of few channels are one product."""

MAX_ELEMENTS = 2**31
"""Elements of a map of a replica, or of its parameters, from which on 32-bit offsets would overflow."""

_CHANNELS = (16, 32, 64, 128, 256)
_KINDS = {nn.Conv2d: "C", nn.ReLU: "R", nn.MaxPool2d: "P", nn.Flatten: "F", nn.Linear: "L"}


@dataclass(frozen=True)
class Convolution:
    """One convolution with its ReLU, and perhaps a max-pool, for images of a fixed size.

    Parameters
    ----------
    channels_in, channels_out
        Channels of its maps.
    height, width
        Pixels of its maps before pooling.
    pool
        Whether 2×2 windows are pooled.
    """

    channels_in: int
    channels_out: int
    height: int
    width: int
    pool: bool

    @property
    def size(self) -> int:
        """The number of parameters: weights (9, in, out), then biases."""
        return (9 * self.channels_in + 1) * self.channels_out

    @property
    def out(self) -> tuple[int, int, int]:
        """Height, width and channels of what it puts out."""
        step = 2 if self.pool else 1
        return self.height // step, self.width // step, self.channels_out


Layers = tuple[list[Convolution], list[nn.Linear]]


def find_layers(model: nn.Module, image_shape: tuple[int, int, int], batch_size: int = 1) -> Layers | None:
    """Return the layers of a ConvNet that the kernels can compute, or None where they cannot.

    They can where a model is a ``Sequential`` of 3×3 convolutions with padding 1, each with a ReLU and
    perhaps a 2×2 max-pool, and then of two linear layers with a ReLU between them. Numbers of channels
    must be powers of two from 16 to 256; the images may have few channels of any number. The maps of a
    batch must have fewer than :data:`MAX_ELEMENTS` elements per replica.
    """
    if type(model) is not nn.Sequential:
        return None
    layers = [layer for layer in model if type(layer) is not ChannelsLast]
    kinds = "".join(_KINDS.get(type(layer), "?") for layer in layers)
    if re.fullmatch("(C(R|PR|RP))+FLRL", kinds) is None:
        return None
    convolutions: list[Convolution] = []
    channels, height, width = image_shape
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            pool = "P" in kinds[number + 1 : number + 3].partition("C")[0]
            if not _is_plain(layer) or (convolutions and channels not in _CHANNELS):
                return None
            if not convolutions and (pool or 9 * channels > GATHER_DEPTH):
                return None
            convolutions.append(Convolution(channels, layer.out_channels, height, width, pool))
            height, width, channels = convolutions[-1].out
        elif isinstance(layer, nn.MaxPool2d) and (layer.kernel_size, layer.stride, layer.padding) != (
            2,
            2,
            0,
        ):
            return None
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if _most_elements(convolutions, linear, batch_size) >= MAX_ELEMENTS:
        return None
    return convolutions, linear


def _most_elements(convolutions: list[Convolution], linear: list[nn.Linear], batch_size: int) -> int:
    """Return the elements of the largest tensor of a replica: a map with its border, or all parameters."""
    maps = [
        (layer.height + 2) * (layer.width + 2) * max(layer.channels_in, layer.channels_out)
        for layer in convolutions
    ]
    maps += [max(layer.in_features, layer.out_features) for layer in linear]
    dense = [(layer.in_features + 1) * layer.out_features for layer in linear]
    parameters = sum(layer.size for layer in convolutions) + sum(dense)
    return max(batch_size * max(maps), parameters)


def _is_plain(layer: nn.Conv2d) -> bool:
    """Return whether a convolution is 3×3 with padding 1 and a bias, and nothing else."""
    sizes = (layer.kernel_size, layer.padding, layer.stride, layer.dilation)
    plain = sizes == ((3, 3), (1, 1), (1, 1), (1, 1)) and layer.groups == 1 and layer.padding_mode == "zeros"
    return plain and layer.bias is not None and layer.out_channels in _CHANNELS
