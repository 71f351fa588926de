"""The prediction of an image or a row does not depend on the container in which it comes."""

import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution, succeeded
from fitted_models import mixed_table, untrained, write_csv
from PIL import Image
from torch.utils.data import Dataset

from dilution.data import Arrays, UnsplitData, load, load_unsplit, write_pack
from dilution.errors import InputError
from dilution.fitting import FittedModel
from dilution.noise import Dilution

SIDE, CLASSES = 16, ("cat", "dog")


@dataclass
class Containers:
    """The same images in a folder, with the model, its predictions and the pixels."""

    folder: Path
    model: FittedModel
    expected: np.ndarray
    examples: UnsplitData

    @property
    def pixels(self) -> np.ndarray:
        return self.examples.arrays.images.numpy()

    @property
    def names(self) -> list[str]:
        return [CLASSES[number] for number in self.examples.arrays.labels.tolist()]


@pytest.fixture
def same(tmp_path) -> Containers:
    random = np.random.default_rng(0)
    for number in range(8):
        path = tmp_path / "photos" / CLASSES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    examples = load_unsplit(f"{tmp_path / 'photos'}#{SIDE}")
    model = untrained(examples.arrays, "conv2")
    return Containers(
        tmp_path / "photos", model, model.probabilities(examples.arrays.images.clone()), examples
    )


class Items(Dataset):
    """Pairs of an image and a label."""

    classes = CLASSES

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row], self.labels[row]


class FakeHuggingFace:
    """A Dataset of Hugging Face with images of Pillow, recognized by its attributes."""

    def __init__(self, images, labels=None):
        image, label = (type(name, (), {}) for name in ("Image", "ClassLabel"))
        self.rows = [{"image": Image.fromarray(pixels.transpose(1, 2, 0))} for pixels in images]
        self.features = {"image": image()}
        if labels is not None:
            self.features["label"] = label()
            self.features["label"].names = list(CLASSES)
            for row, number in zip(self.rows, labels, strict=True):
                row["label"] = number
        self.column_names = list(self.features)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]


def in_a_list(same, folder):
    frame = pd.DataFrame({"path": [f"photos/{name}" for name in same.examples.names], "label": same.names})
    path = folder / "list.csv"
    frame.to_csv(path, index=False)
    return path


def in_a_pack(same, folder):
    arrays = same.examples.arrays
    return write_pack(folder / "photos.pack", [arrays], [arrays.subset(torch.arange(2))])


def in_a_function(same, folder):
    module = types.ModuleType("data_of_containers")
    module.photos = lambda: same.examples.arrays
    module.__file__ = str(folder / "data_of_containers.py")
    Path(module.__file__).write_text("", "utf-8")
    sys.modules["data_of_containers"] = module
    return "data_of_containers:photos"


def in_an_npz(same, folder):
    np.savez(folder / "photos.npz", images=same.pixels, labels=np.array(same.names))
    return folder / "photos.npz"


CONTAINERS = {
    "folder": lambda same, _: same.folder,
    "list of files": lambda same, _: [same.folder / name for name in same.examples.names],
    "CSV list": in_a_list,
    "pack": in_a_pack,
    "function": in_a_function,
    "npz": in_an_npz,
    "array": lambda same, _: same.pixels,
    "floats": lambda same, _: same.pixels / 255,
    "tensor": lambda same, _: same.examples.arrays.images,
    "pair": lambda same, _: (same.pixels, same.names),
    "dict": lambda same, _: {"images": same.pixels, "labels": same.names},
    "Arrays": lambda same, _: same.examples.arrays,
    "UnsplitData": lambda same, _: same.examples,
    "Dilution": lambda same, _: Dilution(same.examples.arrays, alpha=0, seed=0),
    "torch Dataset": lambda same, _: Items(same.examples.arrays.images, same.examples.arrays.labels.tolist()),
    "torch floats": lambda same, _: Items(
        same.examples.arrays.images / 255, same.examples.arrays.labels.tolist()
    ),
    "Hugging Face": lambda same, _: FakeHuggingFace(same.pixels, same.examples.arrays.labels.tolist()),
    "Hugging Face without labels": lambda same, _: FakeHuggingFace(same.pixels),
}
WITHOUT_LABELS = {"list of files", "array", "floats", "tensor", "Hugging Face without labels"}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_an_image_is_predicted_alike_in_every_container(same, tmp_path, kind):
    predictions = same.model.predictions(CONTAINERS[kind](same, tmp_path))
    order = np.argsort(predictions.positions)
    np.testing.assert_allclose(predictions.probabilities[order], same.expected, atol=1e-6)
    assert predictions.n_given == len(same.expected)
    assert predictions.n_compared == (0 if kind in WITHOUT_LABELS else len(same.expected))
    sys.modules.pop("data_of_containers", None)


