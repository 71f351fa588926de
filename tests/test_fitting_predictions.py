"""Predictions on new data of every kind are bit-identical to those of equal examples of the fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution, refused, succeeded
from fitted_models import images, mixed_table, untrained, write_csv
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from dilution import load_model
from dilution.data import Arrays, load, load_unsplit
from dilution.errors import DataError, InputError
from dilution.fitting import BoostedTrees, Network
from dilution.fitting.forest import Forest

CLASSES = ("cat", "dog")


def write_images(folder: Path, n: int = 6, side: int = 40, mode: str = "RGB") -> Path:
    """Write images in one folder per class and return the folder."""
    rng = np.random.default_rng(0)
    for number in range(n):
        name = folder / CLASSES[number % 2] / f"{number}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        shape = (side, side + number, 3) if mode == "RGB" else (side, side + number)
        top, kind = (256, np.uint8) if mode != "I;16" else (2**16, np.uint16)
        pixels = rng.integers(0, top, shape).astype(kind)
        Image.fromarray(pixels).save(name)
    return folder


def probabilities_of(model, data, **options):
    return model.predictions(data, **options).probabilities


def test_a_table_in_every_form_gives_the_same_predictions(tmp_path):
    frame = mixed_table()
    path = write_csv(tmp_path, frame)
    examples = load_unsplit(path)
    model = load_model(untrained(examples.arrays).save(tmp_path / "model.dilution"))
    expected = model.probabilities(examples.arrays.images)
    frame.to_parquet(tmp_path / "table.parquet")
    for data in (path, str(path), tmp_path / "table.parquet", frame, frame[sorted(frame)], examples):
        assert np.array_equal(probabilities_of(model, data), expected)
        assert model.predict(data).tolist() == [model.classes[k] for k in expected.argmax(axis=1)]
    without_label = frame.drop(columns=["label", "id"])
    assert np.array_equal(model.predict_proba(without_label), expected)
    np.testing.assert_allclose(model.predict_proba(frame.iloc[[7]]), expected[[7]], atol=1e-6)


def test_a_folder_some_files_and_one_file_give_the_pixels_of_the_training(tmp_path):
    folder = write_images(tmp_path / "photos")
    examples = load_unsplit(f"{folder}#16")
    model = load_model(untrained(examples.arrays, "conv2").save(tmp_path / "model.dilution"))
    expected = model.probabilities(examples.arrays.images)
    of_folder = model.predictions(folder)
    assert np.array_equal(of_folder.probabilities, expected)
    assert of_folder.ids == examples.names
    assert of_folder.n_compared == 6
    files = [folder / name for name in examples.names]
    assert np.array_equal(model.predict_proba(files), expected)
    np.testing.assert_allclose(model.predict_proba(files[4]), expected[[4]], atol=1e-6)
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in files:
        (flat / file.name).write_bytes(file.read_bytes())
    (flat / "5b.png").write_bytes(b"no image")
    (flat / "notes.txt").write_text("x")
    predictions = model.predictions(flat)
    order = [int(Path(name).stem) for name in examples.names]
    # in another order a product of a batch may end in other bits
    np.testing.assert_allclose(predictions.probabilities, expected[np.argsort(order)], atol=1e-6)
    assert predictions.positions.tolist() == [0, 1, 2, 3, 4, 5]
    assert predictions.given is None
    assert any("5b.png" in note for note in predictions.notes)
    assert any("notes.txt" in note for note in predictions.notes)
    with pytest.raises(DataError, match=r"1 of 7 images cannot be read: .*5b\.png"):
        model.predict(flat)


def test_deep_images_have_the_range_of_the_training(tmp_path):
    folder = write_images(tmp_path / "deep", mode="I;16")
    examples = load_unsplit(f"{folder}#16")
    model = load_model(untrained(examples.arrays, "conv2").save(tmp_path / "model.dilution"))
    expected = model.probabilities(examples.arrays.images)
    for number, name in enumerate(examples.names):  # alone, its own range is smaller
        np.testing.assert_allclose(model.predict_proba(folder / name), expected[[number]], atol=1e-6)
    of_bytes = untrained(load_unsplit(f"{write_images(tmp_path / 'photos')}#16").arrays, "conv2")
    with pytest.raises(DataError, match="it has 16-bit pixels, and the training images had 8-bit ones"):
        of_bytes.predict(folder)


def test_bytes_and_floats_in_0_to_1_give_the_same_predictions(tmp_path):
    arrays = images(channels=3)
    model, pixels = untrained(arrays, "conv2"), arrays.images.numpy()
    expected = model.probabilities(arrays.images)
    np.save(tmp_path / "images.npy", pixels)
    np.savez(tmp_path / "images.npz", images=pixels / np.float32(255), labels=arrays.labels)
    for data in (pixels, arrays.images, pixels / 255, arrays.images / 255, arrays, *tmp_path.iterdir()):
        assert np.array_equal(probabilities_of(model, data), expected)
    assert model.predictions(tmp_path / "images.npz").n_compared == 12
    grey = untrained(images())
    assert np.array_equal(grey.predict_proba(images().images[:, 0]), grey.probabilities(images().images))


def test_images_of_another_range_type_or_shape_are_refused():
    model, pixels = untrained(images(channels=3), "conv2"), images(channels=3).images.numpy()
    for data, words in (
        (pixels.astype(float), "run from 0 to 255; floats must lie in"),
        (pixels / 127.5 - 1, "run from -1 to 1; floats must lie in"),
        (pixels / 255 / 255, "divided by 255 twice"),
        (pixels.astype(int), r"pass images.astype\('uint8'\)"),
        (pixels.transpose(0, 2, 3, 1), "channels must come before height"),
        (pixels[:, :, :4], "images of 3×4×8; the model was fitted to images of 3×8×8"),
        (pixels[:, 0], "images of 1×8×8; the model was fitted"),
        (pixels[0], "images of 1×8×8; the model was fitted"),
        (pixels.reshape(12, -1), "must be \\(n, height, width\\)"),
        (pixels[:0], "hold no example"),
        (np.full_like(pixels, np.nan, dtype=float), "NaN or infinite"),
        (images().subset(torch.arange(3)), "was fitted to torch.uint8 of shape"),
        (pd.DataFrame({"a": [1.0]}), "is a table, and the model was fitted to images"),
        (object(), "the data are a object; they must be a CSV"),
        (load("digits"), "two splits; pass one of them"),
    ):
        with pytest.raises(InputError, match=words):
            model.predict(data)
    with pytest.raises(InputError, match=r"images are torch.float32 of shape"):
        model.probabilities(torch.zeros(2, 3, 8, 8))


def test_features_of_another_number_or_kind_are_refused(tmp_path):
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    arrays = Arrays(torch.from_numpy(features)[:, :, None, None], torch.arange(30) % 3)
    model = untrained(arrays)
    expected = model.probabilities(arrays.images)
    for data in (features, features.astype(float), pd.DataFrame(features), torch.from_numpy(features)):
        assert np.array_equal(model.predict_proba(data), expected)
    image, table = tmp_path / "a.png", write_csv(tmp_path, mixed_table())
    Image.new("RGB", (9, 9)).save(image)
    for data, words in (
        (features[:, :3], "3 features; the model was fitted to 4"),
        (features[0], r"One example is features\[None\]"),
        (np.full((2, 4), np.nan), "NaN, infinite or beyond"),
        (np.array([["a"] * 4]), "must be numbers"),
        (image, r"holds images, and the model was fitted to arrays of shape \(n, 4, 1, 1\)"),
        (table, "is a table, and the model was fitted to features"),
        (tmp_path / "none.csv", "is a table|does not exist"),
        (tmp_path / "none", "does not exist; new data must be a CSV"),
        (Path(__file__), r"ends in '\.py'; new data must be a CSV"),
    ):
        with pytest.raises(InputError, match=words):
            model.predict(data)
    of_table = untrained(load_unsplit(table).arrays)
    for data, words in (
        (features, "the data are a ndarray, and the model was fitted to a table with the columns size, age"),
        (arrays, "were made of a table in another way"),
        (image, "holds images, and the model was fitted to a table with the columns size"),
    ):
        with pytest.raises(InputError, match=words):
            of_table.predict(data)


def test_agreement_counts_labels_that_are_classes_of_the_model(tmp_path):
    frame = mixed_table()
    model = untrained(load_unsplit(write_csv(tmp_path, frame)).arrays)
    right = model.predict(frame)
    frame["label"] = right
    frame.loc[0, "label"] = {"yes": "no", "no": "yes"}[right[0]]
    frame.loc[1, "label"] = None
    frame.loc[2, "label"] = "perhaps"
    predictions = model.predictions(frame)
    assert predictions.n_compared == 38
    assert predictions.agreement.value == pytest.approx(37 / 38)
    assert predictions.agreement.low < 37 / 38 < predictions.agreement.high < 1
    assert any(
        "1 label is no class of the model" in note and "'perhaps'" in note for note in predictions.notes
    )
    other = model.predictions(frame.rename(columns={"label": "truth"}), label="truth", ids="id")
    assert other.agreement == predictions.agreement
    assert other.ids[:2] == ("0", "1")
    assert model.predictions(frame.drop(columns="label")).n_compared == 0


def test_rows_are_predicted_in_batches_of_bounded_size(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "photos", n=7)
    arrays = load_unsplit(f"{folder}#16").arrays
    model, sizes = untrained(arrays, "conv2"), []
    expected = model.predict_proba(folder)
    monkeypatch.setattr("dilution.fitting.new_images.BATCH", 3)
    network, counted = model.members[0], type(model.members[0]).probabilities

    def count(self, batch):
        sizes.append(len(batch))
        return counted(self, batch)

    monkeypatch.setattr(type(network), "probabilities", count)
    np.testing.assert_allclose(model.predict_proba(folder), expected, atol=1e-6)
    assert sizes == [3, 3, 1]


def test_predict_writes_one_row_per_example_and_says_what_it_did(tmp_path):
    frame = mixed_table()
    model = untrained(load_unsplit(write_csv(tmp_path, frame)).arrays)
    model.save(tmp_path / "model.dilution")
    result = dilution("predict", "model.dilution", "table.csv", "--all-classes", cwd=tmp_path)
    output = succeeded(result)
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table) == ["index", "id", "label", "probability", "p_no", "p_yes"]
    assert table["index"].tolist() == list(range(40))
    assert table["id"].iloc[0] == "row 2"
    assert table["label"].tolist() == model.predict(frame).tolist()
    np.testing.assert_allclose(table[["p_no", "p_yes"]].max(axis=1), table["probability"])
    agreement = model.predictions(frame).agreement
    assert f"{agreement.percent()} of 40 labels agree" in output
    assert "note: column 'age': 1 missing number is filled" in result.stderr
    frame.assign(age="old").drop(columns="size").to_csv(tmp_path / "bad.csv", index=False)
    refused(
        dilution("predict", "model.dilution", "bad.csv", cwd=tmp_path),
        "bad.csv",
        "the column size is missing",
        "column 'age' held numbers",
    )
    assert len(pd.read_csv(tmp_path / "predictions.csv")) == 40  # as it was
    (tmp_path / "mine.csv").write_text("mine")
    refused(dilution("predict", "model.dilution", "table.csv", "--out", "mine.csv", cwd=tmp_path), "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "mine"
    refused(dilution("predict", "table.csv", "table.csv", cwd=tmp_path), "is no model file")


@pytest.mark.trains
def test_new_rows_have_the_ids_of_the_column_that_the_fit_named(tmp_path):
    frame = mixed_table().assign(customer=[f"C{row}" for row in range(40)])
    model = untrained(load_unsplit(f"{write_csv(tmp_path, frame)}#ids=customer").arrays)
    kept = load_model(model.save(tmp_path / "model.dilution"))
    new = frame.drop(columns="label")
    for fitted in (model, kept):
        assert fitted.predictions(new).ids == tuple(frame["customer"])
    repeated = kept.predictions(new.assign(customer="C1"))
    assert repeated.ids[0] == "row 0"
    assert any("missing or repeated ids, so that rows are named by place" in note for note in repeated.notes)
    assert kept.predictions(new.drop(columns="customer")).ids[0] == "row 0"
    np.testing.assert_array_equal(kept.predict_proba(new), kept.predict_proba(new.drop(columns="customer")))


def test_an_exported_program_predicts_the_same_without_this_package(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 5)).astype(np.float32)
    of_table = Arrays(torch.from_numpy(features)[:, :, None, None], torch.arange(90) % 3)
    trees = [
        BoostedTrees.of_classifier(
            HistGradientBoostingClassifier(max_iter=3).fit(features, of_table.labels), 3
        ),
        Forest.of_classifier(RandomForestClassifier(4, random_state=0).fit(features, of_table.labels), 3),
    ]
    members = [*untrained(of_table).members, *trees]
    of_pixels = images(channels=3)
    for arrays, model in (
        (of_pixels, untrained(of_pixels, "conv2", members=2)),
        (of_table, replace(untrained(of_table), members=members, shares=(0.5, 0.2, 0.3))),
    ):
        path = model.export(tmp_path / f"{model.model}.pt2")
        program = torch.export.load(path).module()
        for n in (1, 5, 12):
            predicted = program(arrays.images[:n]).detach().numpy()
            np.testing.assert_allclose(predicted, model.probabilities(arrays.images[:n]), atol=1e-6)


def test_an_export_replaces_no_file_and_has_its_extension(tmp_path):
    model, path = untrained(images()), tmp_path / "model.pt2"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists; it is not replaced"):
        model.export(path)
    with pytest.raises(InputError, match=r"must end in \.pt2"):
        model.export(tmp_path / "model.onnx")
    assert path.read_text() == "mine"


@pytest.mark.trains
def test_a_network_that_cannot_be_traced_is_refused(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3] * (1 if x.sum() > 0 else 2)

    model = untrained(images())
    branching = replace(model, members=[Network(Branching(), model.members[0].normalise)])
    with pytest.raises(InputError, match=r"which torch\.export cannot trace .*must not depend on values"):
        branching.export(tmp_path / "model.pt2")
