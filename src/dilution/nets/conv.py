"""The ConvNets: 2, 4 or 6 convolutions of 3×3, a max-pool after every second, one dense layer."""

from torch import nn

CHANNELS = (32, 32, 64, 64, 128, 128)
DENSE = 256


def conv(shape: tuple[int, int, int], classes: int, *, layers: int) -> nn.Module:
    """Build a ConvNet for pictures of any size.

    Parameters
    ----------
    shape
        Picture shape: (channels, height, width). A map that is already one pixel high or wide is not
        pooled further.
    classes
        Number of classes: the network returns logits of shape (b, classes).
    layers
        Number of convolutions: 2, 4 or 6.
    """
    channels, height, width = shape
    body: list[nn.Module] = []
    for number, out in enumerate(CHANNELS[:layers], start=1):
        body += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
        channels = out
        if number % 2 == 0 and min(height, width) >= 2:
            body.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    size = channels * height * width
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(size, DENSE), nn.ReLU(), nn.Linear(DENSE, classes))
