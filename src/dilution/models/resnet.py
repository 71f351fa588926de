"""Residual networks of 18 and 50 layers (He et al. 2016), for small and for large images."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dilution.models.convnet import ChannelsLast

IMAGENET_STEM_SIZE = 64
"""Images with sides of this length or more get the stem used on ImageNet, smaller ones that used on CIFAR."""


def resnet(
    shape: tuple[int, int, int],
    classes: int,
    *,
    blocks: Sequence[int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    width: int = 64,
) -> nn.Module:
    """Build a residual network with batch normalisation.

    The stem for images of 64 pixels and more is a convolution of 7×7 with stride 2 and a
    max-pooling of 3×3 with stride 2, as in the paper; for smaller images it is one convolution of
    3×3, as is usual on CIFAR.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes: the model returns logits of shape (b, classes).
    blocks
        Residual blocks in each of the four stages; every stage but the first halves the image.
    bottleneck
        Blocks of 1×1, 3×3, 1×1 convolutions instead of two of 3×3.
    width
        Channels of the first stage; each further stage has twice as many as the one before.
    """
    channels, *sides = shape
    stem: list[nn.Module]
    if min(sides) >= IMAGENET_STEM_SIZE:
        stem = [_conv_bn(channels, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    else:
        stem = [_conv_bn(channels, width, 3), nn.ReLU(inplace=True)]
    body: list[nn.Module] = []
    size = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        for number in range(count):
            block = ResidualBlock(
                size, inner, stride=2 if stage and number == 0 else 1, bottleneck=bottleneck
            )
            body.append(block)
            size = block.out_channels
    return nn.Sequential(
        ChannelsLast(), *stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(size, classes)
    )


class ResidualBlock(nn.Module):
    """A residual block: the output of its convolutions is added to its input."""

    def __init__(self, channels: int, inner: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.out_channels = 4 * inner if bottleneck else inner
        if bottleneck:
            self.residual = nn.Sequential(
                _conv_bn(channels, inner, 1),
                nn.ReLU(inplace=True),
                _conv_bn(inner, inner, 3, stride),
                nn.ReLU(inplace=True),
                _conv_bn(inner, self.out_channels, 1),
            )
        else:
            self.residual = nn.Sequential(
                _conv_bn(channels, inner, 3, stride), nn.ReLU(inplace=True), _conv_bn(inner, inner, 3)
            )
        same = stride == 1 and channels == self.out_channels
        self.shortcut = nn.Identity() if same else _conv_bn(channels, self.out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the ReLU of the sum."""
        return F.relu(self.residual(x) + self.shortcut(x))


def _conv_bn(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
    """Return a convolution followed by batch normalisation."""
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out))
