"""Model files: what is read is what was written, and every other file is refused in a sentence."""

import hashlib
import io
import json
import pickle
import random
import struct
import sys
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from commands import dilution, refused, succeeded
from fitted_models import images, mixed_table, untrained, write_csv
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from torch import nn

from dilution.data import Arrays, load_unsplit
from dilution.errors import DataError, DilutionError, InputError
from dilution.fitting import BoostedTrees, FittedModel, Network, load_model, save_model
from dilution.fitting.checked_zip import CheckedZip
from dilution.fitting.forest import Forest
from dilution.training.evaluation import Normalise


@pytest.fixture
def model_file(tmp_path):
    return untrained(images(), members=2, seconds=1.5).save(tmp_path / "model.dilution")


@pytest.mark.parametrize("name", ["perceptron", "mlp2", "conv4", "resnet18_w16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_predicts_the_same_bits_after_it_was_saved(tmp_path, name, channels):
    arrays = images(channels=channels)
    model = untrained(arrays, name, members=2, note="ü", nested={"a": [1, None]})
    loaded = load_model(model.save(tmp_path / "model.dilution"))
    assert np.array_equal(loaded.probabilities(arrays.images), model.probabilities(arrays.images))
    assert (loaded.model, loaded.shape, loaded.classes) == (name, model.shape, model.classes)
    assert loaded.facts == {"note": "ü", "nested": {"a": [1, None]}}
    assert not any(member.module.training for member in loaded.members)


def test_networks_and_trees_are_averaged_in_one_file(tmp_path):
    rng = np.random.default_rng(0)
    arrays = Arrays(torch.from_numpy(rng.normal(size=(60, 4, 1, 1)).astype(np.float32)), torch.arange(60) % 3)
    features = arrays.images.flatten(1).numpy()
    trees = HistGradientBoostingClassifier(max_iter=4).fit(features, arrays.labels.numpy())
    networks = untrained(arrays, members=2).members
    model = FittedModel(
        "mlp1", arrays.shape, arrays.dtype, arrays.classes, [*networks, BoostedTrees.of_classifier(trees, 3)]
    )
    loaded = load_model(model.save(tmp_path / "model.dilution"))
    predicted = loaded.probabilities(arrays.images)
    assert np.array_equal(predicted, model.probabilities(arrays.images))
    parts = [member.probabilities(arrays.images) for member in networks]
    expected = (parts[0] + parts[1] + trees.predict_proba(features)) / 3
    np.testing.assert_allclose(predicted, expected, atol=1e-12)


def test_equal_models_give_equal_files(tmp_path):
    first, second = (untrained(images()).save(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_300_flipped_bits_are_refused(model_file):
    content, draw, other = model_file.read_bytes(), random.Random(0), model_file.with_name("flipped")
    for _ in range(300):
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        other.write_bytes(changed)
        with pytest.raises(DataError, match="checksum"):
            load_model(other)


def test_100_truncated_files_are_refused(model_file):
    content, draw, other = model_file.read_bytes(), random.Random(0), model_file.with_name("short")
    for length in [0, 1, len(content) - 1, *(draw.randrange(len(content)) for _ in range(97))]:
        other.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"must end in a checksum"):
            load_model(other)


def signed(content):
    """Return the bytes of a ZIP file with the checksum that a stranger can compute too."""
    mark = b"dilution sha256:"
    with zipfile.ZipFile(file := io.BytesIO(content), "a") as archive:
        archive.comment = mark + b"0" * 64
    body = file.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def packed(entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file := io.BytesIO(), "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return signed(file.getvalue())


def changed_text(path, **changes):
    checked = CheckedZip.read(path)
    path.write_bytes(CheckedZip({**checked.text, **changes}, checked.arrays).to_bytes())
    return path


def npy(array):
    np.save(file := io.BytesIO(), array, allow_pickle=True)
    return file.getvalue()


def test_files_of_strangers_with_a_right_checksum_are_refused(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("the file was executed",))

    text = json.dumps({"schema_version": 1})
    header = npy(np.zeros(3)).replace(b"(3,)", b"(9999999999,)")[:128]
    for entries, words in (
        ([("a.txt", b"")], "it has no model.json"),
        ([("model.json", b"[]")], "is no object"),
        ([("model.json", b"{")], "cannot be unpacked"),
        ([("model.json", b'{"a": NaN}')], "NaN is no number of JSON"),
        ([("model.json", b"[" * 100_000)], "nested too deeply"),
        ([("model.json", text), ("run.py", b"1")], "entries that are no arrays"),
        ([("model.json", text), ("a.npy", pickle.dumps(Harmful()))], "which is no array"),
        ([("model.json", text), ("a.npy", npy(np.array([Harmful()])))], "Python objects"),
        ([("model.json", text), ("a.npy", header)], "its header announces"),
        ([("model.json", text), ("model.json", text)], "two entries have one name"),
        ([("model.json", text)], "Field required"),
    ):
        path = tmp_path / "model.dilution"
        with pytest.warns(UserWarning, match="Duplicate") if words.startswith("two") else nullcontext():
            path.write_bytes(packed(entries))
        with pytest.raises(DataError, match=words):
            load_model(path)
    path.write_bytes(packed([("model.json", b" " * 10_000_000)], zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 20_000  # it unpacks to 10 MB
    with pytest.raises(DataError, match="compressed or encrypted"):
        load_model(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 2}, "written by a newer version"),
        ({"schema_version": "1"}, "no model file: schema_version"),
        ({"classes": ["a"]}, "no model file: classes"),
        ({"classes": ["a", "b"]}, "do not fit the model: the file has '3.weight'"),
        ({"shape": [1, 9, 9]}, "do not fit the model: the file has '1.weight'"),
        ({"shape": [1 << 24, 1 << 24, 1 << 24]}, "model file: mlp1 of its shape fails|is float32 of shape"),
        ({"shape": [1, -8, 8]}, "no model file: shape"),
        ({"model": "mlp2"}, "do not fit the model: the file lacks"),
        ({"members": []}, "no model file: members"),
        ({"facts": []}, "no model file: facts"),
        ({"extra": 1}, "no model file: extra"),
        ({"encoding": {"kind": "table", "columns": []}}, "no model file: encoding"),
        (
            {"encoding": {"kind": "table", "columns": [{"kind": "number", "name": "a", "fill": 0.0}]}},
            "the table in it becomes 1 features",
        ),
    ],
)
def test_a_description_that_does_not_fit_is_refused(model_file, changes, words):
    with pytest.raises(DataError, match=words):
        load_model(changed_text(model_file, **changes))


def test_weights_that_are_missing_or_too_many_or_not_finite_are_refused(model_file):
    checked = CheckedZip.read(model_file)
    name = "weights/0/0"
    for arrays, words in (
        (
            {key: value for key, value in checked.arrays.items() if key != name},
            "lacks the array 'weights/0/0'",
        ),
        ({**checked.arrays, "weights/9/0": np.zeros(1)}, "arrays of no use"),
        ({**checked.arrays, name: checked.arrays[name] * np.float32(np.nan)}, "not finite"),
        ({**checked.arrays, name: checked.arrays[name].astype(np.float64)}, "as torch.float64 of shape"),
        ({**checked.arrays, name: np.array(["a"])}, "its weights are <U1"),
        ({**checked.arrays, "weights/0/mean": np.zeros(3, np.float32)}, "mean is float32 of shape"),
    ):
        model_file.write_bytes(CheckedZip(checked.text, arrays).to_bytes())
        with pytest.raises(DataError, match=words):
            load_model(model_file)


def test_a_model_of_ones_own_is_built_only_by_the_function_that_is_named(tmp_path, module, monkeypatch):
    name = module(
        "from torch import nn\n"
        "def small(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    arrays = images()
    reference = f"{name}:small"
    model = untrained(arrays, reference)
    path = model.save(tmp_path / "model.dilution")
    with pytest.raises(InputError, match=f"is '{reference}'; .* name it: .*--model {reference}"):
        load_model(path)
    with pytest.raises(InputError, match="and model is 'other:net'"):
        load_model(path, model="other:net")
    for given in (reference, lambda _, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes))):
        loaded = load_model(path, model=given)
        assert np.array_equal(loaded.probabilities(arrays.images), model.probabilities(arrays.images))
    with pytest.raises(DilutionError, match="do not fit the model"):
        load_model(path, model=lambda *_: nn.Flatten())


def test_code_that_a_model_file_names_is_not_imported_unless_the_user_says_so(tmp_path, module):
    name = module(
        "from torch import nn\n"
        "def small(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    arrays = images()
    path = untrained(arrays, f"{name}:small").save(tmp_path / "model.dilution")
    np.save(tmp_path / "new.npy", arrays.images.numpy())
    del sys.modules[name]
    refused(dilution("predict", path, "new.npy", cwd=tmp_path), f"--model {name}:small")
    assert name not in sys.modules
    succeeded(dilution("predict", path, "new.npy", "--model", f"{name}:small", cwd=tmp_path))
    assert name in sys.modules


def test_a_description_of_a_model_is_limited_and_entries_fit_in_the_file(tmp_path, monkeypatch):
    (tmp_path / "m").write_bytes(packed([("model.json", b"      {}")]))
    monkeypatch.setattr("dilution.fitting.checked_zip._MAX_TEXT", 5)
    with pytest.raises(DataError, match="a text of 8 bytes"):
        load_model(tmp_path / "m")
    monkeypatch.undo()
    body = bytearray(packed([("model.json", b"{}"), ("a.npy", b"x")])[:-64])
    struct.pack_into("<I", body, body.rindex(b"PK\x01\x02") + 24, 2**30)  # the size of the last entry
    (tmp_path / "m").write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    with pytest.raises(DataError, match="take more than"):
        load_model(tmp_path / "m")


def test_what_cannot_be_saved_is_refused(tmp_path):
    arrays, path = images(), tmp_path / "model.dilution"

    class Other:
        def probabilities(self, images):
            return np.full((len(images), 3), 1 / 3)

    def saved(member=None, **changes):
        model = untrained(arrays)
        members = model.members if member is None else [member]
        return save_model(
            FittedModel("mlp1", arrays.shape, arrays.dtype, arrays.classes, members, **changes), path
        )

    with pytest.raises(InputError, match="a member of the model is a Other; a file holds networks"):
        saved(Other())
    with pytest.raises(InputError, match="cannot be written as JSON"):
        saved(facts={"path": path})
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    normalise = Normalise(arrays, torch.arange(12))
    nn.init.constant_(network[1].bias, float("nan"))
    with pytest.raises(InputError, match=r"'1\.bias' of the model holds values that are no finite"):
        saved(Network(network, normalise))
    with pytest.raises(InputError, match="which NumPy does not have"):
        saved(Network(network.bfloat16(), normalise))
    assert not path.exists()


def test_no_file_of_others_is_replaced(tmp_path, model_file):
    model, other = untrained(images()), tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(InputError, match="exists and is no model file"):
        model.save(other)
    assert other.read_text() == "mine"
    assert load_model(model.save(model_file)).facts == {}  # an undamaged model file is replaced
    assert load_model(model.save(other, overwrite=True)).model == "mlp1"


def test_the_encoding_of_a_table_is_kept(tmp_path):
    arrays = load_unsplit(write_csv(tmp_path, mixed_table())).arrays
    model = untrained(arrays)
    assert load_model(model.save(tmp_path / "model.dilution")).encoding == arrays.encoding


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_model(tmp_path / "none.dilution")
    with pytest.raises(DataError, match="cannot be read"):
        load_model(tmp_path)


@pytest.mark.parametrize("kind", ["forest", "boosting", "network"])
def test_arrays_without_dimensions_and_of_another_byte_order_are_refused(tmp_path, kind):
    rng = np.random.default_rng(0)
    arrays = Arrays(torch.from_numpy(rng.normal(size=(60, 4, 1, 1)).astype(np.float32)), torch.arange(60) % 3)
    features, labels = arrays.images.flatten(1).numpy(), arrays.labels.numpy()
    if kind == "forest":
        forest = RandomForestClassifier(2, random_state=0).fit(features, labels)
        members = [Forest.of_classifier(forest, 3)]
    elif kind == "boosting":
        trees = HistGradientBoostingClassifier(max_iter=2).fit(features, labels)
        members = [BoostedTrees.of_classifier(trees, 3)]
    else:
        members = untrained(arrays).members
    path = FittedModel("mlp1", arrays.shape, arrays.dtype, arrays.classes, members).save(
        tmp_path / "m.dilution"
    )
    checked = CheckedZip.read(path)
    for name, array in checked.arrays.items():
        swapped = array.astype(array.dtype.newbyteorder(">"))
        for other in (
            array.reshape(-1)[0],
            array[:0],
            array[None],
            *([swapped] if kind == "network" else []),
        ):
            changed = dict(checked.arrays) | {name: np.asarray(other)}
            path.write_bytes(CheckedZip(checked.text, changed).to_bytes())
            with pytest.raises(DataError, match=r"no model file|do not fit the model"):
                load_model(path)


def test_weights_whose_predictions_overflow_give_an_error_and_no_numbers(tmp_path):
    arrays = images()
    path = untrained(arrays).save(tmp_path / "m.dilution")
    checked = CheckedZip.read(path)
    huge = np.finfo(np.float32).max
    changed = {
        name: np.full_like(array, huge) if array.ndim == 2 else array
        for name, array in checked.arrays.items()
    }
    path.write_bytes(CheckedZip(checked.text, changed).to_bytes())
    with pytest.raises(InputError, match="probabilities that are no numbers"):
        load_model(path).probabilities(arrays.images)