def test_splits_of_named_data_are_chosen(same, tmp_path):
    pack = in_a_pack(same, tmp_path)
    np.testing.assert_allclose(
        same.model.predictions(pack, split="test").probabilities, same.expected[:2], atol=1e-6
    )
    of_train = same.model.predictions(pack)
    assert len(of_train.positions) == len(same.expected)
    assert any("of the test split are left out" in note for note in of_train.notes)
    with pytest.raises(InputError, match="'val' is not a split"):
        same.model.predictions(pack, split="val")
    with pytest.raises(InputError, match="only named data sets, packs and functions have splits"):
        same.model.predictions(same.pixels, split="test")


def test_a_built_in_data_set_is_predicted_by_name():
    digits = load("digits")
    model = untrained(digits.train, "conv2")
    predictions = model.predictions("digits", split="test")
    np.testing.assert_allclose(predictions.probabilities, model.probabilities(digits.test.images), atol=1e-6)
    assert predictions.n_compared == len(digits.test)
    assert len(model.predictions("digits").positions) == len(digits.train)
    three = load("digits#classes=3")
    of_three = untrained(three.train, "conv2").predictions("digits#classes=3", split="test")
    assert of_three.n_compared == len(three.test)
    ids = [f"d{number}" for number in range(len(digits.test))]
    assert model.predictions("digits", split="test", ids=ids).ids == tuple(ids)
    for columns in ({"ids": "key"}, {"label": "kind"}):
        with pytest.raises(InputError, match="a column of a table, and the data are none"):
            model.predictions("digits", **columns)


def test_a_list_of_images_has_ids_labels_and_unreadable_files(same, tmp_path):
    path = in_a_list(same, tmp_path)
    frame = pd.read_csv(path).assign(key=[f"k{number}" for number in range(8)], kind="new")
    frame.loc[3, "path"] = "photos/none.png"
    frame.to_csv(path, index=False)
    predictions = same.model.predictions(path, label="label", ids="key")
    assert predictions.ids == ("k0", "k1", "k2", "k4", "k5", "k6", "k7")
    assert any("none.png" in note for note in predictions.notes)
    frame.assign(path=frame["path"].where(frame.index != 5)).to_csv(path, index=False)
    with pytest.raises(InputError, match="row 7 has no path in column 'path'"):
        same.model.predictions(path)


def test_a_dataset_of_one_class_is_predicted(same):
    items = Items(same.examples.arrays.images[:3], [0, 0, 0])
    np.testing.assert_allclose(same.model.predict_proba(items), same.expected[:3], atol=1e-6)


def test_a_table_is_predicted_alike_in_a_pair_and_with_labels_beside(tmp_path):
    frame = mixed_table()
    examples = load_unsplit(write_csv(tmp_path, frame))
    model = untrained(examples.arrays)
    expected = model.probabilities(examples.arrays.images)
    pair = (frame.drop(columns=["label"]), frame["label"])
    predictions = model.predictions(pair)
    np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-6)
    assert predictions.n_compared == len(frame)
    with pytest.raises(InputError, match="was fitted to a table with the columns"):
        model.predictions((np.zeros((3, 2)), ["yes", "no", "no"]))


def test_features_come_in_pairs_and_dicts():
    features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    labels = np.arange(12) % 3
    arrays = Arrays(torch.from_numpy(features)[:, :, None, None], torch.from_numpy(labels))
    model = untrained(arrays)
    expected = model.probabilities(arrays.images)
    for data in ((features, labels), {"features": features, "labels": labels}, {"features": features}):
        np.testing.assert_allclose(model.predict_proba(data), expected, atol=1e-6)


def test_the_command_predicts_a_list_of_images(same, tmp_path):
    same.model.save(tmp_path / "model.dilution")
    path = in_a_list(same, tmp_path)
    result = dilution("predict", "model.dilution", path.name, cwd=tmp_path)
    assert "8 examples predicted" in succeeded(result)
    table = pd.read_csv(tmp_path / "predictions.csv")
    np.testing.assert_allclose(table["probability"], same.expected.max(axis=1), atol=1e-5)
