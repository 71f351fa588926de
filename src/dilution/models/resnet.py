"""Residual networks of 18 and 50 layers (He et al., 2016), for small images and for large ones."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dilution.models.convnet import ChannelsLast

LARGE = 64
"""Images of this side or more get the stem of ImageNet, smaller ones that of CIFAR."""


def resnet(
    shape: tuple[int, int, int],
    classes: int,
    *,
    blocks: Sequence[int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    width: int = 64,
) -> nn.Module:
    """Build a residual network with batch normalisation.

    Images of 64 pixels and more enter through a convolution of 7×7 and stride 2 and a max-pool of 3×3 and
    stride 2, as in the paper; smaller ones through a convolution of 3×3 alone, as is usual on CIFAR.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes: the network returns logits of shape (b, classes).
    blocks
        Residual blocks in each of the four stages; every stage but the first halves the image.
    bottleneck
        Blocks of 1×1, 3×3, 1×1 convolutions instead of two of 3×3.
    width
        Channels of the first stage; each further stage has twice those before.
    """
    channels, height, breadth = shape
    stem: list[nn.Module]
    if min(height, breadth) >= LARGE:
        stem = [_normalised(channels, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    else:
        stem = [_normalised(channels, width, 3), nn.ReLU(inplace=True)]
    body: list[nn.Module] = []
    size = width
    for stage, count in enumerate(blocks):
        inner = width * 2**stage
        for number in range(count):
            block = Block(size, inner, stride=2 if stage and number == 0 else 1, bottleneck=bottleneck)
            body.append(block)
            size = block.size
    return nn.Sequential(
        ChannelsLast(), *stem, *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(size, classes)
    )


class Block(nn.Module):
    """A residual block: what its convolutions find is added to what came in."""

    def __init__(self, channels: int, inner: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.size = 4 * inner if bottleneck else inner
        if bottleneck:
            self.residual = nn.Sequential(
                _normalised(channels, inner, 1),
                nn.ReLU(inplace=True),
                _normalised(inner, inner, 3, stride),
                nn.ReLU(inplace=True),
                _normalised(inner, self.size, 1),
            )
        else:
            self.residual = nn.Sequential(
                _normalised(channels, inner, 3, stride), nn.ReLU(inplace=True), _normalised(inner, inner, 3)
            )
        same = stride == 1 and channels == self.size
        self.shortcut = nn.Identity() if same else _normalised(channels, self.size, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum through a ReLU."""
        return F.relu(self.residual(x) + self.shortcut(x))


def _normalised(channels: int, out: int, kernel: int, stride: int = 1) -> nn.Module:
    """Return a convolution and its batch normalisation."""
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out))
