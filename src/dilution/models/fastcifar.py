"""A ConvNet that learns CIFAR-10 in few epochs: small first layer, three blocks, normalised, scaled logits.

The ideas are those of the speed records on CIFAR-10 (Page 2018, *How to train your ResNet*; Jordan 2024,
*94 % on CIFAR-10 in 3.29 seconds*): no residual branches, a first layer of 2×2, pooling before the first
normalisation of a block, GELUs, and logits divided by a constant, which softens the first steps. Their fixed
whitening layer depends on the data and is left out: the first layer is learned here.
"""

import torch
from torch import Tensor, nn

from dilution.models.convnet import ChannelsLast

FIRST = 24
WIDTHS = (64, 256, 256)
LOGIT_SCALE = 1 / 9
_MOMENTUM = 0.4  # of running means: a training of few hundred steps ends before slower ones have settled


def fastcifar(shape: tuple[int, int, int], classes: int, *, widths: tuple[int, ...] = WIDTHS) -> nn.Module:
    """Build the network for images of any size; on 32×32 its last feature maps are 3×3.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width). A feature map that is one pixel high or wide is not pooled
        further.
    classes
        Number of classes: the model returns logits of shape (b, classes).
    widths
        Channels of each block.
    """
    channels, height, width = shape
    kernel = min(2, height), min(2, width)
    body: list[nn.Module] = [ChannelsLast(), nn.Conv2d(channels, FIRST, kernel), nn.GELU()]
    channels, height, width = FIRST, height - kernel[0] + 1, width - kernel[1] + 1
    for out in widths:
        pools = min(height, width) >= 2
        body += _block(channels, out, pools=pools)
        channels = out
        height, width = (height // 2, width // 2) if pools else (height, width)
    last = nn.Linear(channels, classes, bias=False)
    return nn.Sequential(*body, nn.AdaptiveMaxPool2d(1), nn.Flatten(), last, ScaledLogits())


def _block(channels: int, out: int, *, pools: bool) -> list[nn.Module]:
    """Return two convolutions of 3×3 with batch normalisation and GELU; the first one pools its output."""
    return [
        nn.Conv2d(channels, out, 3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pools else []),
        nn.BatchNorm2d(out, momentum=_MOMENTUM),
        nn.GELU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out, momentum=_MOMENTUM),
        nn.GELU(),
    ]


class ScaledLogits(nn.Module):
    """Multiply logits by a constant, 1/9: then the softmax of an untrained network is nearly uniform."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return the scaled logits, in their dtype."""
        return torch.mul(logits, LOGIT_SCALE)
