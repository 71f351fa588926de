"""LeNet-5 with ReLUs and max-pooling (LeCun et al. 1998), as papers on label noise train it on MNIST."""

from torch import nn

from dilution.models.convnet import ChannelsLast

CHANNELS = (6, 16)
DENSE = (120, 84)
_KERNEL = 5


def lenet(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build LeNet-5: two convolutions of 5×5, each with max-pooling, and three dense layers.

    The first convolution pads its input, so that images of 28×28 give 16 maps of 5×5 as the 32×32 images of
    the paper do. The paper's sigmoids and learned pooling are ReLUs and max-pooling, as is usual today.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width). A feature map that is one pixel high or wide is not pooled,
        and one that is smaller than 5×5 is padded.
    classes
        Number of classes: the model returns logits of shape (b, classes).
    """
    channels, height, width = shape
    body: list[nn.Module] = [ChannelsLast()]
    for number, out in enumerate(CHANNELS):
        padding = _KERNEL // 2 if number == 0 or min(height, width) < _KERNEL else 0
        body.append(nn.Conv2d(channels, out, _KERNEL, padding=padding))
        channels = out
        height, width = (side + 2 * padding - _KERNEL + 1 for side in (height, width))
        if min(height, width) >= 2:
            body.append(nn.MaxPool2d(2))  # before the ReLU: the same result with fewer operations
            height, width = height // 2, width // 2
        body.append(nn.ReLU(inplace=True))
    size = channels * height * width
    body.append(nn.Flatten())
    for out in DENSE:
        body += [nn.Linear(size, out), nn.ReLU(inplace=True)]
        size = out
    return nn.Sequential(*body, nn.Linear(size, classes))
