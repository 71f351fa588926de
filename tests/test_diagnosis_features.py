"""A diagnosis from features: of a function, a file, an array, or the published network."""

import numpy as np
import pytest
import torch
from photographs import write_class_folders

from dilution import Execution
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis import diagnose, feature_source
from dilution.diagnosis.feature_head import predict_from_features
from dilution.diagnosis.feature_source import FeatureSource
from dilution.diagnosis.noise_fit import HeldOutPredictions, fit_noise
from dilution.errors import DataError, InputError
from dilution.training.image_features import IMAGE_SIZE, is_installed

INLINE = Execution(workers=0, progress=False)
QUICK = {"folds": 4, "repeats": 1, "n_bootstrap": 20, "execution": INLINE}
STUB = """
def colours(images):
    assert images.dtype == "uint8", images.dtype
    return images.mean(axis=(2, 3))
"""


def coloured(n=240, classes=3, rate=0.2, seed=0, spread=20):
    """Return photographs of one colour per class, and their true labels."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % classes
    colours = 60 + 130 * np.eye(3)[true] + random.normal(0, spread, (n, 3))
    pixels = np.clip(colours[:, :, None, None] + random.normal(0, 20, (n, 3, 16, 16)), 0, 255)
    labels = np.where(random.random(n) < rate, (true + random.integers(1, classes, n)) % classes, true)
    return Arrays(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels)), true


def mean_colours(images):
    return images.mean(axis=(2, 3))


@pytest.fixture
def not_installed(monkeypatch):
    monkeypatch.setattr(feature_source, "is_installed", lambda: False)


@pytest.mark.trains
def test_a_function_of_the_users_gives_the_noise_rate(tmp_path, monkeypatch):
    (tmp_path / "stub_features.py").write_text(STUB, "utf-8")
    monkeypatch.chdir(tmp_path)
    data, true = coloured()
    diagnosis = diagnose(data, features="stub_features:colours", **QUICK)
    wrong = float((data.labels.numpy() != true).mean())
    assert diagnosis.noise_rate.low <= wrong <= diagnosis.noise_rate.high
    assert diagnosis.noise_rate.value == pytest.approx(wrong, abs=0.04)
    assert diagnosis.cross_validation.model == "logistic regression on stub_features:colours"
    assert not diagnosis.is_upper_bound
    assert "of the 240 labels are wrong" in diagnosis.answer


@pytest.mark.trains
def test_function_file_and_array_give_the_same(tmp_path):
    data, _ = coloured()
    values = mean_colours(data.images.numpy())
    np.save(tmp_path / "colours.npy", values.astype(np.float32))
    sources = (mean_colours, values.astype(np.float32), str(tmp_path / "colours.npy"))
    rates = {diagnose(data, features=source, **QUICK).noise_rate for source in sources}
    assert len(rates) == 1


@pytest.mark.trains
def test_a_named_model_learns_the_features():
    data, _ = coloured(120)
    diagnosis = diagnose(data, features=mean_colours, model="sklearn:logistic", **QUICK)
    assert diagnosis.cross_validation.model == "sklearn:logistic"
    assert diagnosis.excess is None


@pytest.mark.trains
def test_the_excess_of_a_regression_is_measured_and_subtracted():
    data, true = coloured(210, rate=0.2, spread=50)
    labels = data.labels.numpy()
    random = np.random.default_rng(0)
    features = np.c_[mean_colours(data.images.numpy()) / 255, random.random((210, 60))].astype(np.float32)
    predictions = predict_from_features(features, data, "colours", folds=5, repeats=2, seed=0)
    unknown = np.full(210, -1)
    fit = fit_noise(
        HeldOutPredictions(predictions.cross_validation.pred_probs, labels, unknown, np.ones(210))
    )
    excess = predictions.excess(fit, labels, seed=0)
    assert excess is not None
    wrong = float((labels != true).mean())
    assert fit.noise_rate - wrong > 0.02  # the classes overlap, and the noise fit takes that for noise
    assert abs(fit.noise_rate - excess.value - wrong) < fit.noise_rate - wrong
    assert excess.low < excess.value < excess.high
    assert excess == predictions.excess(fit, labels, seed=0)
    diagnosis = diagnose(data, features=features, n_bootstrap=20, execution=INLINE)
    assert diagnosis.noise_rate.low <= wrong <= diagnosis.noise_rate.high
    assert diagnosis.noise_rate.value < diagnosis.fit.noise_rate
    assert any("Planted noise" in caveat for caveat in diagnosis.caveats)


@pytest.mark.trains
def test_photographs_without_features_have_an_upper_bound(not_installed):
    data, _ = coloured(120)
    diagnosis = diagnose(data, model="sklearn:logistic", **QUICK)
    assert diagnosis.is_upper_bound
    assert diagnosis.answer.startswith("At most about")


def test_few_photographs_are_told_how_to_get_features(not_installed):
    data, _ = coloured(30)
    found, notes = FeatureSource(None, trains_here=True).find("x", UnsplitData(data))
    assert found is None
    assert "pip install 'dilution[features]'" in notes[0]


def test_tables_grey_images_and_many_images_keep_their_pixels(monkeypatch):
    source = FeatureSource(None, trains_here=True)
    labels = torch.arange(30) % 2
    for images in (torch.zeros(30, 5, 1, 1), torch.zeros(30, 1, 28, 28, dtype=torch.uint8)):
        assert source.find("x", UnsplitData(Arrays(images, labels))) == (None, ())
    data, _ = coloured(30)
    assert FeatureSource(None, trains_here=False).find("x", UnsplitData(data)) == (None, ())
    assert FeatureSource("none", trains_here=True).find("x", UnsplitData(data)) == (None, ())
    monkeypatch.setattr(feature_source, "FEW", 29)
    assert source.find("x", UnsplitData(data)) == (None, ())


@pytest.mark.skipif(not is_installed(), reason="the extra 'features' is not installed")
def test_few_photographs_have_the_published_network_by_default():
    data, _ = coloured(20)
    found, notes = FeatureSource(None, trains_here=True).find("x", UnsplitData(data))
    assert found is not None
    assert found.values.shape == (20, 1280)
    assert "--features none" in notes[0]
    assert "ImageNet" in notes[0]


def test_a_folder_is_decoded_to_the_size_that_the_network_takes(tmp_path):
    root = write_class_folders(tmp_path / "photos", per_class=2)
    assert FeatureSource(mean_colours, trains_here=True).name_with_size(root) == f"{root}#{IMAGE_SIZE}"
    assert FeatureSource("none", trains_here=True).name_with_size(root) == root
    assert FeatureSource(mean_colours, trains_here=True).name_with_size(f"{root}#40") == f"{root}#40"
    assert FeatureSource(mean_colours, trains_here=True).name_with_size("digits") == "digits"


def test_features_must_be_finite_numbers_one_row_per_example(tmp_path):
    data, _ = coloured(30)
    examples = UnsplitData(data)
    for values, message in (
        (np.zeros((29, 4)), r"must be \(30, d\)"),
        (np.zeros(30), r"must be \(30, d\)"),
        (np.full((30, 2), "a"), "must hold numbers"),
        (np.full((30, 2), np.nan), "row 0"),
    ):
        with pytest.raises(InputError, match=message):
            FeatureSource(values, trains_here=True).find("x", examples)
    with pytest.raises(InputError, match="efficientnet-lite0, none"):
        FeatureSource("resnet50", trains_here=True).find("x", examples)
    with pytest.raises(DataError, match="does not exist"):
        FeatureSource(str(tmp_path / "missing.npy"), trains_here=True).find("x", examples)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        FeatureSource(tmp_path / "objects.npy", trains_here=True).find("x", examples)


def test_features_do_not_go_with_given_probabilities():
    data, _ = coloured(30)
    with pytest.raises(InputError, match="features"):
        diagnose(data, features=mean_colours, pred_probs=np.full((30, 3), 1 / 3), execution=INLINE)


def test_too_few_examples_are_refused():
    data, _ = coloured(6)
    with pytest.raises(InputError, match="at least 10"):
        predict_from_features(np.zeros((6, 2), np.float32), data, "f", folds=5, repeats=1, seed=0)
