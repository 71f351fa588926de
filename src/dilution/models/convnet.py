"""The ConvNets: 2, 4 or 6 convolutions of 3×3, a max-pool after every second, one dense layer."""

import torch
from torch import Tensor, nn

CHANNELS = (32, 32, 64, 64, 128, 128)
DENSE = 256


def conv(shape: tuple[int, int, int], classes: int, *, layers: int) -> nn.Module:
    """Build a ConvNet for images of any size.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width). A map that is already one pixel high or wide is not
        pooled further.
    classes
        Number of classes: the network returns logits of shape (b, classes).
    layers
        Number of convolutions: 2, 4 or 6.
    """
    channels, height, width = shape
    body: list[nn.Module] = [ChannelsLast()]
    for number, out in enumerate(CHANNELS[:layers], start=1):
        body.append(nn.Conv2d(channels, out, 3, padding=1))
        channels = out
        if number % 2 == 0 and min(height, width) >= 2:
            body.append(nn.MaxPool2d(2))  # before the ReLU, which gives the same and has less to do
            height, width = height // 2, width // 2
        body.append(nn.ReLU(inplace=True))  # no layer before it needs its own output again
    size = channels * height * width
    return nn.Sequential(
        *body, nn.Flatten(), nn.Linear(size, DENSE), nn.ReLU(inplace=True), nn.Linear(DENSE, classes)
    )


class ChannelsLast(nn.Module):
    """Lay images (b, c, h, w) out in memory as (b, h, w, c), which CPU convolutions are fastest with."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same values in the other layout."""
        return channels_last(x)


def channels_last(x: Tensor) -> Tensor:
    """Return x, shape (b, c, h, w), laid out in memory as (b, h, w, c).

    PyTorch takes a tensor of one channel to be in either layout and leaves its strides as they are; the
    next convolution then reads them as channels first, and its output has to be turned around.
    """
    _, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    return x.as_strided(x.shape, (height * width * channels, 1, width * channels, channels))
