"""ConvNets: 2, 4 or 6 convolutions of 3×3, max-pooling after every second, one dense layer."""

import torch
from torch import Tensor, nn

CHANNELS = (32, 32, 64, 64, 128, 128)
DENSE = 256


def convnet(shape: tuple[int, int, int], classes: int, *, layers: int) -> nn.Module:
    """Build a ConvNet for images of any size.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width). A feature map that is one pixel high or wide is not
        pooled further.
    classes
        Number of classes: the model returns logits of shape (b, classes).
    layers
        Number of convolutions: 2, 4 or 6.
    """
    channels, height, width = shape
    body: list[nn.Module] = [ChannelsLast()]
    for number, out in enumerate(CHANNELS[:layers], start=1):
        body.append(nn.Conv2d(channels, out, 3, padding=1))
        channels = out
        if number % 2 == 0 and min(height, width) >= 2:
            body.append(nn.MaxPool2d(2))  # before the ReLU: the same result with fewer operations
            height, width = height // 2, width // 2
        body.append(nn.ReLU(inplace=True))  # the layer before does not need its output for its gradient
    size = channels * height * width
    return nn.Sequential(
        *body, nn.Flatten(), nn.Linear(size, DENSE), nn.ReLU(inplace=True), nn.Linear(DENSE, classes)
    )


class ChannelsLast(nn.Module):
    """Store images (b, c, h, w) as (b, h, w, c), the memory layout in which CPU convolutions are fastest."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same values in the layout (b, h, w, c)."""
        return channels_last(x)


def channels_last(x: Tensor) -> Tensor:
    """Return x, shape (b, c, h, w), stored in memory as (b, h, w, c).

    PyTorch considers a tensor of one channel to be in either layout and keeps its strides; the next
    convolution would then read it as channels first and return its output in that slower layout.
    """
    _, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    return x.as_strided(x.shape, (height * width * channels, 1, width * channels, channels))
