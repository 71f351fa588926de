"""Features of images: batches, progress, and functions that return something else."""

import numpy as np
import pytest
import torch

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.models.efficientnet_lite import FEATURES
from dilution.training import image_features
from dilution.training.image_features import efficientnet_features, extract_features, is_installed

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 3, 20, 24), dtype=np.uint8)


def arrays(images=IMAGES):
    return Arrays(torch.from_numpy(images), torch.arange(len(images)) % 2)


def mean_colours(images):
    return images.mean(axis=(2, 3))


def test_features_are_in_the_order_of_the_images():
    features = extract_features(arrays(), mean_colours, "mean_colours")
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, mean_colours(IMAGES), rtol=1e-6)


def test_a_function_may_return_tensors():
    features = extract_features(arrays(), lambda images: torch.from_numpy(images).float().mean((2, 3)), "f")
    np.testing.assert_allclose(features, mean_colours(IMAGES), rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images.mean(), "returned shape"),
        (lambda images: images[:-1].mean(axis=(2, 3)), "one row of d features per image"),
        (lambda images: mean_colours(images) * np.nan, "must be finite"),
        (lambda images: mean_colours(images)[:, : 1 + int(images[0, 0, 0, 0]) % 2], "equally many"),
        (lambda images: images / "a", "raised"),
    ],
)
def test_a_function_that_breaks_its_rule_is_named(function, message):
    images = IMAGES.copy()
    images[0, 0, 0, 0], images[16, 0, 0, 0] = 0, 1
    with pytest.raises(InputError, match=message) as raised:
        extract_features(arrays(images), function, "my_module:features")
    assert "my_module:features" in str(raised.value)


def test_rows_of_a_table_have_no_features():
    rows = Arrays(torch.zeros(4, 3, 1, 1), torch.arange(4) % 2)
    with pytest.raises(InputError, match="rows of a table"):
        extract_features(rows, mean_colours, "mean_colours")


def test_the_progress_counts_images(monkeypatch):
    counts = []
    monkeypatch.setattr(image_features, "advance_stage", lambda done, total: counts.append((done, total)))
    extract_features(arrays(), mean_colours, "mean_colours")
    assert counts == [(0, 40), (16, 40), (32, 40)]


def test_other_channels_are_refused():
    with pytest.raises(InputError, match="4 channels"):
        efficientnet_features(np.zeros((2, 4, 20, 20), np.uint8))


@pytest.mark.skipif(not is_installed(), reason="the extra 'features' is not installed")
def test_grey_images_have_the_features_of_the_same_image_in_three_channels():
    grey = IMAGES[:2, :1]
    threads = torch.get_num_threads()
    features = efficientnet_features(grey)
    assert features.shape == (2, FEATURES)
    np.testing.assert_allclose(features, efficientnet_features(np.repeat(grey, 3, axis=1)), atol=1e-5)
    assert torch.get_num_threads() == threads
